"""Preference contrastive: pulls the model's state at the secure text to where the two texts part, the vulnerable away.

    L = −log[ e^{a·s/τ} / (e^{a·s/τ} + e^{a·v/τ}) ] + margin · −log σ( log p̄(s) − log p̄(v) ) + likelihood · −log p̄(s)

with a the hidden state at the last token that both texts share, s and v the means of the hidden states over the tokens
in which they differ, all of length one: the InfoNCE of van den Oord et al. 2018 (arXiv 1807.03748), whose one negative
is the pair's own other side, so that a step is the same however it is split. States alone do not say what is written,
hence the two terms of the probabilities p̄ (geometric means over the same tokens).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from buril.core.settings import Settings as BaseSettings

if TYPE_CHECKING:  # torch is loaded when training begins, not when a plan is made
    import torch

    from buril.train.preferences._preference import Region, Sides


class Contrastive:
    """Learns by contrast, of hidden states and of probabilities."""

    version: ClassVar[int] = 1
    region: ClassVar[Region] = "changed"
    hidden: ClassVar[bool] = True

    class Settings(BaseSettings):
        """The temperature, and what each term counts beside the contrast of states."""

        shorthand: ClassVar[str | None] = "temperature"

        temperature: float = Field(0.1, gt=0)
        """τ: how sharp the contrast of states is."""
        states: float = Field(0.5, ge=0)
        """Weight of the contrast of states."""
        margin: float = Field(1.0, ge=0)
        """Weight of the contrast of probabilities."""
        likelihood: float = Field(1.0, ge=0)
        """Weight of the secure tokens' own likelihood."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def losses(self, sides: Sides) -> torch.Tensor:
        """The loss of each pair."""
        from torch.nn.functional import cosine_similarity, logsigmoid

        assert sides.anchor_PD is not None and sides.hidden_P2D is not None
        told, mean_P2 = self.settings, sides.mean_P2
        near_P2 = cosine_similarity(sides.anchor_PD[:, None], sides.hidden_P2D, dim=-1) / told.temperature
        loss_P = -told.states * logsigmoid(near_P2[:, 0] - near_P2[:, 1])
        loss_P = loss_P - told.margin * logsigmoid(mean_P2[:, 0] - mean_P2[:, 1])
        return loss_P - told.likelihood * mean_P2[:, 0]
