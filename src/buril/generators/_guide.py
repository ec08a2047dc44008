"""What holds an answer to a grammar: of the tokens that may come next, those that the grammar goes on with.

The grammar is followed by `llguidance`, byte by byte, over the bytes of our own tokens: control tokens are never text.

Shapes: B rows in flight, V vocabulary.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from buril.core.errors import BurilError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from buril.generators._encoder import Encoder
    from buril.generators._writer import Row

_PLACE, _SHOWN = re.compile(r"^at \d+\(\d+\): (failed to compile JSON schema: )?"), re.compile(r"\n *\d+ \| ")
MOST_SAID: Final = 300
"""Characters of what `llguidance` says of a grammar that are told on."""


class Matcher:
    """Where one sample stands in its grammar."""

    def __init__(self, found: Any, size: int) -> None:
        self._found, self._size = found, size

    def allowed(self) -> NDArray[np.bool_] | None:
        """The tokens (V,) that the grammar goes on with, those that end a text where it may end.

        None where it can't be followed any further: it has grown beyond what `llguidance` takes.
        """
        bits = np.frombuffer(self._found.compute_bitmask(), dtype=np.uint8)
        if self._found.is_error():
            return None
        return np.unpackbits(bits, bitorder="little")[: self._size].astype(np.bool_)

    def take(self, token: int) -> None:
        """Go on by a token."""
        self._found.consume_token(token)


class _Tokens:
    """Our tokens as `llguidance` asks for them."""

    def __init__(self, encoder: Encoder, end_id: int) -> None:
        spellings = encoder.spellings
        names = {token: name.encode() for name, token in encoder.vocabulary.items()}
        every = range(encoder.num_ids)
        self.tokens = [spellings.get(token, names.get(token, b"")) for token in every]
        self.special_token_ids = [token for token in every if token not in spellings]
        self.eos_token_id, self.bos_token_id = end_id, None
        self._encoder = encoder

    def __call__(self, text: str) -> list[int]:
        return self._encoder.encode(text)


class Guide:
    """Follows grammars over the tokens of one model.

    Args:
        encoder: whose tokens these are.
        end_ids: tokens that end a text.
    """

    def __init__(self, encoder: Encoder, end_ids: frozenset[int]) -> None:
        self._encoder, self._end_ids = encoder, sorted(end_ids)
        self._lock = threading.Lock()

    @cached_property
    def _tokenizer(self) -> Any:
        from llguidance import LLTokenizer, TokenizerWrapper

        tokens = _Tokens(self._encoder, self._end_ids[0])
        return LLTokenizer(TokenizerWrapper(tokens), eos_token=self._end_ids)

    def matcher(self, grammar: str) -> Matcher:
        """The beginning of a grammar, as `_grammars` writes them. Any thread may ask.

        Raises:
            BurilError: V064 for one that can't be followed.
        """
        from llguidance import LLMatcher

        with self._lock:  # the tokens are read once, whoever asks first
            tokenizer = self._tokenizer
        found = LLMatcher(tokenizer, grammar, log_level=0)
        if found.is_error():
            raise BurilError("V064", problem=_said(str(found.get_error())))
        return Matcher(found, self._encoder.num_ids)


def _said(problem: str) -> str:
    """What `llguidance` says of a grammar, without the places in it, which nobody outside has seen."""
    told = " ".join(_SHOWN.split(problem)[0].split())
    return _PLACE.sub("", told)[:MOST_SAID]


def held(rows: Sequence[Row], logits_BV: torch.Tensor, kept_BV: torch.Tensor) -> torch.Tensor:
    """The logits (B, V) with nothing left of what a row's grammar does not go on with; `kept_BV` stays as it is.

    A row whose grammar can't be followed any further ends where it is.
    """
    places = [place for place, row in enumerate(rows) if row.matcher is not None and row.ended is None]
    if places and logits_BV is kept_BV:
        logits_BV = logits_BV.clone()
    for place in places:
        row = rows[place]
        assert row.matcher is not None
        allowed_V = row.matcher.allowed()
        if allowed_V is None:
            row.ended = "length"
            continue
        size = len(allowed_V)
        logits_BV[place, size:] = -torch.inf
        logits_BV[place, :size].masked_fill_(torch.from_numpy(~allowed_V).to(logits_BV.device), -torch.inf)
    return logits_BV
