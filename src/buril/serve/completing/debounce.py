"""Debounce: how long a client waits after a key before it asks, as a pure function of how the user types.

A fixed wait is too long for who has stopped, and too short for who types fast. So it follows the keys: the mean gap
between them, times how unlikely it is that a completion is wanted here, less what the answer takes anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

LEAST_S, MOST_S = 0.075, 1.0
USUAL_GAP_S = 0.2
"""The gap that is assumed of who has not typed yet; gaps above `PAUSE_S` are pauses, and say nothing of the pace."""
PAUSE_S = 3.0
LAST_GAPS = 20
EAGER, CALM = 1.5, 3.0
"""Times the mean gap that are waited where a completion is most and least likely to be wanted."""
PROMOTED_S = 0.25
"""A request that has waited so long is sent and left to end, so that its answer is there for the keys to come."""
_WEIGHTS = {"trigger": 0.5, "line_end": 0.4, "file_end": 0.1}
"""How much each sign says that a completion is wanted."""


@dataclass(frozen=True)
class Typing:
    """What a client knows at a key.

    Attributes:
        gaps_s: seconds between the last keys, the latest last.
        latency_s: seconds that the last answers took (their median).
        last: the character typed, "" for none (the cursor was moved).
        line_before: what stands before the cursor on its line.
        line_after: what stands after it on the line.
        at_file_end: whether nothing but white space follows.
    """

    gaps_s: Sequence[float] = ()
    latency_s: float = 0.0
    last: str = ""
    line_before: str = ""
    line_after: str = ""
    at_file_end: bool = False


class Wait(NamedTuple):
    """Seconds to wait, after how many more a request is to be left running, and why."""

    seconds: float
    promote_s: float
    why: Literal["line_start", "typing"]


def wait(typing: Typing) -> Wait:
    """How long to wait before asking.

    At the start of a line nothing is typed that could change: ask at once. Else, with p in 0 to 1 the weights of the
    signs that hold added up, and g the mean of the last gaps:

        wait = min(1.0, max(0.075, (3.0 − 1.5 · p) · g − latency))

    Example:
        `wait(Typing(gaps_s=(0.2,), last=".", line_before="x."))` waits 0.3 s.
    """
    if not typing.line_before.strip() and not typing.line_after.strip():
        return Wait(0.0, PROMOTED_S, "line_start")
    gaps = [gap for gap in typing.gaps_s if 0 <= gap <= PAUSE_S][-LAST_GAPS:]
    gap = sum(gaps) / len(gaps) if gaps else USUAL_GAP_S
    signs = {
        "trigger": bool(typing.last) and not (typing.last.isalnum() or typing.last == "_"),
        "line_end": not typing.line_after.strip(" \t)]};,:'\""),
        "file_end": typing.at_file_end,
    }
    likely = sum(_WEIGHTS[name] for name, holds in signs.items() if holds)
    seconds = (CALM - (CALM - EAGER) * likely) * gap - max(0.0, typing.latency_s)
    return Wait(min(MOST_S, max(LEAST_S, seconds)), PROMOTED_S, "typing")
