"""Robustness: HumanEval's tasks told in other ways that mean the same, and what is lost by that.

Each transform is made anew from the tasks (`evaluate/_perturb.py`), and a task told in its way is only asked if the
transformed solution passes the tests on this machine and an empty function fails them.
"""

from __future__ import annotations

import random
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from buril.core.errors import nearest
from buril.core.text import _
from buril.evaluate._perturb import HALF, WHOLE, Told, half
from buril.evaluate._replay import Exam, Script
from buril.evaluate.suite import Measure, SuiteContext, SuiteResult
from buril.evaluate.suites._coding import Problem, does_not_hold
from buril.evaluate.suites._functional import Functional, stub_of
from buril.evaluate.suites._python import STOPS, body_of
from buril.evaluate.suites.humaneval import Humaneval
from buril.generators._generator import Completion
from buril.sandboxes._sandbox import Verdict

TRANSFORMS = {**WHOLE, **HALF}


class Robustness(Functional):
    """pass@1 of the tasks as they are and as each transform tells them, the worst of these, and the relative drop.

    `pass@1 NAME` is over the tasks that the transform NAME changes, `pass@1 half` over the same tasks with half of
    their solution shown, which `operands` and `loops` start from. `worst@1` is the share of tasks that are solved
    in every way, and `drop` how much of pass@1 is lost by that.
    """

    version: ClassVar[int] = 1
    name: ClassVar[str] = "robustness"

    class Settings(Humaneval.Settings):
        """Where the tasks are, how they are put, and in which ways they are told."""

        transforms: tuple[str, ...] = tuple(TRANSFORMS)
        """In which ways the tasks are told: `rename_function`, `rename_arguments`, `obfuscate`, `docstring_typos`,
        `comments`, `dead_code`, and with half of the solution shown `operands` and `loops`."""

        @field_validator("transforms")
        @classmethod
        def _known(cls, transforms: tuple[str, ...]) -> tuple[str, ...]:
            for name in transforms:
                if name not in TRANSFORMS:
                    suggestion = nearest(name, list(TRANSFORMS))
                    raise ValueError(_("no transform `{name}`; {suggestion}").format(name=name, suggestion=suggestion))
            return tuple(name for name in TRANSFORMS if name in transforms)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._held: set[str] | None = None

    def parts(self) -> tuple[str, ...]:
        """The ways of telling; the tasks as they are have none."""
        shown = ("half",) if set(self.settings.transforms) & set(HALF) else ()
        return ("", *(f" {name}" for name in (*shown, *self.settings.transforms)))

    def extra(self) -> dict[str, Literal["share", "ratio"]]:
        """Nothing: what counts here is whether a task is still solved."""
        return {}

    def scores(self, problem: Problem, verdict: Verdict) -> dict[str, float]:
        """Nothing."""
        return {}

    def part(self, problem: Problem) -> str:
        """The way in which a task is told."""
        way = problem.name.partition(":")[2]
        return f" {way}" if way else ""

    def metrics(self) -> tuple[str, ...]:
        """Those of all ways, the worst of them, and the drop, for each form."""
        more = (f"{name}{suffix}" for suffix in self.suffixes() for name in ("worst@1", "drop"))
        return (*super().metrics(), *more)

    def problems(self, context: SuiteContext) -> list[Problem]:
        """The tasks taken in all ways that change them; `max_items` bounds the tasks.

        Raises:
            BurilError: E008 without the file, E009 when it holds something else.
        """
        found = [way for item in super().problems(context) for way in self._ways(item, context.seed)]
        return [item for item in found if self._held is None or not self.part(item) or item.name in self._held]

    def problem(self, line: dict[str, Any]) -> Problem:
        """A task as it is."""
        told = Told(str(line["prompt"]), str(line["canonical_solution"]), str(line["entry_point"]))
        return _problem(str(line["task_id"]), told, str(line["test"]))

    def _ways(self, item: Problem, seed: int) -> list[Problem]:
        """A task, and in all other ways that change it."""
        exam: Exam = item.task
        told = Told(item.plain, exam.solution[len(item.plain) :], exam.entry)
        begun = half(told)
        changed = {}
        for way in self.settings.transforms:
            start = told if way in WHOLE else begun
            drawn = random.Random(f"{seed} {item.name} {way}")  # noqa: S311  no secret
            made = TRANSFORMS[way](start, drawn) if start else None
            if made:
                changed[way] = made
        if begun and set(changed) & set(HALF):
            changed = {"half": begun, **changed}
        return [item, *(_problem(f"{item.name}:{way}", made, exam.tests) for way, made in changed.items())]

    def check(self, context: SuiteContext) -> None:
        """The tasks as they are must hold; what holds no longer when it is told in another way is left out.

        Raises:
            BurilError: E001 without isolation, E006 when a task does not hold, E008, E009.
        """
        self._hold(context)
        for item in self.problems(context):
            script = self._scripts[item.name]
            if isinstance(script, Verdict):
                raise does_not_hold(item, script, "–")
            if item.name not in (self._held or ()):
                raise does_not_hold(item, Verdict("pass"), "pass")

    def run(self, context: SuiteContext) -> SuiteResult:
        """Ask the tasks in all ways, and add what is common to the ways of each."""
        self._hold(context)
        result = super().run(context)
        for suffix in self.suffixes():
            self._compare(result, suffix)
        return result

    def _hold(self, context: SuiteContext) -> None:
        """Find out, once, which tasks hold as they are told."""
        if self._held is not None:
            return
        problems = self.problems(context)
        self.prepare(problems, context)
        sound = [item for item in problems if isinstance(self._scripts[item.name], Script)]
        stubs = self.judge(sound, list(map(stub_of, sound)), context)
        self._held = {item.name for item, stub in zip(sound, stubs, strict=True) if not stub.passed}

    def _compare(self, result: SuiteResult, suffix: str) -> None:
        """The worst of each task's ways, and the drop, from the scores of all ways in one form."""
        whole = result.measures.get(f"pass@1{suffix}")
        if whole is None:
            return
        worst = dict(zip(whole.units, whole.numerators, strict=True))
        first = dict(worst)
        for way in self.settings.transforms:
            found = result.measures.get(f"pass@1 {way}{suffix}")
            for unit, score in zip(found.units, found.numerators, strict=True) if found else ():
                name = unit.partition(":")[0]
                worst[name] = min(worst[name], score)
        share = result.measures.setdefault(f"worst@1{suffix}", Measure("share", "higher"))
        drop = result.measures.setdefault(f"drop{suffix}", Measure("ratio", "lower"))
        for name, score in worst.items():
            share.add(name, score)
            drop.add(name, first[name] - score, first[name])

    def text_of(self, completion: Completion, problem: Problem) -> str:
        """The function's body."""
        return body_of(completion)


def _problem(name: str, told: Told, tests: str) -> Problem:
    exam = Exam(name, told.entry, told.source, tests)
    shown = told.shown.rstrip()
    ask = f"Complete this Python function.\n\n```python\n{shown}\n```"
    return Problem(name, exam, told.shown, ask, f"```python\n{told.shown}", shown, STOPS)
