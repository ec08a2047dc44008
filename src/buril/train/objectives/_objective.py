"""The protocol of objectives: what a training minimises."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch

from buril.core.stage import Inputs
from buril.train.batch import Batch
from buril.train.objectives._head import Head


class Objective(Protocol):
    """A sum over tokens and its weight. The loop divides the sums of a whole step by the weights of the whole step.

    So a step is the same however it is split into micro-batches: a mean of means would weigh short ones more.

    It may have two methods more. `observe()` is a fingerprint (plain JSON) of what it reads from outside the store.
    `open(scene)` gets it ready before the first step: it refuses what it can't work with, loads what it needs, and
    gives back what `train.json` is to say of it (a JSON object).
    """

    def weight(self, batch: Batch) -> float:
        """The weight of a batch, known before it is run; for plain cross-entropy the number of targets."""

    def loss_sum(self, hidden_TD: torch.Tensor, head: Head, batch: Batch) -> torch.Tensor:
        """The sum of the losses of a batch, not divided by anything."""


class Scene(NamedTuple):
    """What an objective is told before the first step: the artifacts of the training, and the model as prepared."""

    inputs: Inputs
    trainable: Any
    bf16: bool


def open_objective(objective: Any, scene: Scene) -> dict[str, Any]:
    """Get an objective ready, where there is something to get ready; what `train.json` is to say of it.

    Raises:
        BurilError: what the objective refuses.
    """
    get_ready = getattr(objective, "open", None)
    found: dict[str, Any] = get_ready(scene) if get_ready else {}
    return found
