"""What `dedup` writes: a verdict for every row, and the clusters, one row each, for whoever wants to look at them.

Both tables are made a block of rows at a time from mapped arrays; their bytes depend on the rows and their order alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from buril.code.minhash import F64, I64, U64
from buril.data._near import Choice
from buril.data._rows import batches
from buril.data._sorted import scratch_array, sort_table
from buril.data._texts import Texts, members

KINDS = ("unique", "exact", "near", "renamed")
DUPLICATES = pa.schema(
    [
        ("row_id", pa.string()),
        ("kept", pa.bool_()),
        ("kind", pa.string()),
        ("of", pa.string()),
        ("cluster", pa.string()),
        ("similarity", pa.float64()),
    ]
)
CLUSTERS = pa.schema(
    [
        ("cluster", pa.string()),
        ("repo", pa.string()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("kept", pa.int64()),
        ("members", pa.list_(pa.string())),
        ("min_similarity", pa.float64()),
        ("mean_similarity", pa.float64()),
        ("languages", pa.list_(pa.string())),
        ("bytes_saved", pa.int64()),
    ]
)
LARGEST = 20
"""Clusters that the metrics name."""
_ROWS_AT_ONCE = 1 << 16


class Facts(NamedTuple):
    """What the tables say of each row (R): its name, size, and the number of its language."""

    row_id: Any
    bytes: I64
    language: I64
    languages: tuple[str, ...]


class Verdicts(NamedTuple):
    """For each row (R): the row kept in its stead, the first of its cluster, the place of its kind in `KINDS`."""

    of: I64
    cluster: I64
    kind: I64
    similarity: F64


def facts(shards: Sequence[Path], total: int, folder: Path) -> Facts:
    """Read names, sizes and languages of all rows into mapped arrays."""
    longest = max((len(name) for shard in shards for name in _column(shard, "row_id")), default=1)
    row_id = scratch_array(folder / "row_id.npy", (total,), np.dtype(f"S{max(longest, 1)}"))
    size = scratch_array(folder / "bytes.npy", (total,), np.int64)
    language = scratch_array(folder / "language.npy", (total,), np.int64)
    numbers: dict[str, int] = {}
    first = 0
    for shard in shards:
        for batch in batches(shard, ["row_id", "bytes", "language"]):
            end = first + len(batch)
            row_id[first:end] = np.array(batch["row_id"].to_pylist(), dtype=row_id.dtype)
            size[first:end] = batch["bytes"].to_numpy()
            names = (name or "" for name in batch["language"].to_pylist())
            language[first:end] = [numbers.setdefault(name, len(numbers)) for name in names]
            first = end
    return Facts(row_id, size, language, tuple(numbers))


def _column(shard: Path, name: str) -> Iterator[str]:
    for batch in batches(shard, [name]):
        yield from batch[name].to_pylist()


def verdicts(texts: Texts, choice: Choice, kinds_N: I64, folder: Path, *, memory: int) -> Verdicts:
    """What became of every row, from what became of its text."""
    label = scratch_array(folder / "label.npy", (len(texts.row),), np.int64)
    label[:] = np.arange(len(label))
    table = members(texts, choice.parent, None, folder / "label.members.npy", memory=memory)  # best first
    for start, end in _groups(table):
        some = table[start:end]
        first = np.flatnonzero(np.concatenate([[True], some[1:, 0] != some[:-1, 0]]))
        texts_of_group = some[:, -1].astype(np.int64)
        label[texts_of_group] = np.repeat(texts_of_group[first], np.diff([*first, len(some)]))
    total = len(texts.of_row)
    names = {"of": np.int64, "cluster": np.int64, "kind": np.int64, "similarity": np.float64}
    found = Verdicts(*(scratch_array(folder / f"row_{n}.npy", (total,), kind) for n, kind in names.items()))
    for start in range(0, total, _ROWS_AT_ONCE):
        row = np.arange(start, min(start + _ROWS_AT_ONCE, total))
        text = texts.of_row[row]
        near = choice.kept[text]
        kept = choice.kept[near]
        of = texts.row[kept]
        found.of[row], found.cluster[row] = of, texts.row[label[text]]
        copied = np.where(near != text, np.where(kept != near, kinds_N[near], kinds_N[text]), kinds_N[text])
        found.kind[row] = np.where(of == row, 0, np.where(kept == text, 1, copied))
        found.similarity[row] = np.minimum(choice.similarity[text], choice.similarity[near])
    return found


def _groups(table: U64) -> Iterator[tuple[int, int]]:
    """Ranges of a table sorted by its first column, of whole groups and about a block of rows each."""
    start = 0
    while start < len(table):
        end = start + _ROWS_AT_ONCE
        while end < len(table) and table[end, 0] == table[end - 1, 0]:
            end += 1
        yield start, min(end, len(table))
        start = end


def write_duplicates(path: Path, known: Facts, found: Verdicts) -> None:
    """Write `duplicates.parquet`, in the order of the rows."""
    with pq.ParquetWriter(path, DUPLICATES, compression="zstd", compression_level=3) as writer:
        for start in range(0, max(1, len(found.of)), _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            of = found.of[some]
            columns = [
                _strings(known.row_id[some]),
                pa.array(of == np.arange(start, start + len(of))),
                pa.array(np.array(KINDS, dtype=object)[found.kind[some]], type=pa.string()),
                _strings(known.row_id[of]),
                _strings(known.row_id[found.cluster[some]]),
                pa.array(np.asarray(found.similarity[some])),
            ]
            writer.write_table(pa.table(columns, schema=DUPLICATES))


def _strings(names: Any) -> pa.Array:
    return pa.array(np.char.decode(names, "utf-8").tolist(), type=pa.string())


def write_clusters(
    path: Path, shards: Sequence[Path], known: Facts, found: Verdicts, folder: Path
) -> list[dict[str, Any]]:
    """Write `clusters.parquet`, in the order of the rows that name them; gives the largest for the metrics."""
    size = scratch_array(folder / "cluster_size.npy", (len(found.of),), np.int64)
    for start in range(0, len(size), _ROWS_AT_ONCE):
        np.add.at(size, found.cluster[start : start + _ROWS_AT_ONCE], 1)
    table = sort_table(_clustered(found, size), folder / "clusters.npy", width=2, memory=_ROWS_AT_ONCE * 64)
    names = _names(shards, size)
    largest: list[tuple[int, int, int, dict[str, Any]]] = []
    seen = 0
    with pq.ParquetWriter(path, CLUSTERS, compression="zstd", compression_level=3) as writer:
        for start, end in _groups(table):
            rows = [{**next(names), **row} for row in _described(table[start:end], known, found)]
            for row in rows:
                seen += 1
                heapq.heappush(largest, (row["size"], row["bytes_saved"], -seen, row))
                if len(largest) > LARGEST:
                    heapq.heappop(largest)
            writer.write_table(pa.Table.from_pylist(rows, schema=CLUSTERS))
    shown = ("cluster", "repo", "path", "size", "kept", "min_similarity", "bytes_saved")
    ordered = sorted((item[3] for item in largest), key=lambda row: (-row["size"], -row["bytes_saved"], row["cluster"]))
    return [{name: row[name] for name in shown} for row in ordered]


def _clustered(found: Verdicts, size: I64) -> Iterator[U64]:
    """(row that names the cluster, row) of every row in a cluster of two files or more."""
    for start in range(0, len(size), _ROWS_AT_ONCE):
        row = np.arange(start, min(start + _ROWS_AT_ONCE, len(size)))
        cluster = found.cluster[row]
        together = size[cluster] > 1
        yield np.stack([cluster[together], row[together]], axis=1).astype(np.uint64)


def _names(shards: Sequence[Path], size: I64) -> Iterator[dict[str, str]]:
    """Repository and path of the rows that name a cluster, in order."""
    first = 0
    for shard in shards:
        for batch in batches(shard, ["repo", "path"]):
            for place in np.flatnonzero(size[first : first + len(batch)] > 1).tolist():
                yield {"repo": batch["repo"][place].as_py() or "", "path": batch["path"][place].as_py() or ""}
            first += len(batch)


def _described(table: U64, known: Facts, found: Verdicts) -> Iterator[dict[str, Any]]:
    """What can be said of each cluster of a table sorted (cluster, row)."""
    borders = np.flatnonzero(table[1:, 0] != table[:-1, 0]) + 1
    for some in np.split(table[:, 1].astype(np.int64), borders):
        left_out = found.of[some] != some
        similarity = found.similarity[some][left_out]
        languages = {known.languages[number] for number in np.unique(known.language[some]).tolist()}
        yield {
            "cluster": known.row_id[found.cluster[some[0]]].decode(),
            "size": len(some),
            "kept": int((~left_out).sum()),
            "members": [name.decode() for name in known.row_id[some].tolist()],
            "min_similarity": float(similarity.min(initial=1.0)),
            "mean_similarity": float(similarity.mean()) if len(similarity) else 1.0,
            "languages": sorted(languages),
            "bytes_saved": int(known.bytes[some][left_out].sum()),
        }
