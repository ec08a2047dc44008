"""Sequences on their way in a continuous batch: what has run of each, and what runs next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar


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
