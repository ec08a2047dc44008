"""Start the processes of a training on this machine, watch them, and say how they ended. torch is theirs to load.

They find one another through a file: no port is opened for it. Where one of them dies the others are ended, and the
next run goes on from the last checkpoint, with as many processes as it then has.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from buril.core.allocator import frugal
from buril.core.artifact import Artifact
from buril.core.errors import EXIT_INTERRUPT, BurilError
from buril.core.stage import Metrics, Output
from buril.core.text import _
from buril.train.parallel.job import Job

POLL_S = 0.1
GRACE_S = 3.0
"""Seconds that the others have to say what they saw when one has ended badly."""


def launch(settings: Any, inputs: Mapping[str, Artifact], out: Output) -> Metrics:
    """Train with several processes of this machine.

    Raises:
        BurilError: what a process raised; T160 when one of them ended otherwise.
        KeyboardInterrupt: after the step at hand, when the state is saved; at once when asked a second time.
    """
    threads = threads_of(settings.threads, settings.parallel.processes)
    job = Job.of(settings.model_copy(update={"threads": threads}), inputs, out)
    shutil.rmtree(job.scratch, ignore_errors=True)
    job.scratch.mkdir(parents=True)
    path = job.scratch / "job.json"
    path.write_text(job.text(), encoding="utf-8")
    out.note(_("{count} processes train together").format(count=settings.parallel.processes))
    processes = [
        _start(job, path, rank, settings.parallel.processes, threads) for rank in range(settings.parallel.processes)
    ]
    try:
        codes = _watch(job, processes, out)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if any(codes):
        _say(job, codes)
    told = json.loads(job.result.read_text(encoding="utf-8"))
    out.rows.update(told["rows"])
    metrics: Metrics = told["metrics"]
    return metrics


def threads_of(threads: int, processes: int) -> int:
    """Threads of each process, where all of them shall have so many together (0: all of this machine)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, (threads or cores) // processes)


def _start(job: Job, path: Path, rank: int, size: int, threads: int) -> subprocess.Popen[bytes]:
    told = {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size),
        "OMP_NUM_THREADS": str(threads), "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
    }  # fmt: skip
    with job.log(rank).open("wb") as log:
        return subprocess.Popen(  # noqa: S603  this Python, a module of ours
            [sys.executable, "-m", "buril.train.parallel.rank", str(path)],
            env=frugal({**os.environ, **told}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is heard here, and told to all after the same step
        )


def _watch(job: Job, processes: Sequence[subprocess.Popen[bytes]], out: Output) -> list[int]:
    """Wait for all to end well, or for the first to end badly; the exit codes, 0 for who still ran then."""
    asked = False
    while True:
        try:
            codes = [process.poll() for process in processes]
            if any(codes):
                _linger(processes)
                return [process.poll() or 0 for process in processes]
            if all(code == 0 for code in codes):
                return [0] * len(processes)
            time.sleep(POLL_S)
        except KeyboardInterrupt:
            if asked:
                raise
            asked = True
            job.stop.touch()
            out.note(_("ending after this step; Ctrl-C again ends at once, from the last checkpoint"))


def _linger(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + GRACE_S
    while time.monotonic() < until and any(process.poll() is None for process in processes):
        time.sleep(POLL_S)


def _say(job: Job, codes: Sequence[int]) -> None:
    """Raise what the processes ended with: a signal before an error, as a dead neighbour makes errors of its own."""
    killed = next((rank for rank, code in enumerate(codes) if code < 0), None)
    failures = [path for rank in range(len(codes)) if (path := job.failure(rank)).exists()]
    if killed is None and failures:
        told = json.loads(failures[0].read_text(encoding="utf-8"))
        raise BurilError(told["code"], **told["values"])
    if killed is None and EXIT_INTERRUPT in codes:
        raise KeyboardInterrupt
    rank = killed if killed is not None else next(rank for rank, code in enumerate(codes) if code)
    problem = signal.Signals(-codes[rank]).name if codes[rank] < 0 else _last_line(job.log(rank))
    raise BurilError(
        "T160", rank=rank, size=len(codes), problem=problem, step=last_step(job.checkpoints), log=job.log(rank)
    )


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "?"


def last_step(checkpoints: Path) -> int:
    """The step of the newest checkpoint; 0 where there is none."""
    return max((int(path.stem.partition("-")[2]) for path in checkpoints.glob("state-*.json")), default=0)
