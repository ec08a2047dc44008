"""Columns: from the bytes that parsers and spans count to the characters that a person, an editor and SARIF count.

A character is a code point: a tab is one, a letter with a combining mark two. Lines end where their scanner says.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from buril.code.codefile import Finding

_CONTINUED: Final = bytes(range(0x80, 0xC0))
PYTHON_LINES: Final = re.compile(rb"\r\n|\r|\n")
"""Where a line ends for Python, whose numbers ruff and bandit tell."""


def num_chars(source: bytes) -> int:
    """How many characters UTF-8 bytes hold; one that is cut off counts.

    Example:
        `num_chars("ñ🌍".encode())` → 2
    """
    return len(source.translate(None, _CONTINUED))


def num_units(text: str) -> int:
    """How many UTF-16 code units a text has, which is what LSP and SARIF count where they say nothing.

    Example:
        `num_units("ñ🌍")` → 3
    """
    return len(text) + sum(sign > "\uffff" for sign in text)


class Lines:
    """The lines of a UTF-8 text, for scanners that tell a line and bytes on it."""

    def __init__(self, source: bytes, ends: re.Pattern[bytes] | None = None) -> None:
        self._lines = ends.split(source) if ends else source.split(b"\n")

    def column(self, line: int, num_bytes: int) -> int:
        """The column of the character that begins after so many bytes of a line; 0 where the line has no such place."""
        if not 1 <= line <= len(self._lines) or not 0 <= num_bytes <= len(self._lines[line - 1]):
            return 0
        return num_chars(self._lines[line - 1][:num_bytes]) + 1


class Where(NamedTuple):
    """The end of a place and its columns, as a finding has them."""

    end_line: int
    column: int
    end_column: int


def where(source: bytes, start: int, end: int, line: int) -> Where:
    r"""Where `source[start:end]` stands, which begins on `line`.

    Example:
        `where(b"a\n b\nc", 3, 6, 2)` → (3, 2, 2)
    """
    end = max(start, len(source[:end].rstrip(b"\r\n")) if source[start:end].strip() else end)
    breaks = source.count(b"\n", start, end)
    column = num_chars(source[source.rfind(b"\n", 0, start) + 1 : start]) + 1
    end_column = num_chars(source[source.rfind(b"\n", 0, end) + 1 : end]) + 1
    return Where(line + breaks if breaks else 0, column, end_column)


def placed(finding: Finding, at: Where) -> Finding:
    """A finding with the place that it is about."""
    return finding._replace(end_line=at.end_line, column=at.column, end_column=at.end_column)
