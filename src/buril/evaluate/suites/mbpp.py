"""MBPP: short programs from one sentence and three assertions (Austin et al. 2021, arXiv 2108.07732)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from buril.evaluate._replay import Exam
from buril.evaluate.suites._coding import Problem
from buril.evaluate.suites._functional import Functional
from buril.generators._generator import Completion

CHECK = "buril_check"
STOPS = ('\n"""', "\nassert ", "\nprint(", "\n```", "\nif __name__", "\n# Test")
"""Texts that end a program."""


class Mbpp(Functional):
    """The tasks of `mbpp.jsonl` or `sanitized-mbpp.json`; the model sees the sentence and the assertions."""

    name: ClassVar[str] = "mbpp"

    class Settings(Functional.Settings):
        """Where the tasks are, how they are put, and how many completions are drawn."""

        path: Path | None = None
        """The file of the tasks: `mbpp.jsonl` (974; those numbered 11 to 510 are for testing) or `sanitized-mbpp.json`
        (427, gone over by hand). Its bytes are part of the identity, its place is not."""

        def file(self) -> Path:
            """The file of the settings."""
            return self.path or Path("sanitized-mbpp.json")

    def problem(self, line: dict[str, Any]) -> Problem:
        """One task: `task_id`, `prompt` (or `text`), `code`, `test_list`, and `test_imports` (or `test_setup_code`)."""
        text, code = str(line.get("prompt") or line["text"]), str(line["code"]).replace("\r\n", "\n")
        tests = [str(test).replace("\r\n", "\n") for test in line["test_list"]]
        setup = "\n".join([*line.get("test_imports", ()), line.get("test_setup_code", "").replace("\r\n", "\n")])
        entry = _entry(code, tests)
        body = "\n".join("    " + part for test in tests for part in test.split("\n"))
        check = f"{setup}\n\ndef {CHECK}(candidate):\n    global {entry}\n    {entry} = candidate\n{body}\n"
        shown = "\n".join(tests)
        exam = Exam(f"MBPP/{line['task_id']}", entry, code, check, CHECK)
        ask = f"{text}\nYour code should pass these tests:\n\n```python\n{shown}\n```"
        return Problem(exam.name, exam, f'"""\n{text}\n{shown}\n"""', ask, "```python\n", "", STOPS)

    def text_of(self, completion: Completion, problem: Problem) -> str:
        """All of it: a program."""
        text: str = completion.text
        return text.strip("\r\n") + "\n"


def _entry(code: str, tests: list[str]) -> str:
    """The function of the code that the tests name; the last one where they name none.

    Raises:
        ValueError: the code defines no function.
    """
    names: list[str] = re.findall(r"^def\s+(\w+)", code, re.MULTILINE)
    if not names:
        raise ValueError("the code defines no function")
    return next((name for name in names if any(re.search(rf"\b{name}\s*\(", test) for test in tests)), names[-1])
