"""Bins: pieces packed best-fit into sequences, and the Parquet file of them."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from buril.tokens.marks import GIVEN, STRUCTURE
from buril.tokens.pieces import Piece

Item = TypeVar("Item")
OPEN_BINS = 512
"""Sequences kept open while packing. More fill better; this many cost no time that shows."""
SORTED_UNITS = 2048
"""Units put in order of length at a time: best-fit of longest-first fills better than in order of arrival."""
ROW_GROUP = 1024

_INT = pa.int32()
_SPAN_FIELDS = [("row_id", pa.string()), ("start", _INT), ("length", _INT), ("fim", pa.string()), ("offset", _INT)]
SPAN = pa.struct([*_SPAN_FIELDS, ("document", _INT)])
ILLEGAL = pa.struct([("position", _INT), ("token", _INT)])
MARKS = [("marks", pa.list_(pa.uint8())), ("illegal", pa.list_(ILLEGAL))]
SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("spans", pa.list_(SPAN)), *MARKS])
"""A packed sequence. `document` numbers the units of attention in it: spans of one number see those before them.

`marks` holds a mark for each token (`buril.tokens.marks`), null where all are ordinary. `illegal` holds pairs of a
position and a token that must not stand there, null where there are none.
"""

Unit = tuple[Piece, ...]
"""Pieces that are read as one text: a file's piece alone, or files of a repository one after the other."""


@dataclass
class Bin:
    """A sequence being filled."""

    units: list[Unit] = field(default_factory=list)
    size: int = 0

    @property
    def pieces(self) -> list[Piece]:
        """Its pieces, in order."""
        return [piece for unit in self.units for piece in unit]

    def row(self) -> dict[str, Any]:
        """The row of the packed file."""
        spans, start = [], 0
        illegal: list[dict[str, int]] = []
        for document, piece in ((number, piece) for number, unit in enumerate(self.units) for piece in unit):
            size = len(piece.input_ids)
            told = {"row_id": piece.row_id, "start": start, "length": size, "fim": piece.fim, "offset": piece.offset}
            spans.append({**told, "document": document})
            illegal += [{"position": start + item.position, "token": item.token} for item in piece.illegal]
            start += size
        return {
            "input_ids": [token for piece in self.pieces for token in piece.input_ids], "spans": spans,
            "marks": self._marks(), "illegal": illegal or None,
        }  # fmt: skip

    def _marks(self) -> list[int] | None:
        if all(piece.marks is None for piece in self.pieces):
            return None
        return [mark for piece in self.pieces for mark in piece.marks or [0] * len(piece.input_ids)]


def size_of(unit: Unit) -> int:
    """Tokens of a unit."""
    return sum(len(piece.input_ids) for piece in unit)


def pack(units: Iterable[Unit], max_length: int, *, open_bins: int = OPEN_BINS) -> Iterator[Bin]:
    """Units into sequences of at most `max_length` tokens: best fit, longest first within a buffer, in bounded memory.

    The same units in the same order always give the same sequences. Best fit of the longest first wastes at most
    22 % in theory (Johnson 1973); a bounded buffer of source files wastes 0–2 % in practice.
    """
    bins: list[tuple[int, int, Bin]] = []  # (room left, number, bin), sorted: the first that fits fits best
    opened = 0
    for unit in _longest_first(units):
        length = size_of(unit)
        assert length <= max_length
        place = bisect.bisect_left(bins, (length, -1))
        if place < len(bins):
            _room, number, chosen = bins.pop(place)
        else:
            number, chosen, opened = opened, Bin(), opened + 1
        chosen.units.append(unit)
        chosen.size += length
        if chosen.size == max_length:
            yield chosen
            continue
        bisect.insort(bins, (max_length - chosen.size, number, chosen))
        if len(bins) > open_bins:
            yield bins.pop(0)[2]
    yield from (chosen for _room, _number, chosen in sorted(bins, key=lambda item: item[1]))


def _longest_first(units: Iterable[Unit]) -> Iterator[Unit]:
    for buffer in in_groups(units, SORTED_UNITS):
        yield from sorted(buffer, key=lambda unit: -size_of(unit))


def write_bins(path: Path, bins: Iterable[Bin]) -> None:
    """Write sequences as zstd Parquet, a row group at a time; the same sequences give the same bytes."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=3) as writer:
        for group in in_groups(bins):
            writer.write_table(pa.Table.from_pylist([item.row() for item in group], schema=SCHEMA))


def in_groups(items: Iterable[Item], size: int = ROW_GROUP) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    source = iter(items)
    while group := list(islice(source, size)):
        yield group


def summarise(path: Path, max_length: int) -> dict[str, Any]:
    """What a packed file holds: counts, how full the sequences are, and shares of its tokens.

    `fim_share` are those in transformed pieces, `context_share` those that other files of their repository stand
    before, `given_share` those that are read and not learnt, `structure_share` those that carry syntax. `illegal`
    counts the continuations that are known to break the syntax.
    """
    counts = dict.fromkeys(("sequences", "documents", "spans", "context", "given", "structural", "illegal"), 0)
    tokens = {"none": 0, "psm": 0, "spm": 0}
    with pq.ParquetFile(path) as source:
        for group in range(source.num_row_groups):
            table = source.read_row_group(group, columns=["spans", *(name for name, _type in MARKS)])
            counts["sequences"] += len(table)
            for spans in table.column("spans").to_pylist():
                _count_spans(spans, counts, tokens)
            marks = table.column("marks").combine_chunks().flatten().to_numpy(zero_copy_only=False)
            counts["given"] += int(((marks & GIVEN) != 0).sum())
            counts["structural"] += int(((marks & STRUCTURE) != 0).sum())
            counts["illegal"] += len(table.column("illegal").combine_chunks().flatten())
    total = sum(tokens.values())
    share = {name: counts.pop(name) / total if total else 0.0 for name in ("context", "given", "structural")}
    return {
        **counts, "tokens": total,
        "utilisation": total / (counts["sequences"] * max_length) if counts["sequences"] else 0.0,
        "fim_share": (tokens["psm"] + tokens["spm"]) / total if total else 0.0,
        "context_share": share["context"], "given_share": share["given"], "structure_share": share["structural"],
        "tokens_by_order": tokens,
    }  # fmt: skip


def _count_spans(spans: Sequence[dict[str, Any]], counts: dict[str, int], tokens: dict[str, int]) -> None:
    first: tuple[int, str] | None = None
    for span in spans:
        counts["spans"] += 1
        counts["documents"] += span["offset"] == 0
        tokens[span["fim"]] += span["length"]
        if first is None or first[0] != span["document"]:
            first = (span["document"], span["row_id"])
        elif span["row_id"] != first[1]:
            counts["context"] += span["length"]
