"""Lexical tokens of source code: what is left of a text when its layout and its comments are taken away.

A token is a word (letters, digits, `_`, whatever is not ASCII) or a single sign; words within strings are tokens as
well. White space is nothing, and so are comments where the language says what begins one; a single quote counts as a
double one. So code that was laid out or commented anew gives the same tokens. Of a language that is not known `#`, `//`
and `/* */` begin comments.

A fingerprint is the hash of a window of tokens in which names count only by where they last stood (`blind`), so it
survives every consistent renaming. Of each `step` windows in a row the one of least hash is kept (winnowing:
Schleimer, Wilkerson and Aiken 2003): two texts that share `window + step - 1` tokens but for names share a fingerprint.

What it does not do: parse. A text that begins within a string is read as if it began outside of it; then only the
comments up to the string's end are read wrongly, and no token is.

Legend: N texts, T tokens, L lines that hold tokens, F fingerprints.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from buril.code import blind
from buril.code.minhash import I64, U32, Texts

VERSION = 1
"""Goes up when the same text gives other tokens or other fingerprints."""
WINDOW, STEP = 20, 8
END = np.uint32(0xFFFFFFFF)
"""Stands behind the last token of every text, and is none."""


class Lexemes(NamedTuple):
    """Texts back to back as tokens, each text with `END` behind it.

    Attributes:
        tokens: 32 bits of each token's hash (T).
        ends: where the tokens of each text end, `END` included (N).
        line_tokens: the first token of each line that holds one (L).
        lines: the numbers of these lines in their text, from 1 (L).
        prints: fingerprints (F).
        places: the first token of each fingerprint (F).
    """

    tokens: U32
    ends: I64
    line_tokens: U32
    lines: U32
    prints: U32
    places: U32


class Spelt(NamedTuple):
    """One text as tokens, with the bytes at which each begins and ends."""

    lexemes: Lexemes
    starts: I64
    stops: I64


def lexemes(texts: list[bytes], languages: list[str], *, window: int = WINDOW, step: int = STEP) -> Lexemes:
    """The tokens of texts.

    Example:
        `len(lexemes([b"f(x) # y"], ["python"]).tokens)` is 5: four tokens and `END`.
    """
    laid = Texts.of(texts)
    return _lexed(laid, blind.families(pa.array(languages, pa.string())), blind.room_of(laid), (window, step))


def spelt(text: bytes, language: str, *, window: int = WINDOW, step: int = STEP) -> Spelt:
    """The tokens of one text and where they stand in it."""
    laid = Texts.of([text])
    room = blind.room_of(laid)
    found = _lexed(laid, blind.families(pa.array([language], pa.string())), room, (window, step))
    count = len(found.tokens) - 1
    return Spelt(found, room.start[:count].copy(), room.stop[:count].copy())


def family(language: str) -> int:
    """A number that languages share whose texts are cut in the same way: 0 for unknown ones."""
    return int(blind.families(pa.array([language], pa.string()))[0])


def _lexed(laid: Texts, family_N: I64, room: Any, sizes: tuple[int, int]) -> Lexemes:
    from buril.code import _lexical_kernel as kernel

    most = len(laid.data) + len(laid.offsets)
    tokens_T, line_tokens_L, lines_L, prints_F, places_F = (np.empty(most, dtype=np.uint32) for _ in range(5))
    ends_N = np.zeros(len(family_N), dtype=np.int64)
    streams = kernel.Streams(tokens_T, line_tokens_L, lines_L, prints_F, places_F)
    num_tokens, num_lines, num_prints = kernel.lex(blind.block_of(laid, family_N), sizes, room, streams, ends_N)
    return Lexemes(
        tokens_T[:num_tokens], ends_N, line_tokens_L[:num_lines], lines_L[:num_lines], prints_F[:num_prints],
        places_F[:num_prints],
    )  # fmt: skip
