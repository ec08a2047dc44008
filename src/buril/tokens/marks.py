"""Marks: what is known of packed tokens beside their text: which are given, which carry structure, what is illegal.

A token's bytes are found without asking the tokenizer for offsets: in a byte-level vocabulary the letters of a token
are its bytes. Where the bytes of a text's tokens do not add up to the text, its tokens get no marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from tree_sitter import Tree

from buril.code.language import languages
from buril.code.parse import HardParse, parse
from buril.code.structure import END, SIGNS, Gap, Structure, blocks, breaks, illegal_signs, structure
from buril.generators._encoder import Encoder
from buril.generators._quick import alphabet

GIVEN, STRUCTURE = 1, 2
"""Bits of a mark: a token that is read but not learnt to write, and one that carries syntax. 0 is an ordinary one."""
TOKENS_PER_ILLEGAL = 24
"""A piece gets one illegal continuation for so many tokens; each costs about a millisecond to confirm."""
VARIANTS = 4
"""Tokens that begin with an illegal sign, of which one is drawn: the first made, which are the most frequent."""
LARGEST_BYTES = 1_000_000
NOWHERE = -1
"""The place of a control token."""


class Illegal(NamedTuple):
    """A token that must not stand at a position of a piece."""

    position: int
    token: int


@dataclass(frozen=True)
class Source:
    """A file that is marked: its bytes, tree and structure; `covered[b]` counts the structural bytes before `b`."""

    language: str
    text: bytes
    tree: Tree
    found: Structure
    covered: np.ndarray

    @cached_property
    def gaps(self) -> dict[int, Gap]:
        """The gaps by their bytes."""
        return {gap.byte: gap for gap in self.found.gaps}

    def holes(self, begin: int, end: int) -> list[tuple[int, int]]:
        """The statements, bodies and arguments that lie within some bytes, by their bytes from `begin` on."""
        return [(start - begin, stop - begin) for start, stop in self._blocks if begin <= start and stop <= end]

    @cached_property
    def _blocks(self) -> list[tuple[int, int]]:
        return blocks(self.tree)


@dataclass(frozen=True)
class Marker:
    """Finds the structure of files and lays it on their tokens.

    Attributes:
        encoder: the tokenizer.
        eos: the id that ends a document.
    """

    encoder: Encoder
    eos: int
    _bytes: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_bytes", token_bytes(self.encoder))

    def source(self, language: str, text: str) -> Source | None:
        """A file, parsed; None where it has no grammar, is too large, or too hard to parse."""
        raw = text.encode("utf-8", "replace")
        if language not in languages() or len(raw) > LARGEST_BYTES:
            return None
        try:
            tree = parse(language, raw)
        except HardParse:
            return None
        found = structure(language, raw, tree)
        steps = np.zeros(len(raw) + 1, dtype=np.int64)
        for start, end in found.spans:
            steps[start + 1 : end + 1] = 1
        return Source(language, raw, tree, found, np.cumsum(steps))

    def places(self, ids: Sequence[int], begin: int, num_bytes: int) -> list[int] | None:
        """The byte at which each token begins, the first at `begin`; None where the tokens are not the bytes."""
        sizes = self._bytes[np.asarray(ids, dtype=np.int64)]
        if int(sizes.sum()) != num_bytes:
            return None
        found: list[int] = (begin + np.cumsum(sizes) - sizes).tolist()
        return found

    def marks(self, source: Source, ids: Sequence[int], places: Sequence[int]) -> list[int]:
        """The mark of each token: `STRUCTURE` where it holds a byte that carries syntax."""
        place = np.asarray(places, dtype=np.int64)
        known = place != NOWHERE
        begin = np.where(known, place, 0)
        end = begin + np.where(known, self._bytes[np.asarray(ids, dtype=np.int64)], 0)
        found: list[int] = (STRUCTURE * (source.covered[end] > source.covered[begin])).tolist()
        return found

    def illegal(self, source: Source, places: Sequence[int], random: np.random.Generator) -> list[Illegal]:
        """Continuations that break the syntax, one for every `TOKENS_PER_ILLEGAL` tokens or fewer, by lot.

        Only for tokens in the order of the text: after a hole or a suffix the same sign may be right.
        """
        gaps = source.gaps
        able = [position for position, place in enumerate(places) if position and place in gaps]
        found: list[Illegal] = []
        for number in random.permutation(len(able)):
            if len(found) * TOKENS_PER_ILLEGAL >= len(places):
                break
            gap = gaps[places[able[number]]]
            signs = [sign for sign in illegal_signs(source.language, gap) if self.tokens_of(sign)]
            if not signs:
                continue
            sign, drawn = signs[random.integers(len(signs))], random.integers(VARIANTS)
            if breaks(source.language, source.text, source.tree, byte=gap.byte, sign=sign):
                tokens = self.tokens_of(sign)
                found.append(Illegal(able[number], tokens[drawn % len(tokens)]))
        return sorted(found)

    def tokens_of(self, sign: str) -> list[int]:
        """The tokens that put a sign: those that begin with it, the most frequent; the end of the text is EOS."""
        return [self.eos] if sign == END else self._tokens[sign]

    @cached_property
    def _tokens(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {sign: [] for sign in SIGNS}
        for token, number in sorted(self.encoder.vocabulary.items(), key=lambda item: item[1]):
            known = found.get(token[:1])
            if known is not None and len(known) < VARIANTS and number not in self.encoder.control_ids:
                known.append(number)
        return found


def token_bytes(encoder: Encoder) -> np.ndarray:
    """How many bytes of text each id stands for, by id; 0 for control tokens.

    In a byte-level vocabulary each byte is spelt by one letter of an alphabet of 256. A token with another letter (a
    run of spaces that was added whole) is spelt as it is.
    """
    letters = alphabet().keys()
    vocabulary = encoder.vocabulary
    found = np.zeros(max(vocabulary.values()) + 1, dtype=np.int64)
    for token, number in vocabulary.items():
        if number not in encoder.control_ids:
            found[number] = len(token) if letters >= set(token) else len(token.encode("utf-8", "replace"))
    return found
