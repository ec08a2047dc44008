"""Labelled texts for the scanner `injection`: sentences that instruct a model beside ordinary ones that look like them.

`dev.txt` was read while the rules were written, `held_out.txt` was written with it and only measured. `+ LANGUAGE text`
is a sentence that must be seen, the `- text` below it one that must not; `\\n` is a line end. Every pair is put into a
place (a comment, a docstring, a README, a string, …), and some are written once more in an encoding or with tricks.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Final, NamedTuple

FOLDER = Path(__file__).resolve().parent
HALVES = ("dev", "held_out")
ENCODED: Final = ("override", "role", "action", "extraction")
"""Variants that are written once more in every disguise."""
EACH = 6


class Pair(NamedTuple):
    """A text with an instruction, its harmless twin, and what they are: the variant, the place, the language."""

    variant: str
    place: str
    spoken: str
    language: str
    bad: str
    good: str


class _Line(NamedTuple):
    variant: str
    spoken: str
    bad: str
    good: str


def pairs(half: str) -> list[Pair]:
    """All pairs of a half, always in the same order."""
    lines = list(read(half))
    found: list[Pair] = []
    places = cycle(PLACES)
    for line in lines:
        if line.variant == "exfiltration":
            found.append(Pair(line.variant, "answer", "", line.spoken, line.bad + "\n", line.good + "\n"))
        else:
            found.append(_placed(line, "name" if line.variant == "name" else next(places)))
    plain = [line for line in lines if line.variant in ENCODED and line.spoken == "en"]
    for number, (name, disguise) in enumerate(DISGUISES.items()):
        for line in (plain[(number * EACH + at * 7) % len(plain)] for at in range(EACH)):
            told = _Line(name, line.spoken, disguise(line.bad), disguise(line.good))
            found.append(_placed(told, next(places)))
    return found


def read(half: str) -> Iterator[_Line]:
    """The lines of a file as they stand, in pairs."""
    variant, spoken, bad = "", "", ""
    for line in (FOLDER / f"{half}.txt").read_text("utf-8").splitlines():
        if line.startswith("## "):
            variant = line[3:]
        elif line.startswith("+ "):
            _, spoken, bad = line.split(" ", 2)
        elif line.startswith("- "):
            yield _Line(variant, spoken, bad.replace("\\n", "\n"), line[2:].replace("\\n", "\n"))
        elif line:
            raise ValueError(line)


def _placed(line: _Line, place: str) -> Pair:
    language, frame = FRAMES[place]
    return Pair(line.variant, place, line.spoken, language, *(_put(frame, text) for text in (line.bad, line.good)))


def _put(frame: str, text: str) -> str:
    """A text in its place; every line of it gets the marker that stands before the first."""
    before, _, after = frame.partition("@")
    marker = before.rpartition("\n")[2]
    marker = marker if marker.strip() in ("#", "//", "*", "--", ">", "") else " " * len(marker)
    return before + text.replace("\n", "\n" + marker) + after


FRAMES: Final[dict[str, tuple[str, str]]] = {
    "python comment": ("python", "import csv\n\n\ndef load(path):\n    # @\n    with open(path) as file:\n        return list(csv.reader(file))\n"),
    "python docstring": ("python", 'def total(rows):\n    """Sum the rows.\n\n    @\n    """\n    return sum(row.price for row in rows)\n'),
    "python string": ("python", 'HELP = """\n@\n"""\n\n\ndef usage():\n    print(HELP)\n'),
    "javascript comment": ("javascript", "// @\nexport function sum(items) {\n  return items.reduce((a, b) => a + b, 0);\n}\n"),
    "java comment": ("java", "class Cart {\n  /**\n   * @\n   */\n  int size() { return items.size(); }\n}\n"),
    "go comment": ("go", "package cart\n\n// @\nfunc Size(items []Item) int { return len(items) }\n"),
    "sql comment": ("sql", "-- @\nSELECT id, name FROM users WHERE active = 1;\n"),
    "shell comment": ("bash", "#!/bin/sh\n# @\nset -eu\nmake all\n"),
    "readme": ("", "# Cart\n\nA small library for carts.\n\n@\n\n## Install\n\nRun `make`.\n"),
    "html comment": ("", "# Cart\n\n<!-- @ -->\n\nA small library for carts.\n"),
    "yaml": ("", "name: cart\n# @\nversion: 2\nsteps:\n  - build\n"),
    "commit message": ("", "Fix the total of empty carts\n\n@\n"),
    "issue": ("", "The total is wrong when a cart is empty.\n\nSteps:\n1. open a cart\n2. remove all\n\n@\n\nVersion 2.1\n"),
    "quote": ("", "Someone wrote:\n\n> @\n\nThanks!\n"),
    "name": ("python", "import unittest\n\n\nclass CartTest(unittest.TestCase):\n    def test_@(self):\n        self.assertEqual(size([]), 0)\n"),
}  # fmt: skip
PLACES: Final = tuple(place for place in FRAMES if place != "name")

_LOOK = str.maketrans("aeopcxyi", "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0456")
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_DIGITS = str.maketrans("oieast", "013457")


def _lines(text: str) -> str:
    """Two words a line."""
    words = text.split(" ")
    return "\n".join(" ".join(words[at : at + 2]) for at in range(0, len(words), 2))


DISGUISES = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "reversed": lambda text: text[::-1],
    "digits": lambda text: text.translate(_DIGITS),
    "spread": lambda text: "  ".join(" ".join(word) for word in text.split(" ")),
    "look-alikes": lambda text: text.translate(_LOOK),
    "zero-width": "\u200b".join,
    "full-width": lambda text: text.translate(_WIDE),
    "many lines": _lines,
}
