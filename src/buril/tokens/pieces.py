"""Pieces: a document as runs of tokens that fit a sequence, cut on line borders where it is too long for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from buril.tokens.fim import (
    MIN_CHARACTERS,
    Cut,
    Encode,
    Order,
    Sentinels,
    arrange,
    choose_order,
    cut,
    cut_along,
    generator,
)
from buril.tokens.marks import NOWHERE, Illegal, Marker, Source

FIM_ROOM = 16
"""Tokens that a transformed text may need more than a plain one: three sentinels, and what two cuts split."""
MIN_LENGTH = 2
"""A run of one token has nothing to predict."""
_ILLEGAL_STREAM = 1 << 32
"""Added to a piece's number for the random numbers of its illegal continuations: those of its holes stay as they
are."""


@dataclass(frozen=True)
class Piece:
    """A run of tokens of one row. `offset` is where its text begins in the row's content, in characters.

    `marks` are of its tokens (`buril.tokens.marks`), None where all are ordinary; `illegal` what must not stand where.
    """

    row_id: str
    offset: int
    fim: Order
    input_ids: list[int]
    marks: list[int] | None = None
    illegal: tuple[Illegal, ...] = ()

    def told(self) -> dict[str, Any]:
        """Its values as plain ones, for a table."""
        return {**vars(self), "illegal": [item._asdict() for item in self.illegal] or None}

    @classmethod
    def of(cls, row: dict[str, Any]) -> Piece:
        """The piece of a table's row."""
        illegal = tuple(Illegal(**item) for item in row["illegal"] or ())
        return cls(row["row_id"], row["offset"], row["fim"], row["input_ids"], row["marks"], illegal)

    def after(self, ids: Sequence[int]) -> Piece:
        """The same piece with tokens put before it, which are ordinary."""
        marks = None if self.marks is None else [0] * len(ids) + self.marks
        moved = tuple(Illegal(item.position + len(ids), item.token) for item in self.illegal)
        return replace(self, input_ids=[*ids, *self.input_ids], marks=marks, illegal=moved)

    def part(self, begin: int, end: int) -> Piece:
        """The tokens from `begin` on, before `end`."""
        marks = None if self.marks is None else self.marks[begin:end]
        kept = tuple(Illegal(item.position - begin, item.token) for item in self.illegal if begin < item.position < end)
        return replace(self, input_ids=self.input_ids[begin:end], marks=marks, illegal=kept)


class Part(NamedTuple):
    """A part of a row's text: its number, text, ids, and place (in characters); whether the text ends there."""

    number: int
    text: str
    ids: list[int]
    offset: int
    last: bool


class Row(NamedTuple):
    """What is cut: a row, and its source where its structure is known."""

    row_id: str
    text: str
    source: Source | None = None

    def bytes_before(self, offset: int) -> int:
        """Bytes of the text before a character."""
        return len(self.text[:offset].encode("utf-8", "replace"))


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
        fim_align: share of the transformed whose hole is a part of the syntax.
        marker: finds the structure of files; None where tokens get no marks and no hole follows the syntax.
        structure: whether tokens are marked.
    """

    encode: Encode
    sentinels: Sentinels
    max_length: int
    fim_rate: float = 0.0
    spm_rate: float = 0.5
    seed: int = 0
    fim_align: float = 0.0
    marker: Marker | None = None
    structure: bool = False

    def pieces(self, row_id: str, text: str, language: str = "") -> Iterator[Piece]:
        """The pieces of a document, in the order of its text. An empty document has none."""
        row = Row(row_id, text, self.marker.source(language, text) if self.marker else None)
        offset, rest = 0, list(self.cut(text))
        for number, (part, ids) in enumerate(rest):
            piece = self._piece(row, Part(number, part, ids, offset, number == len(rest) - 1))
            if len(piece.input_ids) >= MIN_LENGTH:
                yield piece
            offset += len(part)

    def _piece(self, row: Row, part: Part) -> Piece:
        random = generator(self.seed, row.row_id, part.number)
        order = choose_order(random, rate=self.fim_rate, spm_rate=self.spm_rate)
        if order != "none" and len(part.text) >= MIN_CHARACTERS:
            texts = self._cut(row, part, random)
            parts = self.encode(texts)
            moved = arrange(parts, order, self.sentinels)
            if len(moved) <= self.max_length:
                return self._marked(Piece(row.row_id, part.offset, order, moved), row, part, (texts, parts))
        head = [] if self.sentinels.bos is None else [self.sentinels.bos]
        ids = [*head, *part.ids, *([self.sentinels.eos] if part.last else [])]
        return self._marked(Piece(row.row_id, part.offset, "none", ids), row, part, ((part.text,), [part.ids]))

    def _cut(self, row: Row, part: Part, random: np.random.Generator) -> Cut:
        """Cut anywhere, or, in a share of `fim_align` of the texts, along the syntax where there is a place for it."""
        if not self.fim_align or random.random() >= self.fim_align or row.source is None:
            return cut(part.text, random)
        begin = row.bytes_before(part.offset)
        spans = row.source.holes(begin, begin + len(part.text.encode("utf-8", "replace")))
        return cut_along(part.text, spans, random) or cut(part.text, random)

    def _marked(self, piece: Piece, row: Row, part: Part, encoded: tuple[Sequence[str], Sequence[list[int]]]) -> Piece:
        """The piece with the marks of its tokens, and, in the order of the text, with illegal continuations."""
        if not self.structure or self.marker is None or row.source is None:
            return piece
        begin, places = row.bytes_before(part.offset), []
        for text, ids in zip(*encoded, strict=True):
            size = len(text.encode("utf-8", "replace"))
            found = self.marker.places(ids, begin, size)
            if found is None:
                return piece
            places.append(found)
            begin += size
        if piece.fim == "none":
            head = [] if self.sentinels.bos is None else [NOWHERE]
            laid = [*head, *places[0], *([NOWHERE] if part.last else [])]
        else:
            bos = None if self.sentinels.bos is None else NOWHERE
            nowhere = Sentinels(NOWHERE, NOWHERE, NOWHERE, NOWHERE, bos)
            laid = arrange(places, piece.fim, nowhere)
        marks = self.marker.marks(row.source, piece.input_ids, laid)
        if piece.fim != "none":
            return replace(piece, marks=marks)
        random = generator(self.seed, row.row_id, _ILLEGAL_STREAM + part.number)
        return replace(piece, marks=marks, illegal=tuple(self.marker.illegal(row.source, laid, random)))

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
