"""Tasks of `synthesise`: what a teacher is asked about a seed, and what is read from its answer.

`instruct` asks for the task that a real function solves, `tests` for its tests, and `invent` for a new task inspired by
it, with a solution (after OSS-Instruct, Wei et al. 2023, arXiv:2312.02120). All ask for tests, because all are run.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from buril.code.codefile import CodeFile
from buril.code.pair import pair
from buril.data._seeds import Seed, calls_of, parsed
from buril.sandboxes._sandbox import Call

Kind = Literal["instruct", "tests", "invent"]
_TESTS = (
    "Write at least {tests} tests, each one line of the form `assert {name}(...) == ...`, with literal values only, "
    "below a line `Tests:` in one ```python block."
)
_ASK: dict[Kind, str] = {
    "instruct": "Here is a Python function.\n\n```python\n{code}```\n\nWrite the task that this function solves, as a "
    "person would ask a programmer for it: what comes in, what comes out, how corner cases are treated. Name the "
    "function `{signature}` in it, and give no code. Begin with a line `Task:`. Then: " + _TESTS,
    "tests": "Here is a Python function.\n\n```python\n{code}```\n\n" + _TESTS,
    "invent": "Be inspired by this Python code to make up a new, self-contained programming task.\n\n```python\n{code}"
    "```\n\nBegin with a line `Task:` and the task in words. Then, below a line `Solution:`, one ```python block with "
    "one function `solve` that uses only the standard library. Then: " + _TESTS,
}
_BLOCK = re.compile(r"```(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)
_MARKS = r"[#*_: \t]{0,8}"
_TASK = re.compile(rf"^{_MARKS}task(?:{_MARKS}$|[ \t]?:)", re.IGNORECASE | re.MULTILINE)
_END_OF_TASK = re.compile(rf"^{_MARKS}(?:tests|solution){_MARKS}$|```", re.IGNORECASE | re.MULTILINE)
MIN_TASK_CHARS = 30


class Candidate(NamedTuple):
    """What may become a row: its text, the program to run, its entry and calls, and what the teacher wrote of it.

    `own` says whether the program is the seed's.
    """

    content: str
    source: str
    entry: str
    calls: tuple[Call, ...]
    written: str
    own: bool


def question(kind: Kind, seed: Seed, min_tests: int) -> str:
    """What a teacher is asked."""
    name = "solve" if kind == "invent" else seed.name
    return _ASK[kind].format(code=seed.code, signature=seed.signature, name=name, tests=min_tests)


def read_answer(kind: Kind, seed: Seed, answer: str, min_tests: int) -> Candidate | str:
    """The candidate in an answer, or the slug of what it lacks."""
    blocks = _BLOCK.findall(answer)
    task = _task(answer) if kind != "tests" else ""
    if kind != "tests" and len(task) < MIN_TASK_CHARS:
        return "no_task"
    source, entry = seed.code, seed.name
    if kind == "invent":
        entry = "solve"
        source = next((block for block in blocks if "def solve" in block), "")
        if not source or parsed(source) is None:
            return "no_solution"
    calls, lines = calls_of("\n".join(block for block in blocks if parsed(block) is not None), entry)
    if len(calls) < min_tests:
        return "few_tests"
    tests = "\n".join(lines) + "\n"
    if kind == "tests":
        content = pair(f"Write tests for this Python function.\n{seed.code}", tests)
    else:
        content = pair(task, source)
    if content is None:
        return "spells_marks"
    written = tests if kind == "tests" else task if kind == "instruct" else f"{task}\n{source}"
    return Candidate(content, source, entry, tuple(calls), written, own=kind != "invent")


def _task(answer: str) -> str:
    """The words between the line `Task:` and what comes next."""
    found = _TASK.search(answer)
    text = answer[found.end() :] if found else ""
    end = _END_OF_TASK.search(text)
    return text[: end.start() if end else None].strip()


def license_of(file: CodeFile, teacher: str, *, own: bool) -> str:
    """The licence of a row: the teacher's terms, and the seed's where its code is part of the text."""
    if not own:
        return teacher
    seed = file.license or "LicenseRef-unknown"
    return " AND ".join(f"({part})" if " " in part else part for part in (seed, teacher))
