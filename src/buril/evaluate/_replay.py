"""Replay: tests that are written as a program, judged without a verdict within the candidate's reach.

Many suites bring their tests as a function that calls the candidate and asserts. Run beside the candidate, such a
verdict can be forged. Here it takes three jobs, each in a jail of its own:

1. the suite's own solution goes through the tests, and what it is called with is written down (once a task);
2. the candidate is called with that, and what it gives comes out as plain data;
3. the tests run again, without the candidate: its answers are played back to them.

So a candidate can give data and nothing else. Tests whose arguments depend on earlier answers are played back only as
far as these were the solution's own: a candidate that gives others there fails. Where arguments or values are no plain
data, tests and candidate share a process, and the verdict says that it is `forgeable`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from buril.sandboxes._codec import Encoded, same
from buril.sandboxes._sandbox import Call, CallResult, Job, Limits, Sandbox, Verdict

MARGIN = 10
"""Processor time that a candidate gets, in that of the suite's own solution on this machine."""
LEAST_S, MOST_S = 2, 60
"""Seconds that it gets at least, since a quick solution is measured badly, and at most."""

TOGETHER = 16
"""Answers whose tests are played in one jail: then a jail more or less hardly counts."""

_TRACE = """

def buril_trace():
    import copy
    real, calls, results, inside = {entry}, [], [], []

    def candidate(*args):
        if inside:
            return real(*args)
        calls.append(copy.deepcopy(list(args)))
        inside.append(1)
        try:
            found = real(*args)
        finally:
            inside.clear()
        results.append(copy.deepcopy(found))
        return found

    {check}(candidate)
    return [calls, results]
"""
_REPLAY = """
def buril_replay(items):
    import builtins, random

    def played(source, check, calls, answers):
        random.seed(0)  # as where the solution was asked
        space = {"__name__": "tests", "__builtins__": builtins}
        exec(compile(source, "<tests>", "exec"), space)
        left = list(zip(calls, answers))[::-1]

        def candidate(*args):
            if not left:
                raise AssertionError("called once more than the solution was")
            wanted, (kind, value) = left.pop()
            if list(args) != wanted and repr(list(args)) != repr(wanted):
                raise AssertionError("called with what the solution was not called with")
            if kind == "raised":
                found = getattr(builtins, value, None)
                raise (found if isinstance(found, type) and issubclass(found, Exception) else RuntimeError)(value)
            return value

        space[check](candidate)

    results = []
    for item in items:
        try:
            played(*item)
            results.append("")
        except Exception as problem:
            results.append(f"{type(problem).__name__}: {problem}"[:400])
    return results
"""
_TOGETHER = """

def buril_together():
    {check}({entry})
    return True
"""


@dataclass(frozen=True)
class Exam:
    """A task whose tests are a program.

    Attributes:
        name: of the task.
        entry: the function that is asked for.
        solution: a whole program that defines it, and whatever the tests use besides.
        tests: a program that defines a function of the candidate, which raises where the candidate is wrong.
        check: that function's name.
    """

    name: str
    entry: str
    solution: str
    tests: str
    check: str = "check"

    def beside(self, program: str, ending: str) -> str:
        """A program with the tests and an ending after it."""
        return f"{program}\n{self.tests}\n{ending.format(entry=self.entry, check=self.check)}"


@dataclass(frozen=True)
class Script:
    """A task with what its tests call the candidate with, as typed JSON; `calls` None where that is no plain data.

    `results` are what the solution gave to each call.
    """

    task: Exam
    limits: Limits
    calls: tuple[list[Any], ...] | None
    results: tuple[Any, ...] = ()


def limits_after(solution: Verdict) -> Limits:
    """What a candidate may use, from what the suite's own solution took on this machine."""
    seconds = min(MOST_S, max(LEAST_S, math.ceil(MARGIN * solution.cpu_ms / 1000)))
    return Limits(cpu_s=seconds, wall_s=10.0 * seconds)


def scripts(tasks: Sequence[Exam], sandbox: Sandbox) -> Iterator[Script | Verdict]:
    """Each task's script, or the verdict on its own solution where that does not pass its tests."""
    free, limits = (Call(free=True),), Limits(cpu_s=MOST_S, wall_s=2 * MOST_S)
    jobs = [Job(task.beside(task.solution, _TRACE), "buril_trace", free, limits) for task in tasks]
    for task, verdict in zip(tasks, sandbox.run_all(jobs), strict=True):
        limits = limits_after(verdict)
        told = verdict.calls[0].data if verdict.passed else None
        if isinstance(told, list):
            yield Script(task, limits, tuple(told[0]), tuple(told[1]))
        elif verdict.passed or (verdict.calls and verdict.calls[0].got.startswith("Unencodable")):
            yield Script(task, limits, None)
        else:
            yield verdict


