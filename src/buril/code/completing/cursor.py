"""Cursor: where a text is to be put in, with what the file around it says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

from tree_sitter import Point, Tree

from buril.code.completing._brackets import Scan, scan
from buril.code.language import languages
from buril.code.parse import HardParse, error_bytes, parse, reparse

MOST_CHARS = 128_000
"""Characters of the file that are looked at on each side of a cursor. A parse takes 0.2 µs a character."""
_KEPT = 64
"""Texts of one place whose parses are remembered."""


class Line(NamedTuple):
    """A line with its indentation, in columns (a tab counts 4, as it is only compared)."""

    text: str
    indent: int


@dataclass(frozen=True)
class Cursor:
    """Where a text is put in: the file before it and after it.

    Attributes:
        prefix: the text before; far ends are cut at a line.
        suffix: the text after.
        language: its name; "" where it is not known. Without a grammar nothing is parsed, and indentation decides.
    """

    prefix: str
    suffix: str = ""
    language: str = ""

    def __post_init__(self) -> None:
        if len(self.prefix) > MOST_CHARS:
            head = self.prefix.find("\n", len(self.prefix) - MOST_CHARS) + 1
            object.__setattr__(self, "prefix", self.prefix[head or -MOST_CHARS :])
        if len(self.suffix) > MOST_CHARS:
            tail = self.suffix.rfind("\n", 0, MOST_CHARS) + 1
            object.__setattr__(self, "suffix", self.suffix[: tail or MOST_CHARS])

    @property
    def has_grammar(self) -> bool:
        """Whether the language can be parsed."""
        return bool(self.language) and self.language in languages()

    @cached_property
    def line(self) -> str:
        """What stands before the cursor on its line."""
        return self.prefix[self.prefix.rfind("\n") + 1 :]

    @cached_property
    def rest(self) -> str:
        """What stands after the cursor on its line."""
        return self.suffix.partition("\n")[0].rstrip("\r")

    @cached_property
    def above(self) -> Line:
        """The last line before the cursor's that is not blank."""
        return _first(self.prefix[: len(self.prefix) - len(self.line)].split("\n")[::-1])

    @cached_property
    def below(self) -> Line:
        """The first line after the cursor's that is not blank."""
        return _first(self.suffix.partition("\n")[2].split("\n", 200)[:200])

    @cached_property
    def before(self) -> Scan:
        """The brackets that are open at the cursor."""
        return scan(self.prefix, self.language)

    @cached_property
    def after(self) -> Scan:
        """The brackets that what follows the cursor closes."""
        return scan(self.suffix, self.language)

    def brings(self, number: int) -> bool:
        """Whether what follows closes `number` open brackets and more, counted from the outermost."""
        return len(self.after.closed) >= number

    @cached_property
    def _errors(self) -> dict[str, int]:
        return {}

    def errors(self, text: str) -> int:
        """Bytes of the file with `text` in it that do not parse; 0 where there is no grammar.

        Only what a text changes is parsed again.
        """
        if not self.has_grammar:
            return 0
        known = self._errors
        if text not in known:
            if len(known) >= _KEPT:
                known.clear()
            known[text] = self._parse(text)
        return known[text]

    def _parse(self, text: str) -> int:
        try:
            empty = self._empty.copy()
            at, added = len(self._raw[0]), text.encode("utf-8", "replace")
            start = point_of(self._raw[0])
            row, column = point_of(added)
            end = Point(start.row + row, column if row else start.column + column)
            empty.edit(at, at, at + len(added), start, start, end)
            return error_bytes(reparse(self.language, self._raw[0] + added + self._raw[1], empty))
        except HardParse:
            return MOST_CHARS

    @cached_property
    def _raw(self) -> tuple[bytes, bytes]:
        return self.prefix.encode("utf-8", "replace"), self.suffix.encode("utf-8", "replace")

    @cached_property
    def _empty(self) -> Tree:
        return parse(self.language, b"".join(self._raw))


def point_of(raw: bytes) -> Point:
    """Row and column of the end of some bytes."""
    found: Point = Point(raw.count(b"\n"), len(raw) - raw.rfind(b"\n") - 1)
    return found


def _first(lines: list[str]) -> Line:
    found = next((line for line in lines if line.strip()), "")
    return Line(found.rstrip(), indent_of(found))


@lru_cache(maxsize=4096)
def indent_of(line: str) -> int:
    """The indentation of a line, in columns."""
    spaces = line[: len(line) - len(line.lstrip(" \t"))]
    return len(spaces) + 3 * spaces.count("\t")
