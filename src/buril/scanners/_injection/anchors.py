"""Where in a text a pattern is worth trying: around the words without which it can't be there.

Most texts hold none of them, and finding a word costs a hundredth of what a pattern costs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator


class Anchors:
    """The places of words in one text, each looked for once."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._places: dict[str, list[int]] = {}

    def find(self, pattern: re.Pattern[str], words: Iterable[str], around: int) -> Iterator[re.Match[str]]:
        """The matches of a pattern that lie within so many characters on both sides of one of the words."""
        for start, end in self.windows(words, around):
            yield from pattern.finditer(self._text, start, end)

    def windows(self, words: Iterable[str], around: int) -> list[tuple[int, int]]:
        """The pieces of the text around the words, in order; pieces that meet are one."""
        places = [place for word in words for place in self._of(word)]
        return merged((place - around, place + around) for place in places)

    def _of(self, word: str) -> list[int]:
        if word not in self._places:
            found, at = [], self._text.find(word)
            while at >= 0:
                found.append(at)
                at = self._text.find(word, at + 1)
            self._places[word] = found
        return self._places[word]


def merged(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pieces in order, those that meet as one, and none before the start of the text."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(pieces):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((max(0, start), end))
    return found
