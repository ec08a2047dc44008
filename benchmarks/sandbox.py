"""Executions a second of small untrusted programs: our sandbox against a plain `python3 -I file` without any isolation.

The programs are the solutions of the suite `basics`. Ours isolates every one of them and judges each call outside; the
peer only starts an interpreter, with the calls as assertions in the file and the exit code as the verdict. Both use the
same number of workers, in alternating rounds; the medians count.

    python benchmarks/sandbox.py [--size small|full]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from buril.evaluate.suites._basics_tasks import TASKS, Task
from buril.evaluate.suites.basics import job
from buril.sandboxes.namespaces import Namespaces

TARGET = 1.5
ROUNDS = {"small": 3, "full": 15}
WORKERS = os.cpu_count() or 1


def peer_file(task: Task, folder: Path) -> Path:
    lines = [task.prompt + task.solution]
    for call in task.calls:
        made = f"{task.entry}(*{call.args!r})"
        if call.raises:
            lines.append(f"try:\n    {made}\nexcept {call.raises}:\n    pass\nelse:\n    raise AssertionError")
        else:
            lines.append(f"got = {made}\nwant = {call.expected!r}\nassert got == want or abs(got - want) < 1e-9")
    path = folder / f"{task.entry}.py"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def peer_round(files: list[Path]) -> float:
    def one(path: Path) -> int:
        return subprocess.run([sys.executable, "-I", str(path)], check=False, timeout=60).returncode

    started = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        codes = list(pool.map(one, files))
    seconds = time.perf_counter() - started
    assert not any(codes), "the peer must pass too"
    return len(files) / seconds


def our_round(sandbox: Namespaces) -> float:
    jobs = [job(task, task.prompt + task.solution) for task in TASKS]
    started = time.perf_counter()
    verdicts = list(sandbox.run_all(jobs))
    seconds = time.perf_counter() - started
    assert all(verdict.passed for verdict in verdicts)
    return len(jobs) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(ROUNDS), default="small")
    rounds = ROUNDS[parser.parse_args().size]
    with tempfile.TemporaryDirectory() as folder, Namespaces(Namespaces.Settings(workers=WORKERS)) as sandbox:
        files = [peer_file(task, Path(folder)) for task in TASKS]
        our_round(sandbox), peer_round(files)
        pairs = [(our_round(sandbox), peer_round(files)) for _ in range(rounds)]
    ours, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    for mine, theirs in pairs:
        print(f"ours {mine:7.1f}  peer {theirs:7.1f} executions/s")
    print(
        json.dumps(
            {
                "name": "sandbox",
                "ours": round(ours, 1),
                "peer": round(peer, 1),
                "peer_name": "python3 -I file, not isolated",
                "unit": "executions/s",
                "ratio": round(ours / peer, 2),
                "target": TARGET,
                "met": ours / peer >= TARGET,
                "machine": f"{platform.machine()}, {WORKERS} CPUs, Python {platform.python_version()}",
            }
        )
    )


if __name__ == "__main__":
    main()
