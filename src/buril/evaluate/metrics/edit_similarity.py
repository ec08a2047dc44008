"""Edit similarity: 1 − Levenshtein distance / length of the longer text, over characters.

Source: V. I. Levenshtein, "Binary codes capable of correcting deletions, insertions, and reversals" (1966); the
distance is computed with Myers' bit vectors ("A fast bit-vector algorithm for approximate string matching", JACM 46,
1999, in Hyyrö's form for whole strings), which Python's long integers hold in one word.
"""

from __future__ import annotations

from typing import ClassVar

from buril.core.settings import Settings as BaseSettings


class EditSimilarity:
    """From 0 (nothing in common) to 1 (equal)."""

    version: ClassVar[int] = 1
    share: ClassVar[bool] = False

    class Settings(BaseSettings):
        """There is nothing to set."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or self.Settings()

    def score(self, text: str, reference: str) -> float:
        """The similarity of two texts, white space around them aside; two empty texts are equal."""
        text, reference = text.strip(), reference.strip()
        longer = max(len(text), len(reference))
        return 1.0 - distance(text, reference) / longer if longer else 1.0


def distance(first: str, second: str) -> int:
    """The least number of characters to insert, delete or replace: len(second) steps on integers of len(first) bits."""
    if not first:
        return len(second)
    where: dict[str, int] = {}
    for index, letter in enumerate(first):
        where[letter] = where.get(letter, 0) | 1 << index
    mask, last = (1 << len(first)) - 1, 1 << (len(first) - 1)
    plus, minus, found = mask, 0, len(first)
    for letter in second:
        match = where.get(letter, 0)
        diagonal = (((match & plus) + plus) ^ plus) | match | minus
        up, down = minus | ~(diagonal | plus) & mask, plus & diagonal
        if up & last:
            found += 1
        elif down & last:
            found -= 1
        up, down = up << 1 | 1, down << 1
        plus, minus = (down | ~(diagonal | up)) & mask, up & diagonal & mask
    return found
