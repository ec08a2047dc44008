"""Objective cross_entropy: the negative log-likelihood of every next token within its document."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from buril.core.settings import Settings as BaseSettings

if TYPE_CHECKING:  # torch is loaded when training begins, not when a plan is made
    import torch

    from buril.train.batch import Batch
    from buril.train.objectives._head import Head


class CrossEntropy:
    """Mean over target tokens of −log p(token | the document before it), in nats; tokens that are given are no targets.

    The first token of a document is not predicted: the text before it in the sequence is another document's.
    """

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """Nothing to set."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def weight(self, batch: Batch) -> float:
        """The number of target tokens."""
        return float(batch.num_targets)

    def loss_sum(self, hidden_TD: torch.Tensor, head: Head, batch: Batch) -> torch.Tensor:
        """The sum over target tokens."""
        from buril.train.batch import IGNORE
        from buril.train.objectives._head import linear_cross_entropy

        kept_T = batch.targets_T != IGNORE
        return linear_cross_entropy(hidden_TD[kept_T], head, batch.targets_T[kept_T])
