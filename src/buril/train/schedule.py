"""The learning rate over a training, and how long a training is: steps, minutes, or whichever ends first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Schedule = Literal["cosine", "linear", "constant", "wsd"]
DECAY = 0.4
"""Last share of a `wsd` training, in which the rate falls: best of what was tried for a few minutes of two cores."""
EVALUATIONS = 10
"""Evaluations of a training where none are asked for, beside the one before it; half of them in short trainings."""
MANY_STEPS = 100
"""A training of fewer is short."""
PLACES = 10_000
"""Places that a training by time is divided in, as one by steps is in steps."""


def factor(step: float, *, num_steps: int, warmup: float, schedule: Schedule) -> float:
    """What the peak learning rate is multiplied with at a step (counted from 0): in (0, 1].

    Args:
        step: the step about to be made.
        num_steps: steps of the whole training.
        warmup: share of the steps in which the rate rises linearly; the first step already learns.
        schedule: `cosine` and `linear` fall to zero just after the last step, `constant` stays at the peak, `wsd`
            (warm-up, stable, decay: Hu et al. 2024, arXiv 2404.06395) stays there and falls linearly at the end.

    Example:
        `factor(0, num_steps=100, warmup=0.1, schedule="cosine")` is 0.1.
    """
    rising = math.ceil(num_steps * warmup)
    if step < rising:
        return min(1.0, (step + 1) / rising)
    if schedule == "constant":
        return 1.0
    if schedule == "wsd":
        falling = max(1, min(num_steps - rising, math.ceil(num_steps * DECAY)))
        return min(1.0, (num_steps - step) / falling)
    left = (num_steps - step) / max(1, num_steps - rising)
    return left if schedule == "linear" else 0.5 * (1 - math.cos(math.pi * left))


def num_steps(num_sequences: int, *, batch_size: int, epochs: float, max_steps: int | None) -> int:
    """Optimizer steps of a training."""
    steps = max(1, round(epochs * -(-num_sequences // batch_size)))
    return min(steps, max_steps) if max_steps else steps


def interval(steps: int) -> int:
    """Steps between the evaluations of a training that says nothing of them."""
    return math.ceil(steps / (EVALUATIONS if steps >= MANY_STEPS else EVALUATIONS // 2))


@dataclass(frozen=True)
class Extent:
    """How long a training is. None for either means that it sets no end; where both do, the first that comes does."""

    num_steps: int | None
    seconds: float | None = None

    def done(self, step: int, seconds: float) -> float:
        """The share of the training that is behind after some steps and seconds; 1 or more at its end."""
        by_steps = step / self.num_steps if self.num_steps else 0.0
        by_time = seconds / self.seconds if self.seconds else 0.0
        return max(by_steps, by_time)

    def place(self, step: int, seconds: float) -> tuple[float, int]:
        """The step and the number of steps that `factor` is asked with; by time they are places, not steps."""
        if self.seconds is None:
            assert self.num_steps is not None, "a training has an end"
            return step, self.num_steps
        return min(PLACES - 1.0, self.done(step, seconds) * PLACES), PLACES
