"""Columns: from the bytes that parsers and spans count to the characters that a person, an editor and SARIF count.

A character is a code point: a tab is one, a letter with a combining mark two. Lines end where their scanner says.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_CONTINUED: Final = bytes(range(0x80, 0xC0))
PYTHON_LINES: Final = re.compile(rb"\r\n|\r|\n")
"""Where a line ends for Python, whose numbers ruff and bandit tell."""


def num_chars(source: bytes) -> int:
    """How many characters UTF-8 bytes hold; one that is cut off counts.

    Example:
        `num_chars("ñ🌍".encode())` → 2
    """
    return len(source.translate(None, _CONTINUED))


class Lines:
    """The lines of a UTF-8 text, for scanners that tell a line and bytes on it."""

    def __init__(self, source: bytes, ends: re.Pattern[bytes] | None = None) -> None:
        self._lines = ends.split(source) if ends else source.split(b"\n")

    def column(self, line: int, num_bytes: int) -> int:
        """The column of the character that begins after so many bytes of a line; 0 where the line has no such place."""
        if not 1 <= line <= len(self._lines) or not 0 <= num_bytes <= len(self._lines[line - 1]):
            return 0
        return num_chars(self._lines[line - 1][:num_bytes]) + 1


class Cursor:
    """Lines and columns of places that are asked in ascending order: it reads the text once."""

    def __init__(self, source: bytes) -> None:
        self._source, self._at, self._line, self._chars = source, 0, 1, 0

    def to(self, at: int) -> tuple[int, int]:
        """The line and the column of a byte."""
        between = self._source[self._at : at]
        if breaks := between.count(b"\n"):
            self._line, self._chars = self._line + breaks, 0
            between = between[between.rfind(b"\n") + 1 :]
        self._chars += num_chars(between)
        self._at = at
        return self._line, self._chars + 1

    def over(self, start: int, end: int) -> Where:
        """Where `source[start:end]` stands; a line break at its end is no part of it."""
        while end > start + 1 and self._source[end - 1] in b"\r\n":
            end -= 1
        line, column = self.to(start)
        last, end_column = self.to(end)
        return Where(line, last if last > line else 0, column, end_column)


class Where(NamedTuple):
    """A place as a finding has it; `end_line` 0 is the same line."""

    line: int
    end_line: int
    column: int
    end_column: int
