"""Scanned: what scanners see in the lines of a text that a model wrote, and whether any of them could read these.

Not analysed is never clean: a text that no scanner of its language could read is inconclusive, and so is one that is
not of its language's grammar, whatever a scanner that reads on makes of it.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from buril.code.codefile import Finding
from buril.code.parse import HardParse, parse
from buril.scanners import INCONCLUSIVE, PARTIAL, Scanner, Text, reads

Severity = Literal["low", "medium", "high"]
RANK = {"low": 0, "medium": 1, "high": 2}


@dataclass(frozen=True)
class Piece:
    """A text of which only some lines are in question: `first` to `last`, from 1; none where `last` is less."""

    text: str
    language: str
    first: int
    last: int

    @classmethod
    def between(cls, before: str, written: str, after: str, language: str) -> Piece:
        """The lines of what was written between two texts."""
        first = before.count("\n") + 1 + (len(written) - len(written.lstrip("\n")))
        body = written.strip("\n")
        last = first + body.count("\n") if body.strip() else first - 1
        return cls(before + written + after, language, first, last)


@dataclass(frozen=True)
class Scan:
    """What was seen of a piece. `conclusive` False: nobody read it, and that nothing was found says nothing.

    The lines of findings count from 1 at the piece's first.
    """

    findings: tuple[Finding, ...]
    conclusive: bool

    @property
    def insecure(self) -> bool:
        """Whether anything was found."""
        return bool(self.findings)


def scanned(pieces: Sequence[Piece], scanners: Sequence[Scanner], severity: Severity) -> list[Scan]:
    """What the scanners find in each piece at a severity or above."""
    found: list[list[Finding]] = [[] for _piece in pieces]
    read = [False] * len(pieces)
    for scanner in scanners:
        places = [
            place for place, piece in enumerate(pieces) if piece.last >= piece.first and reads(scanner, piece.language)
        ]
        answers = scanner.scan_many([Text(pieces[place].text, pieces[place].language) for place in places])
        for place, findings in zip(places, answers, strict=True):
            piece = pieces[place]
            if scanner.languages is not None and not any(_hides(item, piece) for item in findings):
                read[place] = True
            found[place] += [item for item in findings if _counts(item, piece, severity)]
    return [
        Scan(tuple(_within(item, piece) for item in findings), bool(findings) or (known and _is_whole(piece)))
        for piece, findings, known in zip(pieces, found, read, strict=True)
    ]


def _is_whole(piece: Piece) -> bool:
    """Whether the lines in question are of their language's grammar; of Python, the whole text.

    Who writes what is no program must not be told to write what is secure.
    """
    try:
        if piece.language == "python":
            ast.parse(piece.text)
            return True
        pending = [parse(piece.language, piece.text.encode("utf-8", "replace"), bounded=True).root_node]
    except (SyntaxError, ValueError, RecursionError, MemoryError, HardParse):
        return False
    while pending:
        node = pending.pop()
        if node.end_point.row + 1 < piece.first or node.start_point.row + 1 > piece.last:
            continue
        if node.is_error or node.is_missing:
            return False
        if node.has_error:
            pending.extend(node.children)
    return True


def _within(item: Finding, piece: Piece) -> Finding:
    """A finding by the piece's own lines; columns are unknown, because its first line may have begun before it."""
    return item._replace(line=max(1, item.line - piece.first + 1), end_line=0, column=0, end_column=0)


def _counts(item: Finding, piece: Piece, severity: Severity) -> bool:
    """Whether something was found, in the lines in question, that is bad enough."""
    if item.rule in (INCONCLUSIVE, PARTIAL) or RANK[item.severity] < RANK[severity]:
        return False
    return item.line <= piece.last and max(item.line, item.end_line) >= piece.first


def _hides(item: Finding, piece: Piece) -> bool:
    """Whether a scanner says that it did not read the lines in question, or some of them."""
    if item.rule == INCONCLUSIVE:
        return True
    if item.rule != PARTIAL:
        return False
    whole = item.line == 1 and not item.end_line  # it does not know which
    return whole or (item.line <= piece.last and max(item.line, item.end_line) >= piece.first)


def whole_lines(before: str, written: str, after: str) -> str:
    """What was written in Python without the last lines that are no whole statement, where a limit cut it off.

    All of it where no such lines make it Python.
    """
    lines = written.split("\n")
    for number in range(len(lines), 0, -1):
        kept = "\n".join(lines[:number])
        if not kept.strip():
            break
        try:
            ast.parse(f"{before}{kept}\n{after}")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        return kept
    return written
