"""What a request adds to the logits that its tokens are drawn from: penalties, and numbers for tokens that it names.

Shapes: B rows in flight, V vocabulary, N tokens of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from buril.generators._writer import Row


def biased(rows: Sequence[Row], logits_BV: torch.Tensor, kept_BV: torch.Tensor) -> torch.Tensor:
    """The logits (B, V) that are drawn from; `kept_BV` stays as it is, since scores are told of it.

    Source: what OpenAI's API says of `presence_penalty`, `frequency_penalty` and `logit_bias`; the tokens that count
    are those of the answer. A row that must write text of its prompt anew is left as it is.
    """
    places = [place for place, row in enumerate(rows) if row.biased and row.ended is None and not row.rest]
    if not places:
        return logits_BV
    if logits_BV is kept_BV:
        logits_BV = logits_BV.clone()
    for place in places:
        ids, more = _added(rows[place])
        if ids:
            at_N = torch.tensor(ids, device=logits_BV.device)
            logits_BV[place].index_add_(0, at_N, torch.tensor(more, device=logits_BV.device, dtype=logits_BV.dtype))
    return logits_BV


def _added(row: Row) -> tuple[list[int], list[float]]:
    """Tokens, and what is added to the logits of each; a token may stand there twice."""
    asked = row.request
    found = [(token, -asked.presence_penalty - asked.frequency_penalty * n) for token, n in row.counts.items()]
    found += asked.logit_bias
    return [token for token, _more in found], [more for _token, more in found]
