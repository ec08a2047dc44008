"""The work of `dedup` on one shard: each result is a file that appears whole.

A result that is there already is not made again: that is the resume. Results lie in the stage's scratch folder and
are plain numpy arrays, never pickles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from buril.core.artifact import atomic
from buril.core.stage import Output
from buril.core.workers import each
from buril.data import minhash
from buril.data.minhash import F64, I64, U64

_WHITE_SPACE = b" \t\r\n\f\v"
_HASHES_AT_ONCE = 1 << 20


class Job(NamedTuple):
    """What to do with one shard."""

    shard: Path
    target: Path
    """Results are named after it: `00000.npy`, …"""
    rows: I64
    """The rows of the shard that are asked for, ascending."""
    places: I64
    """Where each of them stands in the array that the caller fills."""
    shingle: int
    num_perm: int
    """Values in a signature; 0 to make none."""


def run_jobs(work: Callable[[Job], int], jobs: Sequence[Job], workers: int, out: Output) -> None:
    """Do all jobs, in this process or in several.

    Raises:
        BurilError: S009 when a process died.
    """
    for done, _count in enumerate(each(work, jobs, workers, stage=out.stage), 1):
        out.progress(done, len(jobs), "shards")


def sketch_shard(job: Job) -> int:
    """Write the white-space-free digests (`.keys.npy`) and the signatures (`.npy`) of a job's rows."""
    last = job.target.with_suffix(".npy" if job.num_perm else ".keys.npy")
    if not last.exists():
        texts = _texts(job)
        _save(job.target.with_suffix(".keys.npy"), _digests(texts))
        if job.num_perm:
            _save(last, minhash.sketch(texts, size=job.shingle, num_perm=job.num_perm))
    return len(job.rows)


def write_sets(job: Job) -> int:
    """Write the shingle sets of a job's rows, sorted, back to back (`.npy`), and where each begins (`.starts.npy`)."""
    last = job.target.with_suffix(".npy")
    if not last.exists():
        texts = _texts(job)
        sets: list[U64] = []
        for first, end in texts.blocks():
            found = minhash.shingles(texts.take(first, end), job.shingle)
            sets.extend(found.unique(index) for index in range(end - first))
        _save(job.target.with_suffix(".starts.npy"), np.cumsum([0, *(len(item) for item in sets)]).astype(np.int64))
        _save(last, np.concatenate(sets))
    return len(job.rows)


def _texts(job: Job) -> minhash.Texts:
    """The contents of a job's rows, in Arrow's own buffers."""
    column = pq.read_table(job.shard, columns=["content"])["content"]
    array = pa.concat_arrays(column.chunks).take(pa.array(job.rows))
    offsets_N1 = np.frombuffer(array.buffers()[1], dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    data = array.buffers()[2]
    bytes_ = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, dtype=np.uint8)
    return minhash.Texts(bytes_[offsets_N1[0] : offsets_N1[-1]], offsets_N1 - offsets_N1[0])


def _digests(texts: minhash.Texts) -> U64:
    """128-bit digests (N, 2) of the texts once all ASCII white space is removed."""
    from xxhash import xxh3_128_digest

    data = texts.data.data
    bounds = texts.offsets.tolist()
    found = [
        xxh3_128_digest(bytes(data[start:end]).translate(None, _WHITE_SPACE))
        for start, end in zip(bounds, bounds[1:], strict=False)
    ]
    return np.frombuffer(b"".join(found), dtype="<u8").reshape(-1, 2)


def _save(path: Path, array: npt.NDArray[Any]) -> None:
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)


class Sets:
    """Shingle sets of the texts that verification asks for, left on disk and mapped into memory."""

    def __init__(self, jobs: Sequence[Job], wanted: I64) -> None:
        self._hashes = [np.asarray(np.load(job.target.with_suffix(".npy"), mmap_mode="r")) for job in jobs]
        self._starts = [np.load(job.target.with_suffix(".starts.npy")).tolist() for job in jobs]
        self._place: dict[int, tuple[int, int]] = {}
        for number, job in enumerate(jobs):
            self._place.update((text, (number, at)) for at, text in enumerate(wanted[job.places].tolist()))

    def jaccard(self, left_M: I64, right_M: I64) -> F64:
        """Exact Jaccard similarities of pairs of texts."""
        found = [np.zeros(0)]
        left, right = [self._set(text) for text in left_M.tolist()], [self._set(text) for text in right_M.tolist()]
        first, filled = 0, 0
        for at in range(len(left)):
            size = len(left[at]) + len(right[at])
            if at - first == minhash.PAIRS_AT_ONCE or (at > first and filled + size > _HASHES_AT_ONCE):
                found.append(minhash.jaccard(left[first:at], right[first:at]))
                first, filled = at, 0
            filled += size
        found.append(minhash.jaccard(left[first:], right[first:]))
        return np.concatenate(found)

    def _set(self, text: int) -> U64:
        number, at = self._place[text]
        found: U64 = self._hashes[number][self._starts[number][at] : self._starts[number][at + 1]]
        return found
