"""Pieces: a document as runs of tokens that fit a sequence, cut on line borders where it is too long for one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from buril.tokens.fim import MIN_CHARACTERS, Encode, Order, Sentinels, choose_order, generator, transform

FIM_ROOM = 16
"""Tokens that a transformed text may need more than a plain one: three sentinels, and what two cuts split."""
MIN_LENGTH = 2
"""A run of one token has nothing to predict."""


@dataclass(frozen=True)
class Piece:
    """A run of tokens of one row. `offset` is where its text begins in the row's content, in characters."""

    row_id: str
    offset: int
    fim: Order
    input_ids: list[int]


@dataclass(frozen=True)
class Cutter:
    """Turns documents into pieces.

    Attributes:
        encode: texts to ids, no control tokens read or added.
        sentinels: ids of the control tokens.
        max_length: tokens a piece may have at most, control tokens included.
        fim_rate: share of the pieces that are transformed; 0 for validation text.
        spm_rate: share of the transformed that are in SPM order.
        seed: seed of the transformation.
    """

    encode: Encode
    sentinels: Sentinels
    max_length: int
    fim_rate: float = 0.0
    spm_rate: float = 0.5
    seed: int = 0

    def pieces(self, row_id: str, text: str) -> Iterator[Piece]:
        """The pieces of a document, in the order of its text. An empty document has none."""
        offset, rest = 0, list(self.cut(text))
        for number, (part, ids) in enumerate(rest):
            piece = self._piece(row_id, number, part, ids=ids, offset=offset, last=number == len(rest) - 1)
            if len(piece.input_ids) >= MIN_LENGTH:
                yield piece
            offset += len(part)

    def _piece(self, row_id: str, number: int, text: str, *, ids: list[int], offset: int, last: bool) -> Piece:
        random = generator(self.seed, row_id, number)
        order = choose_order(random, rate=self.fim_rate, spm_rate=self.spm_rate)
        if order != "none" and len(text) >= MIN_CHARACTERS:
            moved = transform(text, order, random=random, sentinels=self.sentinels, encode=self.encode)
            if len(moved) <= self.max_length:
                return Piece(row_id, offset, order, moved)
        head = [] if self.sentinels.bos is None else [self.sentinels.bos]
        # Only the end of a document ends with EOS: after a cut the text goes on, a model must not learn to stop there.
        return Piece(row_id, offset, "none", [*head, *ids, *([self.sentinels.eos] if last else [])])

    @property
    def _budget(self) -> int:
        return max(1, self.max_length - 2 - (FIM_ROOM if self.fim_rate and self.max_length > 4 * FIM_ROOM else 0))

    def cut(self, text: str) -> Iterator[tuple[str, list[int]]]:
        """The text in parts of at most the budget of tokens, each with its ids; the parts together are the text."""
        if not text:
            return
        (ids,) = self.encode([text])
        if len(ids) <= self._budget:
            yield text, ids
        else:
            for part in self._parts(text):
                (part_ids,) = self.encode([part])
                if len(part_ids) <= self._budget:
                    yield part, part_ids
                else:
                    yield from self._halves(part)

    def _halves(self, text: str) -> Iterator[tuple[str, list[int]]]:
        if len(text) < 2:  # one character of more tokens than a sequence has: no model reads it
            return
        middle = text.rfind("\n", 0, len(text) // 2 + 1) + 1 or len(text) // 2
        for half in (text[:middle], text[middle:]):
            yield from self.cut(half)

    def _parts(self, text: str) -> Iterator[str]:
        """Whole lines, as many as fit by the sum of their own tokens (the joined text has hardly ever more)."""
        lines = text.splitlines(keepends=True)
        if len(lines) == 1:
            yield text
            return
        begin, size = 0, 0
        for number, ids in enumerate(self.encode(lines)):
            if size and size + len(ids) > self._budget:
                yield "".join(lines[begin:number])
                begin, size = number, 0
            size += len(ids)
        yield "".join(lines[begin:])
