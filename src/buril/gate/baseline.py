"""A baseline: what was known before, so that only what is new counts. A file of JSON beside the code.

An entry is a path, a rule and a fingerprint, so it holds when lines move. When a file was moved, its entries serve the
same findings elsewhere, each once: a copy of a weakness in another file is new.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.gate.result import Result

VERSION = 1


class Entry(NamedTuple):
    """A known finding."""

    path: str
    scanner: str
    rule: str
    fingerprint: str


def entry(result: Result) -> Entry:
    """What a baseline remembers of a result."""
    return Entry(result.path, result.finding.scanner, result.finding.rule, result.fingerprint)


def read(path: Path) -> set[Entry]:
    """The entries of a file.

    Raises:
        BurilError: W234 when it can't be read or is no baseline.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        known = {Entry(**{name: str(row[name]) for name in Entry._fields}) for row in told["findings"]}
        version = told["version"]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        said = getattr(problem, "strerror", None) or f"{type(problem).__name__}: {problem}"
        raise BurilError("W234", path=path, problem=said) from problem
    if version != VERSION:
        raise BurilError("W234", path=path, problem=f"version {version}")
    return known


def write(path: Path, results: Iterable[Result]) -> int:
    """Write all that counts as known; the number of entries.

    Raises:
        BurilError: W236 when it can't be written.
    """
    entries = sorted({entry(replace(item, known=None)) for item in results if replace(item, known=None).counts})
    told = {"version": VERSION, "findings": [item._asdict() for item in entries]}
    save(path, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return len(entries)


def save(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        BurilError: W236 when it can't be written.
    """
    content = text.encode("utf-8", "surrogateescape")
    try:
        if path.exists() and not path.is_file():  # a pipe, a terminal: nothing to be replaced
            path.write_bytes(content)
            return
        with atomic(path) as temporary:
            temporary.write_bytes(content)
    except OSError as problem:
        raise BurilError("W236", path=path, problem=problem.strerror or str(problem)) from problem


def append(path: Path, text: str) -> None:
    """Write behind what a file holds.

    Raises:
        BurilError: W236 when it can't be written.
    """
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as problem:
        raise BurilError("W236", path=path, problem=problem.strerror or str(problem)) from problem


def compared(results: Iterable[Result], known: set[Entry], root: Path) -> list[Result]:
    """The results, each said to be known or new."""
    gone = [item for item in known if not (root / item.path).exists()]
    moved = Counter((item.scanner, item.rule, item.fingerprint) for item in gone)
    judged = []
    for result in results:
        mine = entry(result)
        there = mine in known
        if not there and moved[mine[1:]] > 0:
            moved[mine[1:]] -= 1
            there = True
        judged.append(replace(result, known=there))
    return judged
