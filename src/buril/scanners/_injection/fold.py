r"""Text as a model reads it: in small letters, without accents, tricks of characters, comment markers and line ends.

A sentence that goes on over three lines of a comment is one sentence here, and so is one in Cyrillic look-alikes, with
invisible characters between its letters, or in the name of a test (`ignoreAllRules`, `ignore_all_rules`). Every place
leads back to the text as it was.

Example:
    `Folded("# Ignore\n#   ÁLL_rules").text` → "ignore all rules"
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from functools import lru_cache
from typing import Final

from buril.scanners._confusables import skeleton

PARAGRAPH: Final = "\n"
"""The only line end that is left: an empty line stood there, and no sentence goes on over it."""
_IRREGULAR = re.compile(
    r"(?P<line>[ \t\r]*\n[\s#/*;%>|!+=<\"'-]*)"
    r"|(?P<space>[ \t\r_`]{2,}|\\[nrt])"
    r"|(?P<gone>[\"'*]+|</?[A-Za-z][A-Za-z0-9]{0,9}>)"
    r"|(?P<camel>(?<=[a-z])(?=[A-Z]))"
    r"|(?P<foreign>[^\x00-\x7f]+)"
)
_MARKERS = {"#": "#", "/": "*", "*": "*", ";": ";", "%": "%", ">": ">"}
_PLAIN = str.maketrans({"_": " ", "\t": " ", "\r": " ", "`": " "})
_TAG = 0xE0000
_APOSTROPHES = "\u2018\u2019\u201c\u201d\u00b4\u00ab\u00bb\u02bc"


class Folded:
    """A text, folded, and from where each of its characters came. Takes time in proportion to its length."""

    def __init__(self, text: str) -> None:
        parts: list[str] = []
        self._starts: list[int] = []  # where a piece that was taken over letter by letter begins, folded …
        self._origins: list[int] = []  # … and in the text
        self._ends: list[int] = []
        self._length = 0
        past, marker = 0, _marker(text, 0)
        for found in _IRREGULAR.finditer(text):
            self._add(parts, text[past : found.start()].translate(_PLAIN).lower(), past, found.start())
            past = found.end()
            if found.lastgroup == "foreign":
                self._foreign(parts, found[0], found.start())
            elif found.lastgroup == "line":
                before, marker = marker, _marker(text, found.start() + found[0].rindex("\n") + 1)
                apart = found[0].count("\n") > 1 or marker != before
                self._add(parts, PARAGRAPH if apart else " ", found.start(), past)
            elif found.lastgroup != "gone":
                self._add(parts, " ", found.start(), past)
        self._add(parts, text[past:].translate(_PLAIN).lower(), past, len(text))
        self.text = "".join(parts)

    def _add(self, parts: list[str], piece: str, start: int, end: int) -> None:
        if parts and parts[-1][-1] in " \n" and piece[:1] == " ":  # one space is enough
            piece, start = piece[1:], start + (len(piece) == end - start)
        if piece:
            parts.append(piece)
            self._starts.append(self._length)
            self._origins.append(start)
            self._ends.append(end)
            self._length += len(piece)

    def _foreign(self, parts: list[str], run: str, start: int) -> None:
        folded = [_sign(sign) for sign in run]
        if all(len(piece) == 1 for piece in folded):
            self._add(parts, "".join(folded), start, start + len(run))
            return
        for at, piece in enumerate(folded, start):
            self._add(parts, piece, at, at + 1)

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """The place in the text of `self.text[start:end]`, which is not empty."""
        return self._place(start)[0], self._place(end - 1)[1]

    def _place(self, at: int) -> tuple[int, int]:
        piece = bisect_right(self._starts, at) - 1
        size = (self._starts[piece + 1] if piece + 1 < len(self._starts) else self._length) - self._starts[piece]
        origin, end = self._origins[piece], self._ends[piece]
        if size == end - origin:
            here = origin + at - self._starts[piece]
            return here, here + 1
        return origin, max(end, origin + 1)


def _marker(text: str, start: int) -> str:
    """With what a line begins that makes it a comment or a quotation: one character for a family of markers, or ""."""
    while text[start : start + 1] in (" ", "\t"):
        start += 1
    return _MARKERS.get(text[start : start + 1], "")


@lru_cache(maxsize=4096)
def _sign(sign: str) -> str:
    """What a character beyond ASCII reads as: its look-alike, its base letter, what a tag spells, or nothing."""
    code = ord(sign)
    if _TAG + 0x20 <= code < _TAG + 0x7F:
        return chr(code - _TAG).lower()
    if sign in _APOSTROPHES or unicodedata.category(sign) in ("Cf", "Mn", "Cc"):
        return ""
    if sign.isspace():
        return " "
    plain = unicodedata.normalize("NFKD", skeleton(sign))
    return "".join(skeleton(part) for part in plain if unicodedata.category(part) != "Mn").lower()
