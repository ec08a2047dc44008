"""Labelled programs for static analysis: every weak one has a twin that differs by little and is not weak.

They stand in `<language>/cwe_<number>.txt`, one after the other:

    ### bad: short-name
    ### expect: CWE-89 line 7
    <the program>
    ### good: short-name
    <its twin>

A line is counted from 1 within the program. It is where the call of the sink begins, even when what is wrong with an
argument stands before it; for a secret it is where the literal stands, and where nothing is called, the wrong setting.
A program has only the weaknesses that it expects, as far as its authors know; a twin has none. Related numbers are
kept apart as MITRE does (94 and 95, 328 and 916), which tools often do not. Blank lines at the end belong to no program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
_HEAD = re.compile(r"### (bad|good): ([a-z0-9]+(?:-[a-z0-9]+)*)")
_EXPECT = re.compile(r"### expect: (CWE-[1-9][0-9]*) line ([1-9][0-9]*)")


class Case(NamedTuple):
    """One program. `cwe` is what its file is about ("CWE-89"); `expected` is empty for a good one."""

    language: str
    cwe: str
    name: str
    bad: bool
    text: str
    expected: tuple[tuple[str, int], ...]


def cases(language: str | None = None) -> Iterator[Case]:
    """The programs of a language, or all, by language, weakness and their order in the file.

    Raises:
        ValueError: for a file that does not have the form.
    """
    for path in sorted(FOLDER.glob(f"{language or '*'}/cwe_*.txt")):
        cwe = "CWE-" + path.stem.removeprefix("cwe_")
        yield from read(path.read_text(encoding="utf-8"), path.parent.name, cwe)


def read(text: str, language: str, cwe: str) -> Iterator[Case]:
    """The programs that a file holds.

    Raises:
        ValueError: when a line that begins with `### ` is no head, or stands where it must not.
    """
    head: tuple[str, str] | None = None
    expected: list[tuple[str, int]] = []
    lines: list[str] = []
    for line in [*text.splitlines(), None]:
        begins = _HEAD.fullmatch(line) if line else None
        if head and (line is None or begins):
            body = "\n".join(lines).rstrip("\n") + "\n"
            yield Case(language, cwe, head[1], head[0] == "bad", body, tuple(expected))
            expected, lines = [], []
        if begins:
            head = (begins[1], begins[2])
        elif line and (told := _EXPECT.fullmatch(line)) and head and not lines:
            expected.append((told[1], int(told[2])))
        elif line is not None and (line.startswith("### ") or (line and not head)):
            raise ValueError(f"{language} {cwe}: {line}")
        elif line is not None and head:
            lines.append(line)
