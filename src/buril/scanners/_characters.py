"""Characters that hide: their classes, what is normal about them, and one pass that finds where any of them stands."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

OPENING: Final = {"\u202a": "\u202c", "\u202b": "\u202c", "\u202d": "\u202c", "\u202e": "\u202c",
                  "\u2066": "\u2069", "\u2067": "\u2069", "\u2068": "\u2069"}  # fmt: skip
"""Bidirectional control → what closes it (UAX #9, X1 to X7)."""
_BIDI = "\u202a-\u202e\u2066-\u2069"
_MARKS = "\u200e\u200f\u061c"
_INVISIBLE = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200d\u2060-\u2065\u206a-\u206f\u3164\ufe00-\ufe0f"
)
_INVISIBLE += "\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_SEPARATORS = "\u0085\u2028\u2029"
_CONTROLS = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
SYMBOLS: Final[dict[str, str]] = {
    "\u037e": ";", "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
    "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201b": "'", "\u2032": "'", "\u02bc": "'", "\u201c": '"',
    "\u201d": '"', "\u201e": '"', "\u201f": '"', "\u2033": '"', "\u2024": ".", "\u2044": "/", "\u2215": "/",
    "\u2217": "*", "\u2223": "|", "\u2236": ":", "\u2039": "<", "\u203a": ">", "\u0387": ".", "\u0589": ":",
    "\u05c3": ":", "\u066a": "%", "\u2e40": "=",
    **{chr(0xFF01 + place): chr(0x21 + place) for place in range(94) if not chr(0x21 + place).isalnum()},
}  # fmt: skip
"""Sign → the ASCII sign that it looks like. Full-width letters are those of `_confusables.py`."""
SUSPECT: Final = re.compile(
    f"[{_BIDI}{_MARKS}{_INVISIBLE}{_SPACES}{_SEPARATORS}{_CONTROLS}{''.join(map(re.escape, SYMBOLS))}]|\r(?!\n)"
)
PLAIN_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]|\r(?!\n)")
"""What of it an ASCII text can hold."""
PROBE: Final = bytes([*range(9), *range(0x0D, 0x20), 0x7F])
RIGHT_TO_LEFT: Final = re.compile(
    "[\u0590-\u061b\u061d-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
HIDDEN_RUN: Final = re.compile("(?:[\u200b-\u200d\u2060-\u2064\u180e\u034f\ufeff\u115f\u1160\u3164\uffa0]){4,}")
"""Four and more invisible characters in a row write something: bits, in every scheme that is known."""
VARIATIONS: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}")
"""A letter takes one variation selector at most; a row of them carries bytes."""
TAGS: Final = re.compile("[\U000e0000-\U000e007f]+")
_FLAG = re.compile("[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
_FLAG_BASE = "\U0001f3f4"
ESCAPE: Final = re.compile("(?:\x1b\\[|\x9b)(?P<numbers>[0-9;?]*)(?P<kind>[A-Za-z])?|\x1b(?P<string>[\\]PX^_])?")
"""ECMA-48: a control sequence, or the start of a string for the terminal itself (its title, its clipboard)."""
_OVERWRITES: Final = frozenset("ABCDEFGHJKLMPSTXdfsu")
"""Ends of sequences that move the cursor or erase."""
ERASING: Final = re.compile("\b{3,}")
"""Backspaces that take back a word; one alone is bold type of old manuals."""
_JOINS = re.compile(
    "[\u0600-\u07ff\u0840-\u109f\u1780-\u18af\u1a20-\u1aaf\u1b00-\u1bff\ua840-\uabff\U00011000-\U00011fff]"
)
_HANGUL = re.compile("[\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff\uac00-\ud7af\u3130-\u318f]")
_PICTURE = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u2100-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001f000-\U0001faff]|[#*0-9]"
)
_VARIANTS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")


class Place(NamedTuple):
    """A suspect character: where it begins in the text, and what it is."""

    at: int
    sign: str


def suspects(text: str) -> Iterator[Place]:
    """Every suspect character, in order; a byte order mark at the start is none."""
    for found in SUSPECT.finditer(text, 1 if text.startswith("\ufeff") else 0):
        yield Place(found.start(), found[0])


@lru_cache(maxsize=1024)
def kind(sign: str) -> str:
    """The class of a suspect character: `bidi`, `mark`, `invisible`, `space`, `separator`, `symbol` or `control`."""
    for name, pattern in _CLASSES:
        if pattern.match(sign):
            return name
    return "control"


_CLASSES = tuple(
    (name, re.compile(f"[{signs}]"))
    for name, signs in (
        ("bidi", _BIDI), ("mark", _MARKS), ("invisible", _INVISIBLE), ("space", _SPACES), ("separator", _SEPARATORS),
        ("symbol", "".join(map(re.escape, SYMBOLS))),
    )
)  # fmt: skip


def belongs(text: str, at: int) -> bool:
    """Whether an invisible character is part of how its neighbours are written.

    Joiners in Persian, the scripts of India and emoji; breaks in Thai and Khmer; one variation selector after a
    picture or a Chinese character; fillers among Korean letters.
    """
    sign, before, after = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if sign in "\u200b\u200c\u200d\u180b\u180c\u180d\u180e\u17b4\u17b5\u034f" and _JOINS.match(before):
        return True
    if sign == "\u200d":
        return bool(_PICTURE.match(before) and _PICTURE.match(after))
    if sign in "\u115f\u1160\u3164\uffa0":
        return bool(_HANGUL.match(before) or _HANGUL.match(after))
    if _VARIANTS.match(sign):
        return bool(_PICTURE.match(before)) or (before != "" and unicodedata.category(before) == "Lo")
    return False


def flag(text: str, at: int) -> int:
    """Where a flag of a region ends whose letters begin here, after its black flag (UTS #51); 0 where none does."""
    found = _FLAG.match(text, at) if text[at - 1 : at] == _FLAG_BASE else None
    return found.end() if found else 0


def unbalanced(line: str) -> bool:
    """Whether bidirectional controls of a piece of a line go on past its end, or close what was never opened."""
    waiting: list[str] = []
    for sign in line:
        if sign in OPENING:
            waiting.append(OPENING[sign])
        elif sign in "\u202c\u2069":
            if not waiting or waiting[-1] != sign:
                return True
            waiting.pop()
    return bool(waiting)


def named(sign: str) -> str:
    """A character as one can say it: `U+202E RIGHT-TO-LEFT OVERRIDE`."""
    name = unicodedata.name(sign, "")
    return f"U+{ord(sign):04X} {name}".rstrip()


def escape_rule(escape: re.Match[str]) -> str:
    """The rule that an escape sequence breaks; "" for colours that can be read, and for an escape alone."""
    kind = escape["kind"] or ""
    if kind in _OVERWRITES and kind:
        return "terminal-hides"
    if kind == "m":
        codes = escape["numbers"].split(";")
        same = any(f"3{code}" in codes and f"4{code}" in codes for code in range(8))
        return "terminal-hides" if same or (codes.count("8") and not {"38", "48"} & set(codes)) else ""
    return "escape-sequence" if kind or escape["string"] else ""
