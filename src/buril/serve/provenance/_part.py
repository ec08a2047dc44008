"""Part: one segment of an index, mapped, and what can be asked of it."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from buril.code.minhash import I64, U32
from buril.serve.provenance.segments import ARRAYS, ROWS

DEEP = 512
"""Tokens up to which a run is looked for at every place of a text; a longer one is followed, or it costs the square."""
MOST_PLACES = 1 << 16
"""Places of one run that are looked at; of more, the first in the order of the suffix array."""

MOST_FOLLOWED = 1000
"""Places of one long run that are followed to their ends."""


class Run(NamedTuple):
    """A run of tokens of a text."""

    start: int
    length: int


class Part:
    """A segment on disk. Rows are numbered as in its table, places are tokens."""

    def __init__(self, arrays: dict[str, U32], table: pa.Table) -> None:
        self.tokens, self.suffixes = arrays["tokens"], arrays["suffixes"]
        self._line_tokens, self._lines = arrays["line_tokens"], arrays["lines"]
        self.prints, self.places = arrays["prints"], arrays["places"]
        self._columns = {name: table.column(name).combine_chunks() for name in table.column_names}
        self.first_tokens: I64 = self._columns["first_token"].to_numpy()
        self._firsts: list[int] = self.first_tokens.tolist()
        self._num_tokens: I64 = self._columns["num_tokens"].to_numpy()

    @classmethod
    def open(cls, folder: Path) -> Part:
        """Map the arrays of a segment and read its rows.

        Raises:
            OSError, ValueError: when a file is missing, cut off, or of another kind.
        """
        arrays = {name: _mapped(folder / f"{name}.npy") for name in ARRAYS}
        if any(array.dtype != np.uint32 or array.ndim != 1 for array in arrays.values()):
            raise ValueError(f"{folder.name}: not arrays of 32-bit numbers")
        table = pq.read_table(folder / ROWS)
        if len(arrays["tokens"]) != len(arrays["suffixes"]) or len(arrays["prints"]) != len(arrays["places"]):
            raise ValueError(f"{folder.name}: arrays of unequal length")
        return cls(arrays, table)

    def longest(self, query_Q: U32) -> I64:
        """For every place of a query, how many tokens from there on stand in this segment: `DEEP` at most."""
        from buril.serve.provenance import _kernel

        lengths_Q = np.zeros(len(query_Q), dtype=np.int64)
        _kernel.longest(self.tokens, self.suffixes, query_Q, DEEP, lengths_Q)
        return lengths_Q

    def widest(self, query_Q: U32, start: int) -> Run:
        """The longest run around a place of the query from which on `DEEP` tokens stand here."""
        from buril.serve.provenance import _kernel

        best = Run(start, 0)
        for place in self.holders(query_Q[start : start + DEEP])[:MOST_FOLLOWED]:
            left, right = _kernel.around(self.tokens, query_Q, start, place)
            if left + right > best.length:
                best = Run(start - left, left + right)
        return best

    def holders(self, run_R: U32) -> list[int]:
        """The places of a run, in the order of the rows."""
        from buril.serve.provenance import _kernel

        first, after = _kernel.interval(self.tokens, self.suffixes, run_R)
        return sorted(self.suffixes[first : min(after, first + MOST_PLACES)].tolist())

    def row_at(self, place: int) -> int:
        """The row that a token is of."""
        return bisect_right(self._firsts, place) - 1

    def end_of(self, row: int) -> int:
        """One past the last token of a row."""
        return int(self.first_tokens[row] + self._num_tokens[row])

    def tokens_of(self, row: int) -> U32:
        """The tokens of a row."""
        found: U32 = np.array(self.tokens[int(self.first_tokens[row]) : self.end_of(row)])
        return found

    def long_row(self, least: int) -> int | None:
        """The first row of at least so many tokens."""
        found = np.flatnonzero(self._num_tokens >= least)
        return int(found[0]) if len(found) else None

    def repo(self, row: int) -> str:
        """The repository of a row."""
        return str(self._columns["repo"][row].as_py())

    def license(self, row: int) -> str:
        """The licence of a row."""
        return str(self._columns["license"][row].as_py())

    def path(self, row: int) -> str:
        """The path of a row."""
        return str(self._columns["path"][row].as_py())

    def place(self, row: int, token: int, length: int) -> dict[str, Any]:
        """What a match says of a row: its columns, and the lines of a run of tokens."""
        names = ("row_id", "repo", "commit", "path", "license", "language", "origin", "made_by")
        line, end_line = (self._line_of(at) for at in (token, token + length - 1))
        return {**{name: self._columns[name][row].as_py() for name in names}, "line": line, "end_line": end_line}

    def _line_of(self, token: int) -> int:
        return int(self._lines[int(np.searchsorted(self._line_tokens, np.uint32(token), side="right")) - 1])


def _mapped(path: Path) -> U32:
    """An array, read as it is used; one without entries is simply loaded."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError:  # nothing to map
        return np.asarray(np.load(path, allow_pickle=False))
