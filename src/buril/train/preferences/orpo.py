"""Preference orpo: odds-ratio preference optimisation (Hong et al. 2024, arXiv 2403.07691); no reference model.

    L = −log p(s)/|s| + weight · −log σ( log odds(s) − log odds(v) ),   odds(x) = p̄(x) / (1 − p̄(x))

with p̄ the geometric mean of the probabilities of what a text goes on with after the two part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from buril.core.settings import Settings as BaseSettings

if TYPE_CHECKING:  # torch is loaded when training begins, not when a plan is made
    import torch

    from buril.train.preferences._preference import Region, Sides


class Orpo:
    """Learns the secure text, and that its odds are to be above the vulnerable one's."""

    version: ClassVar[int] = 1
    region: ClassVar[Region] = "answer"
    hidden: ClassVar[bool] = False

    class Settings(BaseSettings):
        """How much the odds count."""

        shorthand: ClassVar[str | None] = "weight"

        weight: float = Field(0.5, ge=0)
        """What the ratio of odds counts beside the likelihood of the secure text (λ)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def losses(self, sides: Sides) -> torch.Tensor:
        """The loss of each pair."""
        import torch
        from torch.nn.functional import logsigmoid

        from buril.train.preferences._preference import MAX_PROBABILITY

        mean_P2 = sides.mean_P2
        odds_P2 = mean_P2 - torch.log1p(-mean_P2.exp().clamp(max=MAX_PROBABILITY))
        return -mean_P2[:, 0] - self.settings.weight * logsigmoid(odds_P2[:, 0] - odds_P2[:, 1])
