"""HumanEval+ and MBPP+: the same tasks with many more tests (Liu et al. 2023, EvalPlus, arXiv 2305.01210)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from buril.evaluate._plus import Plus, agrees, read
from buril.evaluate._replay import MOST_S, limits_after
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._coding import Coding, Problem, does_not_hold, taken
from buril.evaluate.suites._credit import CREDIT
from buril.evaluate.suites._files import FileSettings, tasks_of
from buril.evaluate.suites._functional import stub_of
from buril.evaluate.suites._python import STOPS, body_of
from buril.evaluate.suites.mbpp import STOPS as PROGRAM_STOPS
from buril.generators._generator import Completion
from buril.sandboxes._codec import show
from buril.sandboxes._sandbox import Call, CallResult, Job, Limits, Status, Verdict

AT_ONCE = 16
"""Programs whose answers are held at one time: a task may have a thousand, some of them long."""


@dataclass(frozen=True)
class Known:
    """What a task's own solution gives: by the place of its arguments, as typed JSON; and the limits that follow."""

    wanted: dict[int, Any]
    limits: Limits


class Evalplus(Coding):
    """pass@1 over all tests of a task, `pass@1 base` over those that it had before, `tests@1` for partial credit.

    What a test expects is asked of the task's own solution, here, once. The candidate gives values, and the judge
    outside compares them: none of it is within the candidate's reach.
    """

    version: ClassVar[int] = 1
    name: ClassVar[str] = "evalplus"

    class Settings(FileSettings):
        """Where the tasks are, how they are put, and how many completions are drawn."""

        path: Path | None = None
        """The file of the tasks as released: `HumanEvalPlus.jsonl.gz` or `MbppPlus.jsonl.gz` (`-Mini`, `-NoExtreme`,
        `-OriginFmt` too), or the hub's as JSON lines. Its bytes are part of the identity, its place is not."""

        def file(self) -> Path:
            """The file of the settings."""
            return self.path or Path("HumanEvalPlus.jsonl.gz")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._known: dict[str, Known] = {}

    def problems(self, context: SuiteContext) -> list[Problem]:
        """The tasks taken, in the file's order.

        Raises:
            BurilError: E008 without the file, E009 when it holds something else.
        """
        return taken(tasks_of(self.settings.file(), self.name, _problem), context)

    def check(self, context: SuiteContext) -> None:
        """Every task's own solution must give an answer to its tests, here and now, and an empty function another.

        Raises:
            BurilError: E001 without isolation, E006 when a task does not hold, E008, E009.
        """
        problems = self.problems(context)
        self.prepare(problems, context)
        for item in problems:
            if 2 * len(self._known[item.name].wanted) < len(item.task.inputs):
                raise does_not_hold(item, Verdict("error", detail=item.task.solution[-200:]), "–")
        good = self.judge(problems, [item.task.solution for item in problems], context)
        stubs = self.judge(problems, list(map(stub_of, problems)), context)
        for item, verdict, empty in zip(problems, good, stubs, strict=True):
            if not verdict.passed or empty.passed:
                raise does_not_hold(item, verdict, empty.status)

    def prepare(self, problems: Sequence[Problem], context: SuiteContext) -> None:
        """Ask each solution for what the tests expect; what `check` asked already stays."""
        left = [item for item in problems if item.name not in self._known]
        jobs = [_job(item.task, item.task.solution, Limits(cpu_s=MOST_S, wall_s=2 * MOST_S)) for item in left]
        for item, verdict in zip(left, context.sandbox().run_all(jobs), strict=True):
            answered = {place: call.data for place, call in enumerate(verdict.calls) if call.status == "pass"}
            self._known[item.name] = Known(answered, limits_after(verdict))

    def judge(self, problems: Sequence[Problem], programs: Sequence[str], context: SuiteContext) -> list[Verdict]:
        """The candidate is called with everything; what it gives is compared here."""
        found: list[Verdict] = []
        for start in range(0, len(problems), AT_ONCE):
            part = problems[start : start + AT_ONCE]
            jobs = [
                _job(item.task, program, self._known[item.name].limits)
                for item, program in zip(part, programs[start : start + AT_ONCE], strict=True)
            ]
            done = context.sandbox().run_all(jobs)
            found += [_judged(item.task, self._known[item.name], one) for item, one in zip(part, done, strict=True)]
        return found

    def text_of(self, completion: Completion, problem: Problem) -> str:
        """The function's body, or of MBPP+ the program."""
        return completion.text.strip("\r\n") + "\n" if problem.task.mbpp else body_of(completion)

    def extra(self) -> dict[str, Literal["share", "ratio"]]:
        """The score on the tests that the tasks had before, and partial credit."""
        return {"pass@1 base": "share", **CREDIT}

    def scores(self, problem: Problem, verdict: Verdict) -> dict[str, float]:
        """Those of one answer; a file that does not tell the earlier tests apart has no score on them."""
        known, number = self._known[problem.name], problem.task.num_base
        right = [place for place, call in enumerate(verdict.calls) if call.status == "pass" and place in known.wanted]
        before = [place for place in known.wanted if place < number]
        found = {"tests@1": len(right) / max(1, len(known.wanted))}
        if before:
            found["pass@1 base"] = float(set(before) <= set(right))
        return found

    def more(self, problem: Problem, verdict: Verdict) -> dict[str, Any]:
        """How many tests passed, and the first that did not."""
        known = self._known[problem.name].wanted
        counted = [(place, call) for place, call in enumerate(verdict.calls) if place in known]
        row: dict[str, Any] = {"tests": len(known), "passed_tests": sum(call.status == "pass" for _p, call in counted)}
        wrong = next(((place, call) for place, call in counted if call.status != "pass"), None)
        if wrong:
            place, call = wrong
            args = ", ".join(map(repr, problem.task.inputs[place]))[:200]
            row["calls"] = [{"args": args, "expected": show(known[place]), "status": call.status, "got": call.got}]
        return row


