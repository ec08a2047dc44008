"""The protocol of preferences: what of two texts that begin alike a model is to prefer, as a loss of each pair.

Tensor suffixes: P pairs, 2 the secure and the vulnerable text, N tokens that are scored, D width.
"""

from __future__ import annotations

from typing import ClassVar, Literal, NamedTuple, Protocol

import torch

Region = Literal["changed", "answer"]
"""Which tokens of a text count: those that the other text has not, or all from the first such token on."""
SECURE, VULNERABLE = 0, 1
"""The sides of a pair, the second index of `_P2`."""
MAX_PROBABILITY = 1 - 1e-5
"""A probability is taken for no more than this where the logarithm of 1 − p is taken."""


class Sides(NamedTuple):
    """What a model says of pairs, in natural logarithms, with gradients.

    Attributes:
        sum_P2: the sum of the log-probabilities of a side's tokens.
        num_P2: how many these are, one at least.
        reference_P2: what `sum_P2` was before training began.
        logp_N: the log-probability of each token.
        cell_N: which side it is of, as an index into `sum_P2` laid flat.
        anchor_PD: the last hidden state of what both texts begin with; None unless it is asked for.
        hidden_P2D: the mean hidden state of a side's tokens; None unless it is asked for.
    """

    sum_P2: torch.Tensor
    num_P2: torch.Tensor
    reference_P2: torch.Tensor
    logp_N: torch.Tensor
    cell_N: torch.Tensor
    anchor_PD: torch.Tensor | None = None
    hidden_P2D: torch.Tensor | None = None

    @property
    def mean_P2(self) -> torch.Tensor:
        """The mean log-probability of a side's tokens: what does not prefer the shorter text."""
        return self.sum_P2 / self.num_P2

    def mean_of(self, value_N: torch.Tensor) -> torch.Tensor:
        """The mean of a value over each side's tokens, P·2."""
        total = torch.zeros_like(self.sum_P2).flatten().index_add(0, self.cell_N, value_N)
        return total.view_as(self.sum_P2) / self.num_P2

    def unlikelihood_P(self) -> torch.Tensor:
        """The mean of −log(1 − p) over the vulnerable side's tokens (Welleck et al. 2019)."""
        chance_N = self.logp_N.exp().clamp(max=MAX_PROBABILITY)
        return self.mean_of(-torch.log1p(-chance_N))[:, VULNERABLE]


class Preference(Protocol):
    """A loss of each pair; the loop takes the mean over the pairs of a step.

    `region` says which tokens it is about, `hidden` whether it also reads hidden states.
    """

    version: ClassVar[int]
    region: ClassVar[Region]
    hidden: ClassVar[bool]

    def losses(self, sides: Sides) -> torch.Tensor:
        """The loss of each pair, P."""
