"""What is told of tokens to who asks for log-probabilities: which bytes each adds to a text, and the likeliest beside.

Shapes: N rows of logits, V vocabulary, K the likeliest tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch

from buril.generators._generator import TokenLogprob

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from buril.generators._encoder import Encoder
    from buril.generators._writer import Measure


class Teller:
    """Says which bytes tokens stand for.

    Args:
        encoder: a tokenizer that says so (`Encoder.spellings`).
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def name(self, token: int) -> bytes:
        """The bytes of a token; of a control token what people call it."""
        found = self._encoder.spellings.get(token)
        return self._encoder.decode([token], special=True).encode() if found is None else found

    def adds(self, token: int, spelt: Sequence[int] = ()) -> bytes:
        """The bytes that a token adds to a text in which only the control tokens `spelt` are spelt out."""
        return b"" if token in self._encoder.control_ids and token not in spelt else self.name(token)

    def told(
        self, token: int, logprob: float, top: Iterable[tuple[int, float]], *, rest: bytes = b"",
        spelt: Sequence[int] = (),
    ) -> TokenLogprob | None:  # fmt: skip
        """A token that was written, with the likeliest in its place.

        `rest` stands in the prompt already and is only written anew: of each token what comes after it is told, and a
        token that adds nothing to it is not told of.
        """
        added = self.adds(token, spelt)[len(rest) :]
        if rest and not added:
            return None
        names = [(self.name(other), number) for other, number in top if math.isfinite(number)]
        others = tuple(
            (name[len(rest) :], number)
            for name, number in names
            if not rest or (name != rest and name.startswith(rest))
        )
        return TokenLogprob(added, logprob, others, b"" if added else self.name(token))


def likeliest_of(logits_NV: torch.Tensor, sum_N: torch.Tensor, number: int) -> list[list[tuple[int, float]]]:
    """The likeliest tokens of each row with their log-probabilities; `sum_N` is the logsumexp of each row."""
    if not number:
        return [[] for _row in range(len(logits_NV))]
    best_NK, ids_NK = logits_NV.topk(min(number, logits_NV.shape[1]), dim=1)
    found_NK = best_NK - sum_N[:, None]
    return [list(zip(*row, strict=True)) for row in zip(ids_NK.tolist(), found_NK.tolist(), strict=True)]


def measure_of(number: int, limit: int) -> Measure:
    """What tells of each token its log-probability and the `number` likeliest, in one row (N * (1 + 2 K)).

    Ids stand in it as float32, which holds each whole number up to 2**24. Ids from `limit` on are no tokens.
    """

    def measure(logits_NV: torch.Tensor, ids_N: torch.Tensor) -> torch.Tensor:
        logits_NV = logits_NV[:, :limit].float()
        sum_N1 = logits_NV.logsumexp(dim=1, keepdim=True)
        own_N1 = logits_NV.gather(1, ids_N[:, None]) - sum_N1
        best_NK, ids_NK = logits_NV.topk(min(number, limit), dim=1)
        return torch.cat([own_N1, best_NK - sum_N1, ids_NK.to(own_N1)], dim=1).flatten()

    return measure


def scored(teller: Teller, ids: Sequence[int], flat: NDArray[np.float32], number: int) -> list[TokenLogprob]:
    """What is told of a given text's tokens, the first too, by what `measure_of` said of those after it."""
    found = [TokenLogprob(teller.adds(ids[0]), None, (), teller.name(ids[0]))]
    rows = flat.reshape(len(ids) - 1, -1).tolist() if len(ids) > 1 else []
    for token, (own, *more) in zip(ids[1:], rows, strict=True):
        size = len(more) // 2
        top = zip(map(int, more[size:]), more[:size], strict=True)
        others = tuple((teller.name(other), logprob) for other, logprob in top)
        found.append(TokenLogprob(teller.adds(token), own, others if number else (), teller.name(token)))
    return found
