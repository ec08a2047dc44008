"""Labelled requests for the guard `misuse`: `+ CATEGORY LANGUAGE text` asks for harm, `- LANGUAGE text` does not.

`dev.txt` was read while the rules were written, `held_out.txt` was written with it and only measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent
HALVES = ("dev", "held_out")


class Asking(NamedTuple):
    """A request; `category` is "" where it is harmless."""

    category: str
    language: str
    text: str


def requests(half: str) -> list[Asking]:
    """All requests of a half, in the order of the file."""
    found = []
    for line in (FOLDER / f"{half}.txt").read_text("utf-8").splitlines():
        if line.startswith("+ "):
            found.append(Asking(*line[2:].split(" ", 2)))
        else:
            found.append(Asking("", *line[2:].split(" ", 1)))
    return found
