"""Fill in the middle: a text is cut twice and its middle moved to the end, so that a model learns to fill holes.

Source: Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the Middle" (character-level cuts,
both orders in equal shares, no sentinel ever cut by packing because texts are transformed after they are fitted).
With `<pre> <suf> <mid>` the sentinels:

    psm   <pre> prefix <suf> suffix <mid> middle EOS
    spm   <pre> <suf> suffix <mid> prefix middle EOS        (the paper's second variant: one encoding serves both)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

Order = Literal["none", "psm", "spm"]
Encode = Callable[[Sequence[str]], list[list[int]]]
"""Texts to ids, one list a text; no control token is read out of a text or added."""
MIN_CHARACTERS = 3
"""Shorter texts stay as they are: there is nothing to cut three parts from."""


class Cut(NamedTuple):
    """The three parts of a text; together they are the text."""

    prefix: str
    middle: str
    suffix: str


@dataclass(frozen=True)
class Sentinels:
    """Ids of the control tokens that a transformed text needs; `bos` is None where sequences begin without one."""

    prefix: int
    suffix: int
    middle: int
    eos: int
    bos: int | None = None


def generator(seed: int, row_id: str, piece: int = 0) -> np.random.Generator:
    """The random numbers of one piece of one row: the same for ever, whatever else is packed and in which order."""
    digest = hashlib.blake2b(f"fim\0{seed}\0{row_id}\0{piece}".encode(), digest_size=8).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def choose_order(random: np.random.Generator, *, rate: float, spm_rate: float) -> Order:
    """Whether to transform (a share of `rate`), and into which order (`spm_rate` of those into SPM)."""
    transform, spm = random.random(2)
    if transform >= rate:
        return "none"
    return "spm" if spm < spm_rate else "psm"


def cut(text: str, random: np.random.Generator) -> Cut:
    """Cut at two places drawn uniformly from all borders between characters, the ends included.

    The cuts follow no structure, as in the paper: a cursor may stand anywhere.
    """
    first, second = sorted(int(place) for place in random.integers(0, len(text) + 1, size=2))
    return Cut(text[:first], text[first:second], text[second:])


def cut_along(text: str, spans: Sequence[tuple[int, int]], random: np.random.Generator) -> Cut | None:
    """Cut out one of the spans (in bytes of the text), each as likely as any other; None where there is none.

    AST-aware holes are what an editor asks for most: a whole statement, a body, the arguments of a call.
    """
    if not spans:
        return None
    begin, end = spans[int(random.integers(len(spans)))]
    raw = text.encode("utf-8", "replace")
    prefix, middle, suffix = (part.decode("utf-8", "replace") for part in (raw[:begin], raw[begin:end], raw[end:]))
    return Cut(prefix, middle, suffix)


def arrange(parts: Sequence[list[int]], order: Order, sentinels: Sentinels) -> list[int]:
    """The ids of a transformed text, from the ids of prefix, middle and suffix in this order. It ends with EOS.

    Any number a token can be arranged so, with sentinels that hold the numbers of the control tokens.
    """
    prefix, middle, suffix = parts
    head = [] if sentinels.bos is None else [sentinels.bos]
    if order == "psm":
        head += [sentinels.prefix, *prefix, sentinels.suffix, *suffix, sentinels.middle, *middle]
    else:
        head += [sentinels.prefix, sentinels.suffix, *suffix, sentinels.middle, *prefix, *middle]
    return [*head, sentinels.eos]


def transform(
    text: str, order: Order, *, random: np.random.Generator, sentinels: Sentinels, encode: Encode
) -> list[int]:
    """The ids of `text` in one of the two orders.

    The parts are encoded one by one with `encode`, which must read no control tokens out of text: a sentinel that
    stands in a source file as plain characters stays plain characters. Cuts inside a token thus give other tokens
    than the whole text has, which is the point: a cursor does not respect tokens.

    Args:
        text: at least `MIN_CHARACTERS` characters.
        order: `psm` or `spm`.
        random: `generator(seed, row_id, piece)`.
        sentinels: ids to put between the parts.
        encode: texts to ids, no control tokens added.
    """
    assert order != "none" and len(text) >= MIN_CHARACTERS
    return arrange(encode(cut(text, random)), order, sentinels)