def _problem(line: dict[str, Any]) -> Problem:
    task, prompt = read(line), str(line["prompt"])
    if not task.mbpp:
        ask = f"Complete this Python function.\n\n```python\n{prompt.rstrip()}\n```"
        return Problem(task.name, task, prompt, ask, f"```python\n{prompt}", prompt.rstrip(), STOPS)
    told = prompt.strip().strip('"').strip()
    shown = "\n".join(map(str, line.get("test_list", ())))
    told = f"{told}\n{shown}" if shown else told
    ask = f"Write a Python program that does this.\n\n{told}"
    return Problem(task.name, task, f'"""\n{told}\n"""\n', ask, "```python\n", "", PROGRAM_STOPS)


def _job(task: Plus, program: str, limits: Limits) -> Job:
    return Job(program, task.entry, tuple(Call(arguments, free=True) for arguments in task.inputs), limits)


def _judged(task: Plus, known: Known, verdict: Verdict) -> Verdict:
    """A verdict on free calls, whose values are compared now; tests that the solution had no answer to don't count."""
    if verdict.status == "harness_error":
        return verdict
    calls = tuple(
        replace(call, status="wrong", data=None)
        if call.status == "pass" and place in known.wanted and not _right(task, place, call, known)
        else replace(call, data=None)
        for place, call in enumerate(verdict.calls)
    )
    missed = [call for place, call in enumerate(calls) if place in known.wanted and call.status != "pass"]
    if verdict.status not in ("pass", "error"):  # it was stopped
        return replace(verdict, calls=calls)
    if known.wanted and not missed:
        return replace(verdict, status="pass", calls=calls, detail="")
    first = missed[0] if missed else CallResult("wrong")  # nothing is known of a solution that answers nothing
    status: Status = "wrong" if first.status == "wrong" else "error"
    return replace(verdict, status=status, calls=calls, detail=verdict.detail or first.got)


def _right(task: Plus, place: int, call: CallResult, known: Known) -> bool:
    try:
        return agrees(task, task.inputs[place], call.data, known.wanted[place])
    except (RecursionError, TypeError, ValueError):
        return False
