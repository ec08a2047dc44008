"""The work of `dedup` on one shard or one band: each result is a file that appears whole.

A result that is there already is not made again: that is the resume. Results lie in the stage's scratch folder and
are plain numpy arrays, never pickles. A job holds paths and numbers alone, so that any machine that sees the store can
do it; `Kind` says which of the two kernels is meant: words as they are, or with the identifiers made alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from buril.code import blind, minhash
from buril.code.minhash import I64, U32, U64, Flags
from buril.core.artifact import atomic
from buril.core.stage import Output
from buril.core.workers import each
from buril.data._rows import batches, preference
from buril.data._sorted import mapped, save, sort_once

Kind = Literal["near", "renamed"]
KEYS, SIGNATURES, DIGESTS, PREFERENCE = ".keys.npy", ".signatures.npy", ".digests.npy", ".preference.npy"
_PAIRS_AT_ONCE = 1 << 16
Job = TypeVar("Job")


class Sketch(NamedTuple):
    """How the texts of one shard are read."""

    shard: Path
    target: Path
    """Results are named after it, in a folder per kind: `near/00000.keys.npy`, …"""
    kinds: tuple[Kind, ...]
    shingle: int
    num_perm: int
    bands: int
    keep: tuple[str, ...]


class Asked(NamedTuple):
    """Shingle sets to write: of those rows of a shard that stand for a text which `asked` marks."""

    sketch: Sketch
    first: int
    """The number of the shard's first row among all rows."""
    texts: Path
    """Folder with `of_row.npy`, `row.npy`."""
    kind: Kind

    @property
    def target(self) -> Path:
        """Results are named after it."""
        return self.texts.parent / self.kind / "sets" / self.sketch.target.name


class Band(NamedTuple):
    """One band of all texts: which of them share a key there and may be copies."""

    folder: Path
    """Folder of the kind: `signatures.npy`, `wanted.npy`, and the keys of each shard."""
    texts: Path
    number: int
    rule: tuple[float, float, float]
    """A `_pairs.Rule`."""
    memory: int

    @property
    def target(self) -> Path:
        """Pairs (M, 3): left, right, 1 where the signatures are sure."""
        return self.folder / f"pairs{self.number:04d}.u64"


def run_jobs(
    work: Callable[[Job], int], jobs: Sequence[Job], workers: int, out: Output, *, unit: str = "shards"
) -> None:
    """Do all jobs, in this process or in several.

    Raises:
        BurilError: S009 when a process died.
    """
    for done, _count in enumerate(each(work, jobs, workers, stage=out.stage), 1):
        out.progress(done, len(jobs), unit)


def sketch_shard(job: Sketch) -> int:
    """Write the digests, preferences, signatures and band keys of all rows of a shard; the digests last."""
    last = job.target.with_suffix(DIGESTS)
    if last.exists():
        return 0
    digests = [np.zeros((0, 2), dtype=np.uint64)]
    signed: dict[Kind, list[U32]] = {kind: [np.zeros((0, job.num_perm), dtype=np.uint32)] for kind in job.kinds}
    for batch in batches(job.shard, ["content", "language"]):
        texts = texts_of(batch["content"])
        digests.append(minhash.digests(texts))
        for kind in job.kinds:
            signed[kind].append(_signatures(job, kind, texts, batch["language"]))
    for kind, parts in signed.items():
        folder = job.target.parent.parent / kind
        signatures = np.concatenate(parts)
        save((folder / job.target.name).with_suffix(SIGNATURES), signatures)
        save((folder / job.target.name).with_suffix(KEYS), minhash.band_keys(signatures, job.bands))
    save(job.target.with_suffix(PREFERENCE), preference(job.shard, job.keep))
    save(last, np.concatenate(digests))
    return 1


def _signatures(job: Sketch, kind: Kind, texts: minhash.Texts, languages: pa.Array) -> U32:
    if kind == "near":
        return minhash.sketch(texts, size=job.shingle, num_perm=job.num_perm)
    return blind.sketch(texts, blind.families(languages), num_perm=job.num_perm)


