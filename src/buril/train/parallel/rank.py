"""One process of a training by several: `python -m buril.train.parallel.rank JOB`, with RANK and WORLD_SIZE set."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from buril.core.artifact import atomic
from buril.core.errors import EXIT_INTERRUPT, BurilError
from buril.core.events import EventLog
from buril.core.stage import Metrics, Output
from buril.train.parallel.job import Job

_PR_SET_PDEATHSIG = 1
"""Of prctl (linux/prctl.h): the signal that a process gets when its parent dies."""
RENDEZVOUS = "rendezvous"


def take_part(job: Job, out: Output | None, *, store: Any = None) -> Metrics:
    """Do this process's part of a training; only the leader's metrics say anything.

    Args:
        job: what to train.
        out: where the leader writes; the others write into a folder that is thrown away.
        store: through which the processes find one another; None for a file beside the job.
    """
    import torch.distributed as dist

    from buril.train.parallel.group import Group, connect, device_of
    from buril.train.recipe import Stand
    from buril.train.stage import Train

    told = job.told()
    device = device_of(told.device)
    there = dist.is_initialized()  # by the program that runs this one, such as Ray Train
    if not there:
        connect(device, timeout_s=told.parallel.timeout_s, store=store, file=job.scratch / RENDEZVOUS)
    group = Group(told.parallel, device, stop_file=job.stop)
    stage = Train(told.model_copy(update={"device": str(device)}))
    with tempfile.TemporaryDirectory(prefix="buril-") as aside, group.listening():
        own = out or Output(Path(aside), EventLog(Path(os.devnull)), stage.name)
        metrics = stage.train(job.artifacts(), own, Stand(team=group, checkpoints=job.checkpoints))
        group.wait()
    if not there:
        dist.destroy_process_group()
    return metrics


def main(path: str) -> int:
    """Run, and leave a file that says how it ended; returns the exit code. A traceback goes where the parent looks."""
    end_with_parent()
    rank = int(os.environ["RANK"])
    job = Job.parse(Path(path).read_text(encoding="utf-8"))
    try:
        out = Output(Path(job.folder), EventLog(Path(job.events)), "train", shared=True) if rank == 0 else None
        metrics = take_part(job, out)
        if out:
            _leave(job.result, {"metrics": metrics, "rows": out.rows})
    except KeyboardInterrupt:
        return EXIT_INTERRUPT
    except BurilError as problem:
        values = {name: str(value) for name, value in problem.values.items()}
        _leave(job.failure(rank), {"code": problem.code, "values": values})
        return 1
    return 0


def end_with_parent() -> None:
    """Die when the process that started this one dies: it holds the lock of what is written here."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died meanwhile
            os.kill(os.getpid(), signal.SIGKILL)


def _leave(path: Path, content: dict[str, Any]) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
