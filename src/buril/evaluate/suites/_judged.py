"""What came of a task's samples, and what is asked to put one right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from buril.generators._generator import Request
from buril.sandboxes._sandbox import Verdict


class Repair(NamedTuple):
    """What is asked to put an answer right: the words of it, and the request that says them."""

    ask: str
    request: Request


@dataclass(frozen=True)
class Judged:
    """A task's samples, their verdicts, and the place of the one that each way of choosing takes.

    `scores` are what further measures say of the first.
    """

    texts: list[str]
    verdicts: list[Verdict]
    chosen: dict[str, int]
    scores: dict[str, float]

    @property
    def passed(self) -> list[bool]:
        """Which of them passed."""
        return [verdict.passed for verdict in self.verdicts]
