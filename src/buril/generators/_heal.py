"""Token healing: a text that ends where a token would go on is continued as if it had been cut there.

A tokenizer cuts a prompt at its end, and the model has hardly ever seen such a cut. Most code tokenizers make one token
of a closing quote and the line breaks after it: in what a model was trained on, the quote's own token is followed by
everything but a line break, so a function's body is the last thing it writes there. The same holds for half a word.
So the last tokens of the prompt are taken back, and the model writes their text again with tokens of its own choice:
only those that agree with it are drawn until it is written.

Source: Lundberg 2023, The Art of Prompt Design: Prompt Boundaries and Token Healing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from buril.generators._encoder import Encoder

MOST_TOKENS = 8
"""Tokens that are taken back at most."""
KEPT_SETS = 512
"""Sets of allowed tokens that are remembered: samples of a task ask for the same ones."""


class Healer:
    """Which tokens of a prompt's end are open, and which tokens may stand in their place.

    Args:
        encoder: the model's tokenizer. Where it does not say which bytes a token stands for, nothing is healed.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._bytes = encoder.spellings
        ordered = sorted((spelt, token) for token, spelt in self._bytes.items() if spelt)
        self._spelt = [spelt for spelt, _token in ordered]
        self._ids = np.array([token for _spelt, token in ordered], dtype=np.int64)
        self.allowed = lru_cache(maxsize=KEPT_SETS)(self._allowed)

    def split(self, ids: Sequence[int]) -> tuple[list[int], bytes]:
        """The tokens that are settled, and the text of those after them, which may be cut otherwise once it goes on.

        Open are the tokens of the last word, as the tokenizer cuts words, and those before it that are together with
        it the start of some token; `MOST_TOKENS` at most, and whole characters only.
        """
        spelt = [self._bytes.get(token, b"") for token in ids[-MOST_TOKENS:]]
        for start in range(len(spelt)):
            tail = b"".join(spelt[start:])
            if all(spelt[start:]) and _whole(tail) and (self._begins_some(tail) or self._is_one_word(tail)):
                return list(ids[: len(ids) - len(spelt) + start]), tail
        return list(ids), b""

    def _begins_some(self, text: bytes) -> bool:
        return self._ids[self._beginning_with(text)].size > 0

    def _is_one_word(self, text: bytes) -> bool:
        return self._encoder.last_word(text.decode()) == text.decode()

    def _allowed(self, rest: bytes) -> NDArray[np.int64]:
        """Tokens (N,) that begin with `rest`, and those that `rest` begins with."""
        found = [self._ids[self._beginning_with(rest)]]
        found += [
            self._ids[bisect_left(self._spelt, start) : bisect_right(self._spelt, start)]
            for start in (rest[:size] for size in range(1, len(rest)))
        ]
        return np.concatenate(found)

    def _beginning_with(self, text: bytes) -> slice:
        size = len(text)
        return slice(bisect_left(self._spelt, text), bisect_right(self._spelt, text, key=lambda spelt: spelt[:size]))

    def after(self, rest: bytes, token: int) -> tuple[bytes, bool]:
        """What is still to be written of `rest` after one of its allowed tokens, and whether that wrote more."""
        size = len(self._bytes[token])
        return rest[size:], size > len(rest)


def _whole(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