def texts_of(column: pa.Array) -> minhash.Texts:
    """The contents of a column of large strings, in Arrow's own buffers."""
    array = column.cast(pa.large_string())
    offsets_N1 = np.frombuffer(array.buffers()[1], dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    data = array.buffers()[2]
    bytes_ = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, dtype=np.uint8)
    return minhash.Texts(bytes_[offsets_N1[0] : offsets_N1[-1]], offsets_N1 - offsets_N1[0])


def write_sets(job: Asked) -> int:
    """Write shingle sets, sorted, back to back (`.hashes.npy`); of which text each is and its length (`.texts.npy`)."""
    last = job.target.with_suffix(".hashes.npy")
    if last.exists():
        return 0
    of_row, row, asked = _texts(job.texts, job.texts.parent / job.kind / "asked.npy")
    first, sets, told = job.first, [np.zeros(0, dtype=np.uint32)], [np.zeros((0, 2), dtype=np.int64)]
    for batch in batches(job.sketch.shard, ["content", "language"]):
        text = of_row[first : first + len(batch)]
        rows = np.flatnonzero((row[text] == np.arange(first, first + len(batch))) & asked[text])
        some = batch.take(pa.array(rows))
        texts = texts_of(some["content"])
        for start, end in texts.blocks():
            part = texts.take(start, end)
            sets += _sets(job, part, some["language"][start:end])
        lengths = [len(item) for item in sets[len(sets) - len(rows) :]] if len(rows) else []
        told.append(np.stack([text[rows], np.array(lengths, dtype=np.int64)], axis=1))
        first += len(batch)
    save(job.target.with_suffix(".texts.npy"), np.concatenate(told))
    save(last, np.concatenate(sets))
    return 1


def _sets(job: Asked, texts: minhash.Texts, languages: pa.Array) -> list[U32]:
    """Sets of the words' shingles; multisets of the blind ones, so that long lists of one form differ in length."""
    count = len(texts.offsets) - 1
    if job.kind == "near":
        found = minhash.shingles(texts, job.sketch.shingle)
        return [found.unique(index) for index in range(count)]
    found = blind.shingles(texts, blind.families(languages))
    return [np.sort(found.of(index)) for index in range(count)]


def _texts(folder: Path, marks: Path) -> tuple[I64, I64, Flags]:
    return mapped(folder / "of_row.npy"), mapped(folder / "row.npy"), mapped(marks)


def pair_band(job: Band) -> int:
    """Sort one band's keys on disk and write the pairs of texts that share one and may be copies."""
    from buril.data import _pairs

    if job.target.exists():
        return 0
    place = job.target.with_suffix(".sorted.npy")
    records_M2 = sort_once(_records(job), place, width=2, memory=job.memory)
    signed = _pairs.Signed(mapped(job.folder / "signatures.npy"), mapped(job.texts / "row.npy"))
    rule = _pairs.Rule(*job.rule)
    found, start = np.empty((_PAIRS_AT_ONCE, 3), dtype=np.uint64), 0
    records_at_once = max(4 * _pairs.NEIGHBOURS, job.memory // 64)
    with atomic(job.target) as temporary, temporary.open("wb") as stream:
        while start < len(records_M2):
            first = max(0, start - _pairs.NEIGHBOURS)
            filled, done = _pairs.bucket_pairs(records_M2[first : first + records_at_once], signed, rule, found)
            stream.write(found[:filled].tobytes())
            start = first + done
    place.unlink(missing_ok=True)
    return 1


def pairs_of(path: Path) -> U64:
    """The pairs (M, 3) that a band found, read as they are used."""
    if not path.stat().st_size:
        return np.zeros((0, 3), dtype=np.uint64)
    return np.asarray(np.memmap(path, dtype=np.uint64, mode="r")).reshape(-1, 3)


def _records(job: Band) -> Iterator[U64]:
    """(key, text) of all texts that take part, a shard at a time."""
    of_row, row, wanted = _texts(job.texts, job.folder / "wanted.npy")
    first = 0
    for path in sorted(job.folder.glob(f"*{KEYS}")):
        keys_n = mapped(path)[job.number]
        text_n = of_row[first : first + len(keys_n)]
        stands = (row[text_n] == np.arange(first, first + len(keys_n))) & wanted[text_n]
        yield np.stack([keys_n[stands], text_n[stands].astype(np.uint64)], axis=1)
        first += len(keys_n)
