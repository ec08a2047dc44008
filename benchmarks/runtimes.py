"""What the sandbox costs a program of each language: compiled and run with its tests inside it, and without it.

    python benchmarks/runtimes.py [--size small|full]

Each runtime's right probe is judged in the sandbox; the peer is the same commands on the same files as child processes
of ours, in a folder of their own, not isolated and not judged. In alternating rounds, one at a time; medians. Languages
whose tools are not installed are left out, and one that does not tell right from wrong ends the benchmark.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from buril.core.plugins import names, plugin
from buril.evaluate.runtimes._runtime import Runtime, capability, examined
from buril.sandboxes._worker import ENVIRONMENT
from buril.sandboxes.namespaces import Namespaces

ROUNDS = {"small": 3, "full": 15}
TARGET = 0.8
"""Of the bare programs' speed, over all languages together: isolation shall be no reason to do without."""


def inside(runtime: Runtime, sandbox: Namespaces) -> float:
    """Seconds for one judged program."""
    began = time.perf_counter()
    (verdict,) = examined(runtime, [(runtime.probe.head + runtime.probe.right, runtime.probe.tests)], sandbox)
    assert verdict.passed, verdict
    return time.perf_counter() - began


def outside(runtime: Runtime) -> float:
    """Seconds for the same commands without a sandbox."""
    program = runtime.program(runtime.probe.head + runtime.probe.right, runtime.probe.tests, "mark")
    with tempfile.TemporaryDirectory() as name:
        settings = {key: value.replace("/tmp", name) for key, value in program.environment.items()}
        environment = {**ENVIRONMENT, "HOME": name, "TMPDIR": name, **settings}
        began = time.perf_counter()
        for path, text in program.files.items():
            Path(name, path).write_text(text, encoding="utf-8")
        for command in program.commands:
            subprocess.run(command, cwd=name, env=environment, check=True, capture_output=True)
        return time.perf_counter() - began


def main() -> None:
    """Measure, and print one JSON line last."""
    from all import machine

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(ROUNDS), default="small")
    rounds = ROUNDS[parser.parse_args().size]
    runtimes = {name: made for name in names("runtime") if (made := plugin("runtime", name)()).found()}
    sums = [0.0, 0.0]
    with Namespaces(Namespaces.Settings(workers=1)) as sandbox:
        for name, runtime in runtimes.items():
            told = capability(name, runtime, sandbox)
            assert told.works, told
            times = [(inside(runtime, sandbox), outside(runtime)) for _round in range(rounds)]
            ours, peer = (statistics.median(pair[side] for pair in times) for side in (0, 1))
            sums = [sums[0] + ours, sums[1] + peer]
            print(f"{name:<11} {1000 * ours:7.0f} ms in the sandbox, {1000 * peer:7.0f} ms bare", flush=True)
    ours, peer = sums
    print(json.dumps({
        "name": f"programs of {len(runtimes)} languages", "ours": round(1000 * ours), "peer": round(1000 * peer),
        "peer_name": "the same commands, not isolated", "unit": "ms for one of each with its tests",
        "ratio": round(peer / ours, 2), "target": TARGET, "met": peer / ours >= TARGET, "machine": machine(),
    }))  # fmt: skip


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
