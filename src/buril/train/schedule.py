"""The learning rate over a training: a linear warm-up, then a decay to zero."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["cosine", "linear", "constant"]


def factor(step: int, *, num_steps: int, warmup: float, schedule: Schedule) -> float:
    """What the peak learning rate is multiplied with at a step (counted from 0): in (0, 1].

    Args:
        step: the step about to be made.
        num_steps: steps of the whole training.
        warmup: share of the steps in which the rate rises linearly; the first step already learns.
        schedule: `cosine` and `linear` fall to zero just after the last step, `constant` stays at the peak.

    Example:
        `factor(0, num_steps=100, warmup=0.1, schedule="cosine")` is 0.1.
    """
    rising = math.ceil(num_steps * warmup)
    if step < rising:
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    left = (num_steps - step) / max(1, num_steps - rising)
    return left if schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))
