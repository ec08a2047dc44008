"""What suites of Python tasks with tests share: tasks from a file, judged by tests that are played back.

Every task proves itself before a model is loaded: its own solution passes and a function that does nothing fails, on
this machine. Tests are played back (`evaluate/_replay.py`), so that no verdict is within a candidate's reach.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from buril.core.errors import BurilError
from buril.evaluate._examples import behaviours, by_examples, by_vote, examples_of, first_broken
from buril.evaluate._replay import Script, judged, scripts
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._coding import Coding, Problem, does_not_hold, request, taken
from buril.evaluate.suites._credit import CREDIT, credit
from buril.evaluate.suites._files import FileSettings, tasks_of
from buril.evaluate.suites._judged import Repair
from buril.sandboxes._sandbox import Limits, Verdict

AT_ONCE = 64
"""Programs that are judged at once: enough for all workers, and progress shows."""


class Functional(Coding):
    """pass@1 of the likeliest completion of each task; with `samples`, also pass@k of completions at a temperature.

    A problem's `task` is an `Exam`.
    """

    version: ClassVar[int] = 2

    class Settings(FileSettings):
        """Where the tasks are, how they are put, how many completions are drawn, and which of them counts."""

        choose: tuple[Literal["examples", "vote"], ...] = ()
        """How one of the `samples` is chosen as the answer, for a score of its own (`examples@10`, `vote@10`): the
        first that does most of what the task's own examples say, or the first that behaves as most samples do on their
        arguments. The tests have no part in it: it is what a user could do with as many samples."""
        repair: int = Field(0, ge=0, le=8)
        """Rounds in which the model is shown what its greedy answer does on the task's own examples, where that is not
        what they say, and asked again: `repair@1`, `repair@2`, …. For models with a chat template."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._scripts: dict[str, Script | Verdict] = {}

    @abstractmethod
    def problem(self, line: dict[str, Any]) -> Problem:
        """A task from its line in the file; KeyError, TypeError and ValueError where it is none."""

    def problems(self, context: SuiteContext) -> list[Problem]:
        """The tasks taken, in the file's order.

        Raises:
            BurilError: E008 without the file, E009 when it holds something else.
        """
        return taken(tasks_of(self.settings.file(), self.name, self.problem), context)

    def check(self, context: SuiteContext) -> None:
        """Every task's own solution must pass its tests and an empty function must fail them, here and now.

        Raises:
            BurilError: E001 without isolation, E006 when a task does not hold, E008, E009.
        """
        problems = self.problems(context)
        self.prepare(problems, context)
        for item in problems:
            script = self._scripts[item.name]
            if isinstance(script, Verdict):
                raise does_not_hold(item, script, "–")
        good = self.judge(problems, [item.task.solution for item in problems], context)
        stubs = self.judge(problems, list(map(stub_of, problems)), context)
        for item, verdict, stub in zip(problems, good, stubs, strict=True):
            if not verdict.passed or stub.passed:
                raise does_not_hold(item, verdict, stub.status)

    def prepare(self, problems: Sequence[Problem], context: SuiteContext) -> None:
        """Write down what the tests call each solution with; what `check` wrote down already stays."""
        left = [item for item in problems if item.name not in self._scripts]
        for item, script in zip(left, scripts([item.task for item in left], context.sandbox()), strict=True):
            self._scripts[item.name] = script

    def judge(self, problems: Sequence[Problem], programs: Sequence[str], context: SuiteContext) -> list[Verdict]:
        """The verdict on each problem's program."""
        asked = [(self._script(item), program) for item, program in zip(problems, programs, strict=True)]
        found: list[Verdict] = []
        for start in range(0, len(asked), AT_ONCE):
            found += judged(asked[start : start + AT_ONCE], context.sandbox())
        return found

    def extra(self) -> dict[str, Literal["share", "ratio"]]:
        """Partial credit: where an answer gives what the task's own solution gives."""
        return CREDIT

    def scores(self, problem: Problem, verdict: Verdict) -> dict[str, float]:
        """That of one answer; it has none where tests and candidate share a process and it fails."""
        return credit(verdict)

    def rounds(self) -> int:
        """Those of the settings."""
        rounds: int = self.settings.repair
        return rounds

    def repairs(
        self, problems: Sequence[Problem], texts: Sequence[str], context: SuiteContext
    ) -> list[Repair | None] | None:
        """A chat about the first example that an answer does not keep."""
        told = [examples_of(item.plain, item.task.entry) for item in problems]
        asked = [
            (item.head + text + item.tail, item.task.entry, examples)
            for item, text, examples in zip(problems, texts, told, strict=True)
        ]
        found: list[Repair | None] = []
        for item, text, examples, behaviour in zip(
            problems, texts, told, behaviours(asked, context.sandbox()), strict=True
        ):
            broken = first_broken(item.task.entry, examples, behaviour)
            try:
                found.append(_repair(item, text, broken, context) if broken else None)
            except BurilError as problem:
                if problem.code != "T017":
                    raise
                return None
        return found

    def choices(self) -> tuple[str, ...]:
        """Those of the settings, where there are samples to choose from."""
        return tuple(dict.fromkeys(self.settings.choose)) if self.settings.samples > 1 else ()

    def choose(self, held: Sequence[tuple[Problem, list[str]]], context: SuiteContext) -> list[dict[str, int]]:
        """By how the samples behave on the examples of the task's text; a task without examples takes its first."""
        told = [examples_of(item.plain, item.task.entry) for item, _texts in held]
        asked = [
            (item.head + text + item.tail, item.task.entry, examples)
            for (item, texts), examples in zip(held, told, strict=True)
            for text in texts
            if examples
        ]
        found = iter(behaviours(asked, context.sandbox()))
        ways = {"examples": by_examples, "vote": by_vote}
        chosen = []
        for (_item, texts), examples in zip(held, told, strict=True):
            its = [next(found) for _text in texts] if examples else []
            chosen.append({way: ways[way](its) if its else 0 for way in self.choices()})
        return chosen

    def _script(self, item: Problem) -> Script:
        """A task's script; where no one asked whether it holds, its tests run beside the candidate."""
        found = self._scripts[item.name]
        return Script(item.task, Limits(), None) if isinstance(found, Verdict) else found


def stub_of(item: Problem) -> str:
    """A program whose function does nothing, whatever it is given."""
    return f"{item.head}\n\ndef {item.task.entry}(*_all, **_named):\n    pass\n"


def _repair(item: Problem, text: str, broken: str, context: SuiteContext) -> Repair:
    """What is asked of an answer that breaks an example."""
    code = (item.head + text + item.tail).strip("\n")
    ask = f"This Python function is wrong: {broken}\n\n```python\n{code}\n```\n\nWrite it right."
    ids = context.generator.chat([{"role": "user", "content": ask}])
    return Repair(ask, request(ids, item, context, prefill=item.prefill))
