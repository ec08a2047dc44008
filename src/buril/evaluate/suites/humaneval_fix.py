"""HumanEvalFix: functions of HumanEval with a bug each, to be put right (Muennighoff et al. 2023, arXiv 2308.07124)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from buril.evaluate._replay import Exam
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._coding import Problem, does_not_hold
from buril.evaluate.suites._functional import Functional
from buril.evaluate.suites._python import STOPS, body_of
from buril.generators._generator import Completion

_CALL = re.compile(r"\ncheck\(\w+\)\s*$")
"""What the published tests end with: they are called here by who plays them."""


@dataclass(frozen=True)
class Repair(Exam):
    """A task, and the program with its bug."""

    buggy: str = ""


class HumanevalFix(Functional):
    """The Python tasks of HumanEvalPack; the model sees the function with its bug, and its tests or its docstring."""

    version: ClassVar[int] = 1
    name: ClassVar[str] = "humaneval_fix"

    class Settings(Functional.Settings):
        """Where the tasks are, what is shown, and how many completions are drawn."""

        path: Path | None = None
        """The file of the Python tasks, `humanevalpack.jsonl`. Its bytes are part of the identity, its place is not."""
        shown: Literal["tests", "docstring"] = "tests"
        """What tells the model how the function should be: its tests (as the authors report it) or its docstring."""

        def file(self) -> Path:
            """The file of the settings."""
            return self.path or Path("humanevalpack.jsonl")

    def problem(self, line: dict[str, Any]) -> Problem:
        """One line: `task_id`, `entry_point`, `declaration`, `prompt`, `test`, and the two solutions.

        These are `canonical_solution` and `buggy_solution`.
        """
        entry, head = str(line["entry_point"]), str(line["declaration"])
        tests = _CALL.sub("\n", str(line["test"])).strip("\n") + "\n"
        good, bad = (f"{head}{line[key]}" for key in ("canonical_solution", "buggy_solution"))
        exam = Repair(str(line["task_id"]), entry, good, tests, buggy=bad)
        told = tests if self.settings.shown == "tests" else ""
        begun = head if told else str(line["prompt"])
        wrong = f"{begun}{line['buggy_solution']}".strip("\n") + "\n"
        shown = f"{wrong}\n\n{told}" if told else wrong
        plain = f"# This function has a bug:\n\n{shown}\n\n# The same function without the bug:\n\n{begun}"
        ask = f"Fix the bug in `{entry}`.\n\n```python\n{shown}```"
        return Problem(exam.name, exam, plain, ask, f"```python\n{begun}", begun.rstrip(), STOPS)

    def check(self, context: SuiteContext) -> None:
        """As for all suites with tests; and each function must fail as long as it has its bug.

        Raises:
            BurilError: E001 without isolation, E006 when a task does not hold, E008, E009.
        """
        super().check(context)
        problems = self.problems(context)
        verdicts = self.judge(problems, [item.task.buggy for item in problems], context)
        for item, verdict in zip(problems, verdicts, strict=True):
            if verdict.passed:
                raise does_not_hold(item, verdict, verdict.status)

    def text_of(self, completion: Completion, problem: Problem) -> str:
        """The function's body."""
        return body_of(completion)
