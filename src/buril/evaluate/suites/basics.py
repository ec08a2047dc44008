"""Basics: short Python tasks of our own, from easy to middling, judged by running what the model wrote in the sandbox.

Before a model is loaded every task proves itself: its own solution passes and an empty body fails, on this machine. So
a score of 0 is the model's, never the harness's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from buril.core.errors import BurilError
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._basics_tasks import TASKS, Task
from buril.evaluate.suites._coding import ADDRESS, Coding, Problem, chats, does_not_hold, request, taken
from buril.evaluate.suites._credit import CREDIT, credit
from buril.evaluate.suites._python import STOPS, body_of
from buril.generators._generator import Completion, Request
from buril.sandboxes._sandbox import Job, Verdict

_STUB = "    pass\n"
_EXAMPLES = '''def double(number):
    """Return twice the number."""
    return number * 2


def first_letter(text):
    """Return the first letter of text, or "" if it is empty."""
    return text[0] if text else ""


'''


class Basics(Coding):
    """pass@1 of the likeliest completion; with `samples`, also pass@k of completions at a temperature."""

    version: ClassVar[int] = 2
    name: ClassVar[str] = "basics"
    one_form: ClassVar[bool] = True

    class Settings(Coding.Settings):
        """How tasks are put, and how many completions are drawn."""

        prompt: Literal["auto", "chat", "examples", "plain"] = "auto"  # type: ignore[assignment]  # other forms
        """How a task is put: as a `chat` whose answer begins with the function, after two solved `examples`, or
        `plain`. `auto` is a chat where the model has a template, else examples: a form it knows."""

    def problems(self, context: SuiteContext) -> list[Problem]:
        """The tasks taken, in their order."""
        return taken([_problem(task) for task in TASKS], context)

    def check(self, context: SuiteContext) -> None:
        """Every task's own solution must pass and an empty body must fail, here and now.

        Raises:
            BurilError: E001 without isolation, E006 when a task does not hold.
        """
        problems = self.problems(context)
        good = self.judge(problems, [item.task.prompt + item.task.solution for item in problems], context)
        stubs = self.judge(problems, [item.task.prompt + _STUB for item in problems], context)
        for item, verdict, stub in zip(problems, good, stubs, strict=True):
            if not verdict.passed or stub.passed:
                raise does_not_hold(item, verdict, stub.status)

    def forms(self, problems: Sequence[Problem], context: SuiteContext) -> dict[str, list[Request]]:
        """The form taken, and the tasks in it."""
        wanted: str = self.settings.prompt
        if wanted in ("auto", "chat"):
            try:
                return {"chat": chats(problems, context)}
            except BurilError as problem:
                if problem.code != "T017" or wanted == "chat":
                    raise
        form, before = ("plain", "") if wanted == "plain" else ("examples", _EXAMPLES)
        return {form: [request(before + item.plain, item, context) for item in problems]}

    def judge(self, problems: Sequence[Problem], programs: Sequence[str], context: SuiteContext) -> list[Verdict]:
        """Each program's function is called with the task's arguments."""
        jobs = [
            Job(program, item.task.entry, item.task.calls) for item, program in zip(problems, programs, strict=True)
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
        """Its prompt, and the whole function."""
        return [problem.plain, problem.plain + problem.task.solution]

    def more(self, problem: Problem, verdict: Verdict) -> dict[str, Any]:
        """What came of each call."""
        task: Task = problem.task
        return {
            "calls": [
                {
                    "args": repr(call.args)[1:-1].rstrip(",")[:200],
                    "expected": call.raises or repr(call.expected)[:200],
                    "status": found.status,
                    "got": ADDRESS.sub("0x…", found.got),
                }
                for call, found in zip(task.calls, verdict.calls, strict=True)
            ]
        }


def _problem(task: Task) -> Problem:
    head = task.prompt.rstrip()
    ask = f"Complete this Python function.\n\n```python\n{head}\n```"
    return Problem(task.name, task, task.prompt, ask, f"```python\n{task.prompt}", head, STOPS)
