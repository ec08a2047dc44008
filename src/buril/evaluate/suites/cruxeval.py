"""CRUXEval: what a function gives, and what it must be given (Gu et al. 2024, arXiv 2401.03065).

The model writes a literal or an argument, no program. A function is run in the sandbox, and its value is compared
outside of it, type for type. That is stricter than the authors' `==`, for which 1 is True.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._coding import Coding, Problem, does_not_hold, taken
from buril.evaluate.suites._files import FileSettings, tasks_of
from buril.generators._generator import Completion
from buril.sandboxes._sandbox import Call, Job, Verdict

Side = Literal["output", "input"]
_ANSWER = "\n\ndef buril_answer():\n    return {}\n"


@dataclass(frozen=True)
class Sample:
    """A function `f`, the arguments of a call and what it gave, and which of the two is asked for."""

    code: str
    arguments: str
    output: str
    side: Side


class Cruxeval(Coding):
    """pass@1 of the answers, `pass@1 output` and `pass@1 input`; each task comes twice unless `side` says otherwise."""

    version: ClassVar[int] = 1
    name: ClassVar[str] = "cruxeval"

    class Settings(FileSettings):
        """Where the functions are, and what is asked."""

        path: Path | None = None
        """The file `cruxeval.jsonl`. Its bytes are part of the identity, its place is not."""
        side: Literal["output", "input", "both"] = "both"
        """Whether what a call gives is asked, or a call that gives it, or both."""

        def file(self) -> Path:
            """The file of the settings."""
            return self.path or Path("cruxeval.jsonl")

    def problems(self, context: SuiteContext) -> list[Problem]:
        """The tasks taken, in the file's order: at most `max_items` functions. One without arguments has but one side.

        Raises:
            BurilError: E008 without the file, E009 when it holds something else.
        """
        found = taken(tasks_of(self.settings.file(), self.name, _problem), context)
        asked = [(item, side) for item in found for side in self._sides()]
        return [_asked(item, side) for item, side in asked if item.task.arguments or side == "output"]

    def _sides(self) -> tuple[Side, ...]:
        return ("output", "input") if self.settings.side == "both" else (self.settings.side,)

    def parts(self) -> tuple[str, ...]:
        """The two sides have scores of their own: they are not equally hard."""
        return tuple(f" {side}" for side in self._sides())

    def part(self, problem: Problem) -> str:
        """The side that is asked for."""
        return f" {problem.task.side}"

    def check(self, context: SuiteContext) -> None:
        """Every function must give what the file says.

        Raises:
            BurilError: E001 without isolation, E006 when one does not, E008, E009.
        """
        problems = self.problems(context)
        right = [item.task.output if item.task.side == "output" else item.task.arguments for item in problems]
        wrong = ["object()" if item.task.side == "output" else "*()" for item in problems]
        stubs = self.judge(problems, wrong, context)
        for item, verdict, stub in zip(problems, self.judge(problems, right, context), stubs, strict=True):
            if not verdict.passed or stub.passed:
                raise does_not_hold(item, verdict, stub.status)

    def judge(self, problems: Sequence[Problem], programs: Sequence[str], context: SuiteContext) -> list[Verdict]:
        """Each answer is the value itself, or the arguments that the function is called with."""
        jobs = [_job(item.task, text) for item, text in zip(problems, programs, strict=True)]
        done = iter(list(context.sandbox().run_all([job for job in jobs if job is not None])))
        return [Verdict("wrong", detail="no expression") if job is None else next(done) for job in jobs]

    def texts_of(self, problem: Problem) -> list[str]:
        """The function."""
        return [problem.task.code]

    def text_of(self, completion: Completion, problem: Problem) -> str:
        """The expression: the rest of the line, without what the assertion goes on with."""
        line = completion.text.strip().partition("\n")[0].rstrip()
        return _up_to_its_end(line) if problem.task.side == "input" else line.removesuffix("```").rstrip()


def _problem(line: dict[str, Any]) -> Problem:
    """One line: `id`, `code`, `input` and `output`."""
    code, arguments, output = (str(line[key]).strip() for key in ("code", "input", "output"))
    ast.literal_eval(output)
    return Problem(str(line["id"]), Sample(code, arguments, output, "output"), "", "", "", "", ("\n",))


def _asked(item: Problem, side: Side) -> Problem:
    """A task from one of its two sides."""
    told: Sample = item.task
    if side == "output":
        begun = f"assert f({told.arguments}) =="
        ask, rest = "What does this call give? Complete the assertion with a literal.", " ??"
    else:
        begun = "assert f("
        ask, rest = "Find arguments with which this assertion holds.", f"??) == {told.output}"
    before = "" if side == "output" else f"# f(??) == {told.output}\n"
    plain = f"{told.code}\n\n{before}{begun}"
    ask = f"{ask}\n\n```python\n{told.code}\n\n{begun}{rest}\n```"
    sample = Sample(told.code, told.arguments, told.output, side)
    return Problem(f"{item.name}:{side}", sample, plain, ask, f"```python\n{begun}", "", item.stops)


def _job(sample: Sample, text: str) -> Job | None:
    """What is run for an answer; None for one that is no expression, or more than the arguments of one call."""
    written = f"f({text})" if sample.side == "input" else text
    try:
        found = ast.parse(written.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if sample.side == "input" and not (isinstance(found, ast.Call) and isinstance(found.func, ast.Name)):
        return None  # such as `0) or ("what is wanted"`
    source = sample.code if sample.side == "input" else ""
    return Job(source + _ANSWER.format(written.strip()), "buril_answer", (Call((), ast.literal_eval(sample.output)),))


def _up_to_its_end(line: str) -> str:
    """The arguments of a call whose opening bracket stands before the line."""
    places = [place for place, letter in enumerate(line) if letter == ")"]
    for place in places:
        try:
            ast.parse(f"f({line[:place]})", mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        return line[:place]
    return line
