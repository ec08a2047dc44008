"""The protocol of objectives: what a training minimises."""

from __future__ import annotations

from typing import Protocol

import torch

from buril.train.batch import Batch
from buril.train.objectives._head import Head


class Objective(Protocol):
    """A sum over tokens and its weight. The loop divides the sums of a whole step by the weights of the whole step.

    So a step is the same however it is split into micro-batches: a mean of means would weigh short ones more.
    """

    def weight(self, batch: Batch) -> float:
        """The weight of a batch, known before it is run; for plain cross-entropy the number of targets."""

    def loss_sum(self, hidden_TD: torch.Tensor, head: Head, batch: Batch) -> torch.Tensor:
        """The sum of the losses of a batch, not divided by anything."""
