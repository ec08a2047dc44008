"""Rank: which of several completions of one place comes first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from buril.code.completing.cursor import Cursor


class Candidate(NamedTuple):
    """A finished text, the sum of its tokens' log-probabilities (NaN where it is not known), and their number."""

    text: str
    logprob: float
    num_tokens: int


def rank(cursor: Cursor, candidates: Sequence[Candidate]) -> list[int]:
    """The indices of the candidates, the best first.

    Texts that parse in place come first (in a file with errors of its own: those that leave the fewest), then those of
    the higher mean log-probability a token, then the longer ones; what is empty comes last, and what says the same as a
    better one is left out.
    """
    least = min((cursor.errors(one.text) for one in candidates if one.text.strip()), default=0)

    def key(index: int) -> tuple[bool, bool, float, int, int]:
        one = candidates[index]
        mean = one.logprob / max(1, one.num_tokens)
        unlikely = -mean if math.isfinite(mean) else math.inf
        worse = cursor.errors(one.text) > least
        return not one.text.strip(), worse, unlikely, -len(one.text), index

    seen: dict[str, None] = {}
    found = []
    for index in sorted(range(len(candidates)), key=key):
        text = candidates[index].text.strip()
        if text not in seen:
            seen[text] = None
            found.append(index)
    return found
