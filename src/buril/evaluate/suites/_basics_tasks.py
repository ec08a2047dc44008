"""The tasks of the suite `basics`: what they are made of, and all of them in order.

They were written for buril and are in no other benchmark. Some are worded in Spanish or in both languages.
"""

from __future__ import annotations

from dataclasses import dataclass

from buril.evaluate.suites._basics_numbers import NUMBERS
from buril.evaluate.suites._basics_records import RECORDS
from buril.evaluate.suites._basics_text import TEXT
from buril.sandboxes._sandbox import Call


@dataclass(frozen=True)
class Task:
    """One task: `prompt` is a signature and a docstring, `solution` a right body, `calls` what a body must do."""

    name: str
    entry: str
    prompt: str
    solution: str
    calls: tuple[Call, ...]


def _task(prompt: str, solution: str, *calls: tuple[object, object]) -> Task:
    """A task from its table row. A call is (arguments, value), or (arguments, exception class) where it must raise."""
    entry = prompt.split("(", 1)[0].rsplit(maxsplit=1)[-1]
    made = tuple(
        Call(args if isinstance(args, tuple) else (args,), raises=expected.__name__)
        if isinstance(expected, type)
        else Call(args if isinstance(args, tuple) else (args,), expected)
        for args, expected in calls
    )
    return Task(f"basics/{entry}", entry, prompt.lstrip("\n"), solution.lstrip("\n"), made)


TASKS: tuple[Task, ...] = tuple(_task(*row) for row in (*NUMBERS, *TEXT, *RECORDS))
