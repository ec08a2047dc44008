"""Where two texts of tokens differ: what decides between them, and what is the same in both."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np

SHORT = 3
"""Fewer tokens that are alike between two changes are taken for chance: `(`, `=` and the like are in every line."""


def changed_places(one: Sequence[int], other: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of each that the other has not, by their places; never none, and never the first.

    Where something was only put in, the other side's change is the token that follows there: going on at once is what
    it does instead.
    """
    changed: tuple[set[int], set[int]] = set(), set()
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    blocks = [block for block in matcher.get_matching_blocks() if block.size >= SHORT or not block.size or not block.a]
    at_one = at_other = 0
    for start_one, start_other, size in blocks:
        if start_one > at_one or start_other > at_other:
            changed[0].update(range(at_one, max(start_one, at_one + 1)))
            changed[1].update(range(at_other, max(start_other, at_other + 1)))
        at_one, at_other = start_one + size, start_other + size
    found = (
        np.array(sorted(place for place in places if 0 < place < len(ids)) or [len(ids) - 1], dtype=np.int64)
        for places, ids in zip(changed, (one, other), strict=True)
    )
    return next(found), next(found)


def shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))
