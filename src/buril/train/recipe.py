"""What a training is: on what, with which numbers, where, and for how long."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from buril.generators._load import Loaded
from buril.train.batch import PackedFile
from buril.train.methods._trainable import Trainable
from buril.train.objectives._objective import Objective
from buril.train.optimizers import Choice
from buril.train.parallel.team import ALONE, Pulse, Team
from buril.train.schedule import Extent, Schedule, num_steps
from buril.train.state import Progress


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training; `Train.Settings` says what each means.

    Where the settings leave a number open it is settled here; `epochs` stays open where only time ends a training.
    """

    epochs: float | None
    max_steps: int | None
    minutes: float | None
    clock: Literal["wall", "processor"]
    batch_size: int
    micro_batch_tokens: int
    optimizer: Choice
    learning_rate: float
    weight_decay: float
    warmup: float
    schedule: Schedule
    clip: float
    ema: float
    fp16: bool
    patience: int
    eval_every: int | None
    eval_tokens: int
    seed: int
    checkpoint_every_s: float


@dataclass(frozen=True)
class Task:
    """What is trained on what for what.

    `loaded` has the tokenizer that samples are written with, `told` what the objective says of itself in `train.json`.
    """

    trainable: Trainable
    objective: Objective
    train: PackedFile
    valid: PackedFile
    loaded: Loaded
    told: Mapping[str, Any]


class Stand(NamedTuple):
    """Where a training stands.

    Attributes:
        machine: what the bits depend on besides; a resume on another one is said aloud.
        team: the processes that train together.
        checkpoints: the folder that all of them see; None takes the output's scratch folder.
    """

    machine: dict[str, Any] = {}
    team: Team = ALONE
    checkpoints: Path | None = None


class Clock:
    """Tells the time since it was last read; what an earlier attempt took stands in its progress already."""

    def __init__(self, progress: Progress) -> None:
        self._joules = progress.joules
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def passed(self) -> tuple[float, float]:
        """Seconds of the wall clock, and of this process on a processor."""
        wall, cpu = time.monotonic(), time.process_time()
        before = self._wall, self._cpu
        self._wall, self._cpu = wall, cpu
        return wall - before[0], cpu - before[1]

    def add(self, progress: Progress, pulse: Pulse) -> None:
        """Add what passed, and the energy since this was made, to what a training has taken."""
        progress.wall_s += pulse.wall_s
        progress.cpu_s += pulse.cpu_s
        progress.joules = self._joules + pulse.joules


def extent_of(recipe: Recipe, num_sequences: int) -> Extent:
    """How long a training is: the epochs or fewer steps, the minutes, or whichever ends first."""
    seconds = recipe.minutes * 60 if recipe.minutes else None
    if recipe.epochs is None:
        return Extent(recipe.max_steps, seconds)
    steps = num_steps(num_sequences, batch_size=recipe.batch_size, epochs=recipe.epochs, max_steps=recipe.max_steps)
    return Extent(steps, seconds)
