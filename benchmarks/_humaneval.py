"""HumanEval (Chen et al. 2021): tasks to go on from, and which of a model's answers pass their tests in the sandbox.

The tests run beside the answer, so an answer that forged a result could; these models do not know how. Each task proves
itself first: its own solution passes, an empty body fails.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from buril.evaluate.suites.basics import STOPS, body_of
from buril.generators._generator import Request
from buril.generators.transformers import Transformers
from buril.sandboxes._sandbox import Call, Job, Limits
from buril.sandboxes.namespaces import Namespaces

FILE = Path(__file__).resolve().parents[2] / "shared/data/eval/humaneval/HumanEval.jsonl.gz"
LIMITS = Limits(cpu_s=5)
MAX_TOKENS = 256


class Task(NamedTuple):
    """One line of the file."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str


def tasks(number: int, path: Path = FILE) -> list[Task]:
    """So many tasks, in an order by a hash of their names: the first ones are as good as drawn."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        every = [Task(**json.loads(line)) for line in stream]
    return sorted(every, key=lambda task: hashlib.sha256(task.task_id.encode()).digest())[:number]


def passed(asked: Sequence[Task], bodies: Sequence[str]) -> list[bool]:
    """Whether each task's tests pass with the body."""
    jobs = []
    for task, body in zip(asked, bodies, strict=True):
        judge = f"{task.test}\n\ndef judged():\n    check({task.entry_point})\n    return True\n"
        jobs.append(Job(f"{task.prompt.rstrip()}{body}\n{judge}", "judged", (Call((), True),), LIMITS))
    sandbox = Namespaces(Namespaces.Settings())
    try:
        return [verdict.passed for verdict in sandbox.run_all(jobs)]
    finally:
        sandbox.close()


def check(asked: Sequence[Task]) -> None:
    """Leave when a task does not hold here: a score would be the harness's."""
    solved = passed(asked, ["\n" + task.canonical_solution for task in asked])
    empty = passed(asked, ["\n    pass\n"] * len(asked))
    wrong = [task.task_id for task, good, bad in zip(asked, solved, empty, strict=True) if bad or not good]
    if wrong:
        sys.exit(f"these tasks do not hold on this machine: {wrong}")


def solve(generator: Transformers, asked: Sequence[Task]) -> list[bool]:
    """The likeliest completion of each prompt as it stands, judged."""
    requests = [Request(task.prompt.rstrip(), max_tokens=MAX_TOKENS, stop=STOPS) for task in asked]
    return passed(asked, [body_of(found[0]) for found in generator.complete(requests)])
