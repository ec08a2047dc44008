"""Sequences on their way in a continuous batch: what has run of each, and what runs next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

SHARED = 8
"""Tokens that two prompts must begin with alike before one is made of the other's."""


@dataclass(eq=False)
class Lane:
    """A sequence on its way: its tokens so far, and how many of them the cache holds."""

    tokens: list[int]
    filled: int

    @property
    def due(self) -> int:
        """Tokens that have not run yet."""
        return len(self.tokens) - self.filled


AnyLane = TypeVar("AnyLane", bound=Lane)


def planned(lanes: Sequence[AnyLane], most: int) -> list[tuple[AnyLane, int]]:
    """What runs next: the tokens that are due, `most` in all, those of the lanes that came first before others."""
    found = []
    for lane in lanes:
        size = min(lane.due, most)
        if not size:
            break
        found.append((lane, size))
        most -= size
    return found


def alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    short = min(len(one), len(other))
    pairs = enumerate(zip(one, other, strict=False))
    return short if one == other else next((at for at, (a, b) in pairs if a != b), short)
