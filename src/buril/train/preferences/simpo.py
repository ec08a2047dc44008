"""Preference simpo: simple preference optimisation (Meng et al. 2024, arXiv 2405.14734); no reference model.

    L = −log σ( β · [ log p(s)/|s| − log p(v)/|v| ] − γ )

with s and v what the two texts go on with after they part: the mean, so that no text is preferred for being short, and
a margin γ by which the secure one is to lead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from buril.core.settings import Settings as BaseSettings

if TYPE_CHECKING:  # torch is loaded when training begins, not when a plan is made
    import torch

    from buril.train.preferences._preference import Region, Sides


class Simpo:
    """Raises the mean log-probability of the secure text above the vulnerable one's by a margin."""

    version: ClassVar[int] = 1
    region: ClassVar[Region] = "answer"
    hidden: ClassVar[bool] = False

    class Settings(BaseSettings):
        """The scale and the margin."""

        shorthand: ClassVar[str | None] = "beta"

        beta: float = Field(2.0, gt=0)
        """What a nat a token counts."""
        margin: float = Field(1.0, ge=0)
        """By how much the secure text is to lead, in the unit of `beta` (γ)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def losses(self, sides: Sides) -> torch.Tensor:
        """The loss of each pair."""
        from torch.nn.functional import logsigmoid

        mean_P2 = sides.mean_P2
        return -logsigmoid(self.settings.beta * (mean_P2[:, 0] - mean_P2[:, 1]) - self.settings.margin)
