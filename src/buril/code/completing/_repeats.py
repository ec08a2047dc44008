"""Repeats: when a line is one that stands there already, and when lines go round in circles."""

from __future__ import annotations

import re
from collections.abc import Sequence

from buril.code.completing.cursor import indent_of

TELLING_CHARS = 2
"""Letters and digits that a line must have for its coming again to mean anything."""
MOST_PERIOD, MOST_TIMES = 4, 3
"""Lines that are repeated together, and how often they may be before it counts as going round."""
_WORDS = re.compile(r"\w+")
_CIRCLE = re.compile(r"(.{4,40}?)\1{7,}", re.DOTALL)
_NEAR = 0.1
_EVERYWHERE = frozenset(("else", "try", "finally", "end", "fi", "done", "esac", "do", "then", "begin", "break"))
_EVERYWHERE = _EVERYWHERE | {"continue", "pass", "default", "return"}


def telling(line: str) -> bool:
    """Whether a line says enough to be known again: closing brackets and `else` come everywhere."""
    return sum(map(str.isalnum, line)) >= TELLING_CHARS and line.strip(" \t:{};)") not in _EVERYWHERE


def same_line(line: str, other: str) -> bool:
    """Whether two lines are one: equal but for spaces, or of the same words with few other signs changed.

    Example:
        `same_line("f(a,b)", "f(a, b);")` is true, `same_line("x1 = a", "x2 = a")` is not.
    """
    if indent_of(line) != indent_of(other) or not telling(other):
        return False
    first, second = "".join(line.split()), "".join(other.split())
    if first == second:
        return True
    if _WORDS.findall(line) != _WORDS.findall(other):
        return False
    signs = len(_WORDS.sub("", first)) - len(_WORDS.sub("", second))
    longer = max(len(first), len(second))
    changed = sum(one != two for one, two in zip(first, second, strict=False)) if not signs else abs(signs)
    return changed < max(2, _NEAR * longer)


def goes_round(lines: Sequence[str]) -> tuple[int, int] | None:
    """Where lines begin to go round, and how many lines a round has; None where they do not.

    A round is one to `MOST_PERIOD` lines, come `MOST_TIMES` times in a row, the last time at the end of the lines.
    """
    for period in range(1, min(MOST_PERIOD, len(lines) // MOST_TIMES) + 1):
        last = lines[-period:]
        times = 1
        while len(lines) >= period * (times + 1) and lines[-period * (times + 1) : -period * times] == last:
            times += 1
        if times >= MOST_TIMES and any(map(telling, last)):
            return len(lines) - period * times, period
    return None


def in_round(lines: Sequence[str]) -> int:
    """Lines at the end that may turn out to be part of a round: they repeat those just before them."""
    most = 0
    for period in range(1, min(MOST_PERIOD, len(lines) - 1) + 1):
        held = 0
        while held + period < len(lines) and lines[-1 - held] == lines[-1 - held - period]:
            held += 1
        most = max(most, held)
    return most


def circle(text: str) -> int | None:
    """Where a text begins to repeat one short piece eight times and more; None where it does not."""
    found = next((found for found in _CIRCLE.finditer(text) if telling(found[1])), None)
    return found.start() + len(found[1]) if found else None
