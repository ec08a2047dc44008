"""Preference dpo: direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290) of secure over vulnerable.

    L = −log σ( β · [ (log p(s) − log p₀(s)) − (log p(v) − log p₀(v)) ] ) + likelihood · −log p(s)/|s|

with s and v what the two texts go on with after they part, p₀ the model before training. The last term keeps the
preferred text itself likely (Pang et al. 2024, arXiv 2404.19733): without it both may fall.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from buril.core.settings import Settings as BaseSettings

if TYPE_CHECKING:  # torch is loaded when training begins, not when a plan is made
    import torch

    from buril.train.preferences._preference import Region, Sides


class Dpo:
    """Raises the secure text against the vulnerable one, measured from where the model began."""

    version: ClassVar[int] = 1
    region: ClassVar[Region] = "answer"
    hidden: ClassVar[bool] = False

    class Settings(BaseSettings):
        """How far from the reference, and how sure the labels are."""

        shorthand: ClassVar[str | None] = "beta"

        beta: float = Field(0.1, gt=0)
        """How much a nat of difference counts: small lets the model go far from where it began."""
        label_smoothing: float = Field(0.0, ge=0, lt=0.5)
        """Share of the pairs that may be labelled the wrong way round (cDPO)."""
        likelihood: float = Field(0.2, ge=0)
        """Weight of the secure text's own likelihood; 0 is plain DPO."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def losses(self, sides: Sides) -> torch.Tensor:
        """The loss of each pair."""
        from torch.nn.functional import logsigmoid

        told = self.settings
        gain_P2 = sides.sum_P2 - sides.reference_P2
        margin_P = told.beta * (gain_P2[:, 0] - gain_P2[:, 1])
        loss_P = -(1 - told.label_smoothing) * logsigmoid(margin_P) - told.label_smoothing * logsigmoid(-margin_P)
        return loss_P - told.likelihood * sides.mean_P2[:, 0]
