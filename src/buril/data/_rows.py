"""What `dedup` knows of the collected rows without their text: how many, and which is to be preferred to which.

Columns are read a batch at a time; what is kept of a row is numbers. Names matter only as a last resort, and there
only by their order, which is that of collecting: were it not, they are sorted on disk.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from buril.code.minhash import F64, I64, U64
from buril.data._sorted import descending, scratch_array

BATCH_ROWS = 1 << 12
_NAMES = ("repo", "path", "row_id")
_NO_LICENSE = ("", "NOASSERTION", "NONE", "LicenseRef-unrecognised")
_SIGNALS = {"stars": "stars", "age": "age_days"}
Name = tuple[str, str, str, int]


def num_rows(shard: Path) -> int:
    """Rows of a Parquet file, from its end."""
    return int(pq.read_metadata(shard).num_rows)


def batches(path: Path, columns: Sequence[str], size: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, some at a time."""
    with pq.ParquetFile(path) as source:
        yield from source.iter_batches(size, columns=list(columns))


def ruled(keep: Sequence[str]) -> tuple[str, ...]:
    """The rules that come before the name; `path` ends them, for no two rows have the same name."""
    rules = [*keep, "path"]
    return tuple(rules[: rules.index("path")])


def preference(shard: Path, keep: Sequence[str]) -> U64:
    """For each row of a shard (n) a number per rule, smaller where the row is preferred; unknown comes last."""
    rules = ruled(keep)
    names = {"license": "license", **dict.fromkeys(_SIGNALS, "signals")}
    wanted = sorted({names[rule] for rule in rules})
    found = [np.zeros((0, len(rules)), dtype=np.uint64)]
    for batch in batches(shard, wanted or ["row_id"]):
        columns = [_licensed(batch) if rule == "license" else _signal(batch, _SIGNALS[rule]) for rule in rules]
        found.append(np.stack([descending(column) for column in columns], axis=1) if columns else _none(len(batch)))
    return np.concatenate(found)


def _none(count: int) -> U64:
    return np.zeros((count, 0), dtype=np.uint64)


def _licensed(batch: pa.RecordBatch) -> F64:
    known = pc.invert(pc.is_in(pc.fill_null(batch["license"], ""), pa.array(_NO_LICENSE)))
    found: F64 = known.to_numpy(zero_copy_only=False).astype(np.float64)
    return found


def _signal(batch: pa.RecordBatch, name: str) -> F64:
    """One signal of every row; -1 where it is unknown, so that unknown comes last."""
    lists = batch["signals"]
    values = np.full(len(lists), -1.0)
    parents, items = pc.list_parent_indices(lists), pc.list_flatten(lists)
    fits = pc.equal(pc.struct_field(items, "name"), name)
    known = pc.struct_field(items, "value").filter(fits)
    values[parents.filter(fits).to_numpy(zero_copy_only=False)] = known.to_numpy(zero_copy_only=False)
    return values


def name_ranks(shards: Sequence[Path], folder: Path) -> I64 | None:
    """The place of every row in the order of (repository, path, row_id); None where that is the order of the rows.

    `collect` writes rows in that order; whoever does not pays for a sort on disk.
    """
    last: tuple[str, str, str] = ("", "", "")
    for shard in shards:
        for name in _named(shard, 0):
            if name[:3] < last:
                return _sorted_names(shards, folder)
            last = name[:3]
    return None


def _named(path: Path, first: int) -> Iterator[Name]:
    for batch in batches(path, _NAMES):
        columns = (batch[name].to_pylist() for name in _NAMES)
        for row, (repo, name, row_id) in enumerate(zip(*columns, strict=True), first):
            yield repo or "", name or "", row_id, row
        first += len(batch)


def _sorted_names(shards: Sequence[Path], folder: Path) -> I64:
    """Each shard's names sorted into a file, then all files merged a batch at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    first, runs = 0, []
    for number, shard in enumerate(shards):
        names = sorted(_named(shard, first))
        table = pa.table({name: pa.array(values) for name, values in _columns(names).items()})
        runs.append(folder / f"names{number}.parquet")
        pq.write_table(table, runs[-1], row_group_size=BATCH_ROWS)
        first += len(names)
    ranks: I64 = scratch_array(folder / "ranks.npy", (first,), np.int64)
    for rank, (_repo, _path, _row_id, row) in enumerate(heapq.merge(*(_read_names(run) for run in runs))):
        ranks[row] = rank
    return ranks


def _columns(names: Sequence[Name]) -> dict[str, list[str] | list[int]]:
    repos, paths, ids, rows = zip(*names, strict=True) if names else ((), (), (), ())
    return {"repo": list(repos), "path": list(paths), "row_id": list(ids), "row": list(rows)}


def _read_names(path: Path) -> Iterator[Name]:
    for batch in batches(path, ("repo", "path", "row_id", "row")):
        yield from zip(*(batch[name].to_pylist() for name in ("repo", "path", "row_id", "row")), strict=True)
