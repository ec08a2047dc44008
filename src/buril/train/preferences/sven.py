"""Preference sven: likelihood of the tokens that make code secure, and unlikelihood of those that make it vulnerable.

    L = −log p̄(s) + unlikelihood · mean of −log(1 − p) over v + contrast · −log[ p̄(s) / (p̄(s) + p̄(v)) ]

over the changed tokens alone: s those that the vulnerable text has not, v those that the secure one has not; p̄ is the
geometric mean. What both texts share teaches nothing about security and is left to the retention term. The masks and
the contrast are those of SVEN (He and Vechev 2023, arXiv 2302.05319), which learns prefixes; the likelihood beside
unlikelihood is that of SafeCoder (He et al. 2024, arXiv 2402.09497), which trains the model itself, as here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from buril.core.settings import Settings as BaseSettings

if TYPE_CHECKING:  # torch is loaded when training begins, not when a plan is made
    import torch

    from buril.train.preferences._preference import Region, Sides


class Sven:
    """Teaches what was changed, and nothing else of the text."""

    version: ClassVar[int] = 1
    region: ClassVar[Region] = "changed"
    hidden: ClassVar[bool] = False

    class Settings(BaseSettings):
        """How much each of the two other terms counts beside the likelihood of the secure tokens."""

        unlikelihood: float = Field(0.5, ge=0)
        """Weight of the unlikelihood of the vulnerable tokens."""
        contrast: float = Field(1.0, ge=0)
        """Weight of the contrast between the two."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def losses(self, sides: Sides) -> torch.Tensor:
        """The loss of each pair."""
        from torch.nn.functional import logsigmoid

        mean_P2 = sides.mean_P2
        contrast_P = -logsigmoid(mean_P2[:, 0] - mean_P2[:, 1])
        told = self.settings
        return -mean_P2[:, 0] + told.unlikelihood * sides.unlikelihood_P() + told.contrast * contrast_P
