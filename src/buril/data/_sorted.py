"""Tables of 64-bit columns larger than memory: written as sorted runs, merged into one sorted file.

A table is an (M, W) array of unsigned 64-bit numbers in a `.npy` file; rows are ordered by their columns, the first
before the others, so that a column may hold any number whose order unsigned numbers can carry (`descending`). Only one
run is in memory at a time, and of a merge only the block that is written; what is mapped the system can drop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from buril.code.minhash import F64, U64
from buril.core.artifact import atomic

_COPIES = 4  # a run, its order, its sorted copy, and what comes from outside
_BLOCK_ROWS = 1 << 16


def save(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array as a file that appears whole."""
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


def mapped(path: Path) -> npt.NDArray[Any]:
    """An array on disk, read as it is used; one without rows is simply loaded."""
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError:  # nothing to map
        return np.asarray(np.load(path, allow_pickle=False))


def scratch_array(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A new array on disk, zero everywhere, that can be written in any order; made anew by every run."""
    if 0 in shape:
        return np.zeros(shape, dtype=dtype)
    return np.asarray(np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape))


def descending(values: F64) -> U64:
    """Numbers whose order is the reverse of these floats'."""
    bits = (np.asarray(values, dtype=np.float64) + 0.0).view(np.uint64)
    high = np.uint64(1 << 63)
    found: U64 = np.where(bits & high, bits, ~(bits | high))
    return found


def sort_table(chunks: Iterable[U64], target: Path, *, width: int, memory: int, unique: bool = False) -> U64:
    """Sort the rows of all chunks into `target` and map it; a target that is there already is taken as it is.

    Args:
        chunks: arrays (m, W); each may be of any length.
        target: the `.npy` file to write.
        width: W.
        memory: bytes to use for a run.
        unique: keep one of equal rows.
    """
    if not target.exists():
        runs = list(_write_runs(chunks, target, width=width, memory=memory, unique=unique))
        if isinstance(runs[0], Path):
            _merge([run for run in runs if isinstance(run, Path)], target, width, unique=unique)
        else:
            save(target, runs[0])
        for left in target.parent.glob(f"{target.stem}.run*"):
            left.unlink()
    found: U64 = mapped(target)
    return found


def sort_once(chunks: Iterable[U64], target: Path, *, width: int, memory: int) -> U64:
    """The same for a table that is read once: one that fits in memory is not written; a file is left to the caller."""
    runs = list(_write_runs(chunks, target, width=width, memory=memory, unique=False))
    if not isinstance(runs[0], Path):
        return runs[0]
    _merge([run for run in runs if isinstance(run, Path)], target, width, unique=False)
    found: U64 = mapped(target)
    return found


def _write_runs(chunks: Iterable[U64], target: Path, *, width: int, memory: int, unique: bool) -> Iterator[Path | U64]:
    """Sorted runs as files, or, where one is all there is, that run itself."""
    last: U64 | None = None
    number = 0
    for run in _runs(chunks, width, max(1, memory // (8 * width * _COPIES))):
        if last is not None:
            yield _written(last, target.with_suffix(f".run{number}"))
            number += 1
        last = run[np.lexsort(run.T[::-1])]
        if unique and len(last):
            last = last[np.concatenate([[True], (last[1:] != last[:-1]).any(axis=1)])]
    assert last is not None, "there is always a run, if an empty one"
    yield _written(last, target.with_suffix(f".run{number}")) if number else last


def _written(run: U64, path: Path) -> Path:
    save(path, run)
    return path


def _runs(chunks: Iterable[U64], width: int, most: int) -> Iterator[U64]:
    """The rows of all chunks, `most` at a time."""
    waiting: list[U64] = []
    count = 0
    for chunk in chunks:
        for start in range(0, len(chunk), most):
            part = chunk[start : start + most]
            if count + len(part) > most:
                yield np.concatenate(waiting)
                waiting, count = [], 0
            waiting.append(part)
            count += len(part)
    yield np.concatenate([np.zeros((0, width), dtype=np.uint64), *waiting])


def _merge(runs: list[Path], target: Path, width: int, *, unique: bool) -> None:
    """Merge sorted runs; they are joined into one file first, so that one mapping serves any number of them."""
    from buril.data import _pairs

    lengths = [len(mapped(path)) for path in runs]
    joined = target.with_suffix(".runs")
    table = scratch_array(joined, (sum(lengths), width), np.uint64)
    heads = np.cumsum([0, *lengths], dtype=np.int64)
    for number, path in enumerate(runs):
        table[heads[number] : heads[number + 1]] = mapped(path)
        path.unlink()
    merged_path = target.with_suffix(".merged")
    merged = scratch_array(merged_path, table.shape, np.uint64)
    filled = int(_pairs.merge(table, heads, np.arange(len(runs), dtype=np.int64), merged, unique))
    joined.unlink()
    if filled == len(merged):
        del merged
        with atomic(target) as temporary:
            merged_path.rename(temporary)
        return
    with atomic(target) as temporary:
        final = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint64, shape=(filled, width))
        for start in range(0, filled, _BLOCK_ROWS):
            final[start : min(filled, start + _BLOCK_ROWS)] = merged[start : min(filled, start + _BLOCK_ROWS)]
        final.flush()
    merged_path.unlink()