def judged(asked: Sequence[tuple[Script, str]], sandbox: Sandbox) -> list[Verdict]:
    """The verdict on each program that should define its task's entry.

    Its calls tell where the candidate gave what the solution gave. That is partial credit and decides nothing: another
    answer may be right as well.
    """
    first = list(sandbox.run_all([_candidate(script, program) for script, program in asked]))
    found = [_unless_done(script, verdict) for (script, _program), verdict in zip(asked, first, strict=True)]
    open_ = [place for place, verdict in enumerate(found) if verdict is None]
    second = _played([(asked[place][0], first[place].calls) for place in open_], sandbox)
    for place, verdict in zip(open_, second, strict=True):
        found[place] = _together(first[place], verdict)
    return [
        replace(verdict, calls=_compared(script, one))
        for (script, _program), one, verdict in zip(asked, first, found, strict=True)
        if verdict is not None
    ]


def _compared(script: Script, candidate: Verdict) -> tuple[CallResult, ...]:
    """The candidate's calls, as right where they gave what the solution gave; none where that is not known."""
    if script.calls is None or len(script.results) != len(candidate.calls):
        return ()
    return tuple(
        CallResult("wrong", call.got) if call.status == "pass" and not _same(call.data, result) else
        CallResult(call.status, call.got)
        for call, result in zip(candidate.calls, script.results, strict=True)
    )  # fmt: skip


def _same(got: Any, wanted: Any) -> bool:
    try:
        return same(got, wanted)
    except (RecursionError, TypeError, ValueError):
        return False


def _played(played: Sequence[tuple[Script, Sequence[CallResult]]], sandbox: Sandbox) -> list[str | Verdict]:
    """What the tests of each say to its answers: "" when they hold, what they raised, or why they came to no end.

    Several are played in one jail, since they are tests of the suite and data; where such a jail comes to no end, each
    of them has one of its own.
    """
    parts = [played[start : start + TOGETHER] for start in range(0, len(played), TOGETHER)]
    found: list[str | Verdict] = []
    for part, verdict in zip(parts, sandbox.run_all([_tests(part) for part in parts]), strict=True):
        told = _told(verdict, len(part))
        if told is None and len(part) > 1:
            told = [(_told(alone, 1) or [alone])[0] for alone in sandbox.run_all([_tests([item]) for item in part])]
        found += told or [verdict]
    return found


def _told(verdict: Verdict, number: int) -> list[str | Verdict] | None:
    """What a jail says of the answers that were played in it; None where it does not."""
    told = verdict.calls[0].data if verdict.passed else None
    return [str(item) for item in told] if isinstance(told, list) and len(told) == number else None


def _candidate(script: Script, program: str) -> Job:
    task = script.task
    if script.calls is None:
        return Job(task.beside(program, _TOGETHER), "buril_together", (Call(expected=True),), script.limits)
    calls = tuple(Call(tuple(map(Encoded, arguments)), free=True) for arguments in script.calls)
    return Job(program, task.entry, calls, script.limits)


def _unless_done(script: Script, verdict: Verdict) -> Verdict | None:
    """The verdict where the first job gave it: no answers came, or the tests were there already."""
    if script.calls is None:
        return replace(verdict, forgeable=True)
    answered = verdict.status in ("pass", "error") and all(call.status != "missing" for call in verdict.calls)
    return None if answered and len(verdict.calls) == len(script.calls) else verdict


def _tests(part: Sequence[tuple[Script, Sequence[CallResult]]]) -> Job:
    items = []
    for script, answers in part:
        played = [
            ["value", Encoded(answer.data)] if answer.status == "pass" else ["raised", answer.got.partition(":")[0]]
            for answer in answers
        ]
        task = script.task
        items.append([task.beside(task.solution, ""), task.check, Encoded(list(script.calls or ())), played])
    seconds = min(MOST_S, sum(script.limits.cpu_s for script, _answers in part))
    return Job(_REPLAY, "buril_replay", (Call((items,), free=True),), Limits(cpu_s=seconds, wall_s=10.0 * seconds))


def _together(candidate: Verdict, tests: str | Verdict) -> Verdict:
    """The tests' verdict with the candidate's measurements and output."""
    raised = next((call.got for call in candidate.calls if call.status == "error"), "")
    if tests == "":
        return replace(candidate, status="pass", calls=(), detail="")
    if isinstance(tests, Verdict) and tests.status == "harness_error":
        return replace(candidate, status="harness_error", calls=(), detail=tests.detail)
    said = tests.detail if isinstance(tests, Verdict) else tests
    return replace(candidate, status="error" if raised else "wrong", calls=(), detail=raised or said)
