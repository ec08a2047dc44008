"""The watermark as it is found: the green tokens of some texts together, against what chance gives.

A pair of tokens counts once however often it stands there: its second look tells nothing new, and would make chance
look like a mark. With a model, only places are scored whose entropy is above the threshold, as they were when the mark
was put on. Without one all places are scored, and most of them were never marked: it takes several times the text.

What it can't tell: that a text was written by a person. A text without the mark may be another model's, or edited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from buril.serve.watermark.green import Green
from buril.serve.watermark.statistics import power, tail, z_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALPHA = 0.01
"""Chance of calling a text marked that is not."""
SHARES = {True: 0.80, False: 0.58}
"""Share of the scored tokens of marked code that are taken to be green, with a model's entropies and without, at the
default delta. An assumption, on which only the power that is told rests; `benchmarks/watermark.py` prints the share
that a model has."""

WINDOW, OVERLAP = 1024, 256
"""Tokens that a model reads at one time, and those of them that were scored before and only tell what came before."""


_TOKEN_BITS = 32
_TOKEN = (1 << _TOKEN_BITS) - 1


class Scored(NamedTuple):
    """One text: its tokens, from which of them on they are scored, and the entropy at each of them, where it is known.

    `entropies` are as a generator's `entropies` gives them: of token 1, 2, …, one fewer than the tokens.
    """

    tokens: Sequence[int]
    start: int = 0
    entropies: NDArray[np.float32] | None = None


class Verdict(NamedTuple):
    """What the test says of some texts together.

    `found`: whether chance gives so many green tokens in fewer than `alpha` of all cases. `power`: how often a mark
    would be found in so many scored tokens; where it is low, `found` being false says nothing.
    """

    found: bool
    z: float
    p: float
    green: int
    scored: int
    tokens: int
    power: float
    by_entropy: bool

    def record(self) -> dict[str, Any]:
        """As plain JSON."""
        told = {**self._asdict(), "z": round(self.z, 3), "power": round(self.power, 3)}
        return {**told, "p": float(f"{self.p:.3g}")}


def pooled(texts: Iterable[Scored], green: Green, *, threshold: float, alpha: float = ALPHA) -> Verdict:
    """Look for a mark in some texts together."""
    import numpy as np

    listed = list(texts)
    pairs = [np.zeros(0, np.int64), *(_pairs(text, threshold, context=green.context) for text in listed)]
    pair_N = np.unique(np.concatenate(pairs))
    hits, scored = int(green.are(pair_N >> _TOKEN_BITS, pair_N & _TOKEN).sum()), len(pair_N)
    by_entropy = all(text.entropies is not None for text in listed)
    p = tail(hits, scored, green.gamma)
    able = power(scored, green.gamma, SHARES[by_entropy], alpha)
    total = sum(len(text.tokens) - text.start for text in listed)
    return Verdict(p <= alpha, z_of(hits, scored, green.gamma), p, hits, scored, total, able, by_entropy)


def _pairs(text: Scored, threshold: float, *, context: int) -> NDArray[np.int64]:
    """The tokens that are scored, each after the one before it (0 where that does not matter), as one number."""
    import numpy as np

    tokens = np.asarray(text.tokens, np.int64)
    first = max(1, text.start)
    before, after = tokens[first - 1 : -1], tokens[first:]
    if text.entropies is not None:
        above = np.asarray(text.entropies)[first - 1 : len(tokens) - 1] > threshold
        before, after = before[above], after[above]
    found: NDArray[np.int64] = (before << _TOKEN_BITS if context else 0) | after
    return found


def encoded(
    texts: Sequence[str],
    encode: Callable[[str], list[int]],
    entropies: Callable[[list[list[int]]], list[NDArray[np.float32]]] | None = None,
) -> list[Scored]:
    """Texts as tokens, with a model's entropies where it is there.

    A text is taken in overlapping windows, so that one of any length fits a model. Its first token is not scored. What
    stood before the text when it was written is not known: the entropies at its beginning are not those of then.
    """
    windows = [(piece, start) for text in texts for piece, start in _windows(encode(text))]
    told = entropies([piece for piece, _start in windows]) if entropies else [None] * len(windows)
    return [Scored(piece, start, known) for (piece, start), known in zip(windows, told, strict=True)]


def _windows(tokens: list[int]) -> Iterator[tuple[list[int], int]]:
    """Pieces of `WINDOW` tokens, each from the second on with `OVERLAP` before what is scored in it."""
    for start in range(0, max(1, len(tokens) - OVERLAP), WINDOW - OVERLAP):
        yield tokens[start : start + WINDOW], OVERLAP if start else 0
