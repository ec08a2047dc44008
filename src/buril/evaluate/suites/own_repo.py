"""Own repositories: held-out functions that their own descriptions and tests say how to test.

No benchmark is so near to what a team writes, and none is newer: its tasks are of the split's test part, which the
training never saw. Judged is by value, outside of the sandbox. A function is only asked if its own body gives what its
examples say on this machine and an empty body does not; what needs other packages than Python's own is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal

from buril.evaluate._mined import Mined, mined
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._coding import Coding, Problem, taken
from buril.evaluate.suites._credit import CREDIT, credit
from buril.evaluate.suites._python import STOPS, body_of
from buril.generators._generator import Completion
from buril.sandboxes._sandbox import Call, Job, Verdict

_STUB = "    pass\n"


class OwnRepo(Coding):
    """pass@1 of held-out functions with examples of their own; a problem's `task` is a `Mined`."""

    version: ClassVar[int] = 1
    name: ClassVar[str] = "own_repo"

    class Settings(Coding.Settings):
        """Which functions, and how they are put."""

        min_examples: int = 2
        """Examples that a function must have at least: one alone is met by chance too often."""
        min_body_bytes: int = 24
        """Shorter bodies (`return self.x`) tell little."""
        max_body_bytes: int = 1500
        """Longer bodies are left out: no completion of `max_tokens` could be one."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._held: dict[str, list[Problem]] = {}

    def problems(self, context: SuiteContext) -> list[Problem]:
        """The functions that hold, in the order of their files; `max_items` bounds them."""
        key = context.split.digest
        if key not in self._held:
            self._held[key] = self._holding(self._found(context), context)
        return taken(self._held[key], context)

    def check(self, context: SuiteContext) -> None:
        """Find out which functions hold.

        Raises:
            BurilError: E001 without isolation.
        """
        self.problems(context)

    def _found(self, context: SuiteContext) -> list[Problem]:
        told = self.settings
        found = []
        for item in mined(context.test_files()):
            size = len(item.body.strip().encode())
            if len(item.examples) >= told.min_examples and told.min_body_bytes <= size <= told.max_body_bytes:
                found.append(_problem(item, context.max_prompt_bytes))
        times = Counter(item.name for item in found)
        return [item for item in found if times[item.name] == 1]

    def _holding(self, problems: list[Problem], context: SuiteContext) -> list[Problem]:
        if not problems:
            return []
        good = self.judge(problems, [item.head + item.task.body for item in problems], context)
        stubs = self.judge(problems, [item.head + _STUB for item in problems], context)
        return [
            item
            for item, verdict, stub in zip(problems, good, stubs, strict=True)
            if verdict.passed and not stub.passed
        ]

    def judge(self, problems: Sequence[Problem], programs: Sequence[str], context: SuiteContext) -> list[Verdict]:
        """Each program's function is called with the arguments of its examples."""
        jobs = [
            Job(program, item.task.name, tuple(Call(one.arguments, one.value) for one in item.task.examples))
            for item, program in zip(problems, programs, strict=True)
        ]
        return list(context.sandbox().run_all(jobs))

    def extra(self) -> dict[str, Literal["share", "ratio"]]:
        """Partial credit."""
        return CREDIT

    def scores(self, problem: Problem, verdict: Verdict) -> dict[str, float]:
        """That of one answer."""
        return credit(verdict)

    def text_of(self, completion: Completion, problem: Problem) -> str:
        """The function's body."""
        return body_of(completion)

    def texts_of(self, problem: Problem) -> list[str]:
        """The whole function."""
        return [problem.task.head + problem.task.body]


def _problem(item: Mined, prompt_bytes: int) -> Problem:
    before = item.before.encode("utf-8", "replace")
    cut = max(0, len(before) - prompt_bytes)
    if cut:
        cut = before.find(b"\n", cut) + 1 or cut
    shown = before[cut:].decode("utf-8", "replace")
    ask = f"Complete this Python function.\n\n```python\n{item.head.rstrip()}\n```"
    name = f"{item.file.repo}/{item.file.path}#{item.name}"
    head = f"{item.needs}\n\n{item.head}"
    return Problem(name, item, shown, ask, f"```python\n{item.head}", head, STOPS)
