"""Objective syntax: next-token likelihood that minds the structure of code, and shuns what would break it.

    L = [ Σ w_t · −log p(x_t) + illegal · Σ −log(1 − p(bad)) ] / Σ w_t,    w_t = 1 + structure where x_t is structural

Structural are the tokens that tree-sitter's parse finds keywords, brackets, delimiters, quotes or indentation. The
second sum is over places where one token is known to break the syntax: the parser accepts no text that begins with it
there, and a parse of the edited text confirmed it. Both were found when the sequences were packed (`pack.structure`).

It builds on token weights of code (FAIT, arXiv:2503.16913, weighs the tokens in which right and wrong programs differ;
CodeBlock, arXiv:2606.18286, learns structure-complete blocks alone) and on unlikelihood training (Welleck et al. 2019).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings

if TYPE_CHECKING:  # torch is loaded when training begins, not when a plan is made
    import torch

    from buril.train.batch import Batch
    from buril.train.objectives._head import Head, Illegal
    from buril.train.objectives._objective import Scene


class Syntax:
    """Weighs the tokens that carry structure more, and pushes down tokens that are known to break the syntax.

    With both settings at 0 it is cross_entropy, bit for bit. Validation text carries no marks, so its loss is the plain
    one and compares with that of any other objective.
    """

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """How much structure counts."""

        shorthand: ClassVar[str | None] = "structure"

        structure: float = Field(0.25, ge=0, le=10)
        """What a structural token counts more than another: 0.25 makes its weight 1.25."""
        illegal: float = Field(0.5, ge=0, le=10)
        """What one illegal continuation counts beside one ordinary token."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def open(self, scene: Scene) -> dict[str, Any]:
        """Refuse sequences that were packed without marks.

        Raises:
            BurilError: T130.
        """
        if not scene.inputs["pack"].json("summary.json").get("structure"):
            raise BurilError("T130")
        return {}

    def weight(self, batch: Batch) -> float:
        """The sum of the targets' weights."""
        from buril.train.batch import IGNORE, STRUCTURE

        marks_T = batch.marks_T
        if marks_T is None or not self.settings.structure:
            return float(batch.num_targets)
        marked = int((((marks_T & STRUCTURE) != 0) & (batch.targets_T != IGNORE)).sum())
        return batch.num_targets + self.settings.structure * marked

    def loss_sum(self, hidden_TD: torch.Tensor, head: Head, batch: Batch) -> torch.Tensor:
        """The weighted sum over targets, and the sum over illegal continuations."""
        from buril.train.batch import IGNORE, STRUCTURE
        from buril.train.objectives._head import linear_cross_entropy

        kept_T = batch.targets_T != IGNORE
        weights_T = None
        if batch.marks_T is not None and self.settings.structure:
            marked_T = (batch.marks_T[kept_T] & STRUCTURE) != 0
            weights_T = 1 + self.settings.structure * marked_T.float()
        return linear_cross_entropy(
            hidden_TD[kept_T], head, batch.targets_T[kept_T], weights_T, self._illegal(batch, kept_T)
        )

    def _illegal(self, batch: Batch, kept_T: torch.Tensor) -> Illegal | None:
        """The illegal continuations by the places that are left when tokens without a target are taken out."""
        from buril.train.objectives._head import Illegal

        if batch.illegal_N2 is None or not self.settings.illegal:
            return None
        place_N, token_N = batch.illegal_N2.unbind(1)
        here_N = kept_T[place_N]
        place_N = (kept_T.cumsum(0) - 1)[place_N[here_N]]
        return Illegal(place_N, token_N[here_N], self.settings.illegal)
