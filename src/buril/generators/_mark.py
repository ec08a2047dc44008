"""Mark: what may lean on the choice of tokens while they are drawn, and which generators let it.

Shapes: B rows in flight, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from buril.generators._writer import Row


class Mark(Protocol):
    """A watermark, as `Writer.step` asks it."""

    def lean(self, rows: Sequence[Row], logits_BV: torch.Tensor) -> torch.Tensor:
        """The logits (B, V) that are drawn from. The given ones stay as they are, since scores are told of them.

        Rows that have ended, and rows that must write text of their prompt anew, are left as they are.
        """
