"""The different texts among the collected rows: equal once all white space is removed, told apart by a sort on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from buril.code.minhash import I64, U64, Flags
from buril.data._shards import DIGESTS, PREFERENCE, Sketch
from buril.data._sorted import mapped, scratch_array, sort_table

_ROWS_AT_ONCE = 1 << 16


class Texts(NamedTuple):
    """The different texts (N) of the rows (R), numbered in the order of their digests. All arrays are mapped files."""

    of_row: I64
    """The text of each row."""
    row: I64
    """The row that stands for a text: the most preferred one that has it."""
    preference: U64
    """What decides between texts (N, W), smaller first, column by column; no two texts are alike."""


def tell_apart(jobs: Sequence[Sketch], ranks: I64 | None, folder: Path, *, memory: int) -> Texts:
    """Sort all rows by digest, then by preference, and number the texts."""
    folder.mkdir(parents=True, exist_ok=True)
    width = mapped(jobs[0].target.with_suffix(PREFERENCE)).shape[1] + 1 if jobs else 1
    records = sort_table(_records(jobs, ranks), folder / "rows.npy", width=3 + width, memory=memory)
    of_row = scratch_array(folder / "of_row.npy", (len(records),), np.int64)
    row = scratch_array(folder / "row.npy", (len(records),), np.int64)
    preferred = scratch_array(folder / "preference.npy", (len(records), width), np.uint64)
    last, count = np.zeros((0, 2), dtype=np.uint64), 0
    for start in range(0, len(records), _ROWS_AT_ONCE):
        some = records[start : start + _ROWS_AT_ONCE]
        digests = np.concatenate([last, some[:, :2]])
        new = np.ones(len(some), dtype=np.bool_)
        new[len(new) - len(digests) + 1 :] = (digests[1:] != digests[:-1]).any(axis=1)
        numbers = count - 1 + np.cumsum(new)
        of_row[some[:, -1].astype(np.int64)] = numbers
        first = some[new]
        row[count : count + len(first)] = first[:, -1].astype(np.int64)
        preferred[count : count + len(first)] = first[:, 2:-1]
        last, count = some[-1:, :2].copy(), count + len(first)
    return Texts(of_row, row[:count], preferred[:count])


def _records(jobs: Sequence[Sketch], ranks: I64 | None) -> Iterator[U64]:
    """(digest, digest, preference…, rank of the name, row) of every row, a shard at a time."""
    first = 0
    for job in jobs:
        digests, preferred = (mapped(job.target.with_suffix(suffix)) for suffix in (DIGESTS, PREFERENCE))
        row = np.arange(first, first + len(digests), dtype=np.uint64)
        rank = row if ranks is None else ranks[first : first + len(digests)].astype(np.uint64)
        yield np.concatenate([digests, preferred, rank[:, None], row[:, None]], axis=1)
        first += len(digests)


def members(texts: Texts, parent_N: I64, marks: Flags | None, target: Path, *, memory: int) -> U64:
    """The texts of all clusters of two or more, sorted (root, preference…, text); with `marks`, only marked texts."""
    target.unlink(missing_ok=True)
    width = texts.preference.shape[1] + 2
    return sort_table(_members(texts, parent_N, marks), target, width=width, memory=memory)


def _members(texts: Texts, parent_N: I64, marks: Flags | None) -> Iterator[U64]:
    joined = clustered(parent_N)
    for start in range(0, len(parent_N), _ROWS_AT_ONCE):
        root = parent_N[start : start + _ROWS_AT_ONCE]
        text = np.arange(start, start + len(root))
        taken = joined[root] if marks is None else joined[root] & marks[start : start + len(root)]
        columns = [root[taken, None], texts.preference[start : start + len(root)][taken], text[taken, None]]
        yield np.concatenate([column.astype(np.uint64) for column in columns], axis=1)


def clustered(parent_N: I64) -> Flags:
    """Which roots have more than themselves (all texts point at their root)."""
    found = np.zeros(len(parent_N), dtype=np.bool_)
    for start in range(0, len(parent_N), _ROWS_AT_ONCE):
        root = parent_N[start : start + _ROWS_AT_ONCE]
        found[root[root != np.arange(start, start + len(root))]] = True
    return found
