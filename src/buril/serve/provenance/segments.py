"""Segments: a part of the training rows as one suffix array and one list of fingerprints, on disk as plain arrays.

A segment holds whole rows, in their order, until it has so many tokens; it is made in memory and never touched again.
So building takes the memory of one segment however large the training set is, and an interrupted build goes on behind
the last segment that is whole. Files of a segment, all mapped when they are read:

    tokens.npy       32 bits of each token's hash, an end behind each row       T × 4 bytes
    suffixes.npy     the places of the tokens, by what follows                  T × 4
    line_tokens.npy  the first token of each line that holds one                L × 4
    lines.npy        the numbers of these lines                                 L × 4
    prints.npy       fingerprints, sorted                                       F × 4
    places.npy       the first token of each fingerprint                        F × 4
    rows.parquet     the rows, with the place of their first token; written last

Legend: T tokens, L lines that hold tokens, F fingerprints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from buril.code import lexical
from buril.code.codefile import write_table
from buril.code.lexical import Lexemes
from buril.code.minhash import U32
from buril.core.stage import Output
from buril.serve.provenance._suffixes import suffix_array

FORMAT = 1
"""Version of the files; a reader refuses another one."""
INDEX, ROWS = "index.json", "rows.parquet"
ARRAYS = ("tokens", "suffixes", "line_tokens", "lines", "prints", "places")
BLOCK_BYTES = 1 << 20
"""Texts are cut in blocks of about this size."""
MOST_HELD = 64
"""Of a fingerprint that stands at more places than this the rest is left out: it does not tell where text is from."""
ROW_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("row_id", "repo", "commit", "path", "language", "license")),
        ("origin", pa.string()),
        ("made_by", pa.string()),
        ("first_token", pa.int64()),
        ("num_tokens", pa.int64()),
    ]
)
"""`origin` is the row that a made text was made of, `made_by` the stage that made it; both "" for a collected file."""


class Row(NamedTuple):
    """A text that the model has read, and where it is from."""

    content: str
    row_id: str
    repo: str
    commit: str
    path: str
    language: str
    license: str
    origin: str = ""
    made_by: str = ""


@dataclass
class _Waiting:
    """The rows of the segment that is being gathered."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    parts: list[Lexemes] = field(default_factory=list)
    num_tokens: int = 0

    def add(self, rows: list[Row], found: Lexemes) -> None:
        """Take a block of rows in."""
        first = np.concatenate([[0], found.ends[:-1]])
        for row, start, end in zip(rows, first.tolist(), found.ends.tolist(), strict=True):
            place = {"first_token": self.num_tokens + start, "num_tokens": end - start - 1}
            self.rows.append({**row._asdict(), **place})
        shift = np.uint32(self.num_tokens)
        moved = {name: getattr(found, name) + shift for name in ("line_tokens", "places")}
        self.parts.append(found._replace(**moved))
        self.num_tokens += len(found.tokens)

    def arrays(self) -> Iterator[tuple[str, U32]]:
        """The arrays of the segment, one at a time."""
        for name in ("tokens", "line_tokens", "lines"):
            yield name, self._joined(name)
        prints, places = self._joined("prints"), self._joined("places")
        order = np.lexsort((places, prints))
        prints, places = prints[order], places[order]
        rank = np.arange(len(prints)) - np.searchsorted(prints, prints)
        kept = rank <= MOST_HELD  # one more than is held, so that it can be told
        yield "prints", prints[kept]
        yield "places", places[kept]
        del prints, places, order, rank
        yield "suffixes", suffix_array(self._joined("tokens"))

    def _joined(self, name: str) -> U32:
        found: U32 = np.concatenate([getattr(part, name) for part in self.parts])
        return found


def write_segments(rows: Iterable[Row], out: Output, *, most_tokens: int, done: tuple[int, int] = (0, 0)) -> int:
    """Write the segments of rows; gives how many there are.

    Args:
        rows: all rows, also those of segments that are there.
        out: where to.
        most_tokens: tokens from which on a segment takes no further row.
        done: how many segments an earlier attempt has finished, and how many rows they hold.
    """
    number, skip = done
    waiting = _Waiting()
    for block in _blocks(rows, skip):
        texts = [row.content.encode("utf-8", "replace") for row in block]
        found = lexical.lexemes(texts, [row.language for row in block])
        for first, last in _cuts(found, waiting.num_tokens, most_tokens):
            waiting.add(block[first:last], _slice(found, first, last))
            if waiting.num_tokens >= most_tokens:
                _write(waiting, number, out)
                waiting, number = _Waiting(), number + 1
    if waiting.rows:
        _write(waiting, number, out)
        number += 1
    return number


def _blocks(rows: Iterable[Row], skip: int) -> Iterator[list[Row]]:
    block: list[Row] = []
    size = 0
    for index, row in enumerate(rows):
        if index < skip:
            continue
        block.append(row)
        size += len(row.content)
        if size >= BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _cuts(found: Lexemes, already: int, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of texts, each of which ends with the block or where a segment is full."""
    first, before = 0, 0
    for index, end in enumerate(found.ends.tolist()):
        if already + end - before >= most:
            yield first, index + 1
            first, before, already = index + 1, end, 0
    if first < len(found.ends):
        yield first, len(found.ends)


def _slice(found: Lexemes, first: int, last: int) -> Lexemes:
    """The lexemes of a range of texts."""
    start = int(found.ends[first - 1]) if first else 0
    end = int(found.ends[last - 1])
    lines = slice(*np.searchsorted(found.line_tokens, [start, end]).tolist())
    prints = slice(*np.searchsorted(found.places, [start, end]).tolist())
    shift = np.uint32(start)
    return Lexemes(
        found.tokens[start:end], found.ends[first:last] - start, found.line_tokens[lines] - shift, found.lines[lines],
        found.prints[prints], found.places[prints] - shift,
    )  # fmt: skip


def _write(waiting: _Waiting, number: int, out: Output) -> None:
    """Write a segment, its rows last: where they stand it is whole."""
    for name, array in waiting.arrays():
        with out.write(f"{segment_name(number)}/{name}.npy") as path:
            save(path, array)
    with out.write(f"{segment_name(number)}/{ROWS}", rows=len(waiting.rows)) as path:
        write_table(path, pa.Table.from_pylist(waiting.rows, schema=ROW_SCHEMA))


def segment_name(number: int) -> str:
    """The folder of a segment."""
    return f"segments/{number:05d}"


def save(path: Any, array: npt.NDArray[Any]) -> None:
    """Write an array, without pickle."""
    with path.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
