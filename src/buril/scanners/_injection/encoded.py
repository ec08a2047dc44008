"""Texts inside of a text: base64, hexadecimal, escapes, letters turned by thirteen, reversed, digits, spread letters.

Each gives what it holds and where it stands; whether that is an instruction, the phrases decide.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote

from buril.scanners._injection.raw import prose

MOST: Final = 200
"""Strings of a text that are decoded; a file of thousands is a table of data."""
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{20,4000}={0,2}(?![A-Za-z0-9+/_-])")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:0x)?((?:[0-9a-fA-F]{2}){14,2000})(?![0-9A-Za-z])")
_BINARY = re.compile(r"(?<![01])(?:[01]{8}[ ,]{0,2}){10,600}(?![01])")
_ESCAPES = re.compile(
    r"(?:\\x[0-9a-fA-F]{2}|\\u00[0-9a-fA-F]{2}|%[0-9a-fA-F]{2}"
    r"|&#x?[0-9a-fA-F]{2,3};){6}(?:\\x[0-9a-fA-F]{2}|\\u00[0-9a-fA-F]{2}|%[0-9a-fA-F]{2}"
    r"|&#x?[0-9a-fA-F]{2,3};|[A-Za-z]){0,2000}"
)
_ESCAPE = re.compile(r"\\x(..)|\\u00(..)|&#x(..);|&#(\d{2,3});")
_SPREAD = re.compile(
    r"(?<!\S)\S(?: {1,4}\S(?!\S)){11,600}"
    r"|(?<![A-Za-z])[A-Za-z](?:[.\-_*|][A-Za-z](?![A-Za-z])){11,400}"
)
_WIDE = re.compile(r" {2,4}")
_KEYS = (
    "ignor",
    "instruc",
    "prompt",
    "assistant",
    "disregard",
    "previous",
    "anterior",
    "asistente",
    "restrict",
    "unrestricted",
    "language model",
    "guideline",
)
_LEET = str.maketrans("013457@$!", "oieastasi")
_LEET_WORD = re.compile(r"\b(?=[a-z]{0,15}[013457@$!])(?=[013457@$!]{0,15}[a-z])[a-z013457@$!]{2,16}\b")
_ROT = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")
_COMMON = (" the ", " you ", " and ", " that ")
_ROT_KEYS = tuple(key.translate(_ROT) for key in (*_KEYS, *_COMMON))
_BACK_KEYS = tuple(key[::-1] for key in (*_KEYS, *_COMMON))


class Inner(NamedTuple):
    """A text that another holds, and where."""

    start: int
    end: int
    content: str


def packed(text: str) -> Iterator[Inner]:
    """What strings of a text hold that are written in another alphabet."""
    for number, found in enumerate(_BASE64.finditer(text)):
        if number >= MOST:
            break
        if content := prose(found[0]):
            yield Inner(found.start(), found.end(), content)
    for number, found in enumerate(_HEX.finditer(text)):
        if number >= MOST:
            break
        content = binascii.unhexlify(found[1]).decode("latin-1")
        if content.isascii() and sum(sign.isalpha() or sign == " " for sign in content) > 0.8 * len(content):
            yield Inner(found.start(), found.end(), content)
    for found in _BINARY.finditer(text):
        signs = re.findall("[01]{8}", found[0])
        yield Inner(found.start(), found.end(), "".join(chr(int(sign, 2)) for sign in signs))
    for number, found in enumerate(_ESCAPES.finditer(text)):
        if number >= MOST:
            break
        yield Inner(found.start(), found.end(), unquote(_ESCAPE.sub(_escaped, found[0]), errors="replace"))


def _escaped(found: re.Match[str]) -> str:
    code = int(found[4]) if found[4] else int(found[1] or found[2] or found[3], 16)
    return chr(code)


def spread(text: str) -> Iterator[Inner]:
    """Words written with a space or a sign after each letter; wider gaps part the words."""
    for found in _SPREAD.finditer(text):
        words = (re.sub(r"[ .\-_*|](?=\S)", "", word) for word in _WIDE.split(found[0]))
        content = " ".join(word for word in words if word)
        yield Inner(found.start(), found.end(), content if " " in content else _parted(content.lower()))


_VOCABULARY = (
    "instructions", "instruction", "previous", "disregard", "ignore", "prior", "above", "system", "prompt", "reveal",
    "your", "rules", "all", "the", "and", "forget", "guidelines", "print", "repeat", "instrucciones", "anteriores",
    "ignora", "olvida", "todas", "las",
)  # fmt: skip
_WORDS = re.compile("|".join(_VOCABULARY))


def _parted(letters: str) -> str:
    """Letters without gaps, parted at words that instructions are made of."""
    return " ".join(re.sub(_WORDS, lambda found: f" {found[0]} ", letters).split())


def turned(folded: str) -> Iterator[str]:
    """Folded text read otherwise, letter for letter in place: by thirteen, and with digits for letters.

    Only what reads as an instruction then and did not before is of interest; so each is given only where a key word
    appears. The places in it are those of the folded text.
    """
    if any(key in folded for key in _ROT_KEYS):
        yield codecs.encode(folded, "rot13")
    if _LEET_WORD.search(folded):
        yield _LEET_WORD.sub(lambda found: found[0].translate(_LEET), folded)


def is_reversed(lower: str) -> bool:
    """Whether key words stand in a text in small letters from their end to their start."""
    return any(key in lower for key in _BACK_KEYS)
