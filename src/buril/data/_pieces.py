"""The part of `collect` that reads tables: one job reads some pieces and writes their rows in parts.

The parts lie in the scratch folder until all jobs are done. Then a row whose repository and path another row holds
already is taken out, and the parts become the last shards. Every step can be interrupted and done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from buril.code.codefile import DROPPED_SCHEMA, SCHEMA, CodeFile, write_dropped, write_rows, write_table
from buril.core.artifact import atomic
from buril.core.plugins import Ref
from buril.data._plan import Cut, Planned
from buril.data.source import STAGE, Dropped, Repository, RowSource

SAME_PLACE, LOSERS = "same-place.parquet", "losers.npy"
DROPPED_AT_ONCE = 50_000
"""Rows left out that are held in memory before they are written down."""
KEYS_AT_ONCE = 8_000_000
"""Places that are compared in memory at a time; more are compared in several rounds."""
_TOLD = ["repo", "commit", "path", "language", "license", "bytes"]


@dataclass(frozen=True)
class Job:
    """Some pieces of one source to read, and where their parts go."""

    scratch: Path
    number: int
    ref: Ref
    cuts: tuple[Cut, ...]
    max_bytes: int
    shard_bytes: int

    @property
    def bytes(self) -> int:
        """What reading it is expected to take."""
        return sum(item.piece.bytes for item in self.cuts)

    @property
    def done(self) -> Path:
        """Says how many parts there are; it is there once all of them are."""
        return self.scratch / f"piece-{self.number:05d}.json"

    def part(self, number: int) -> Path:
        """Where one part of its rows goes."""
        return self.scratch / f"piece-{self.number:05d}-{number:05d}.parquet"

    def dropped(self, number: int) -> Path:
        """Where one part of what it left out goes."""
        return self.scratch / f"piece-{self.number:05d}-{number:05d}.dropped.parquet"


class _Parts:
    """Writes the rows of a job in parts of at most `shard_bytes`, and what was left out beside them."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._rows: list[CodeFile] = []
        self._left_out: list[dict[str, Any]] = []
        self._filled = 0
        self.parts, self.dropped = 0, 0

    def add(self, item: CodeFile | Dropped) -> None:
        """Take one row, kept or left out."""
        if isinstance(item, Dropped):
            self._left_out.append(item.row("", ""))
            if len(self._left_out) >= DROPPED_AT_ONCE:
                self._write_dropped()
            return
        if self._rows and self._filled + item.bytes > self._job.shard_bytes:
            self._write_rows()
        self._rows.append(item)
        self._filled += item.bytes

    def close(self) -> None:
        """Write what is left, and that the job is done."""
        self._write_rows()
        self._write_dropped()
        with atomic(self._job.done) as temporary:
            temporary.write_text(json.dumps({"parts": self.parts, "dropped": self.dropped}), encoding="utf-8")

    def _write_rows(self) -> None:
        if self._rows:
            path = self._job.part(self.parts)
            keys = np.array([place_key(item.repo, item.path) for item in self._rows], dtype=np.uint64)
            with atomic(path.with_suffix(".npy")) as temporary, temporary.open("wb") as stream:
                np.save(stream, keys, allow_pickle=False)
            write_rows(path, self._rows)
            self.parts, self._rows, self._filled = self.parts + 1, [], 0

    def _write_dropped(self) -> None:
        if self._left_out:
            write_dropped(self._job.dropped(self.dropped), self._left_out)
            self.dropped, self._left_out = self.dropped + 1, []


def place_key(repo: str, path: str) -> int:
    """A 64-bit hash of a place: two rows with the same one hold the same file."""
    from xxhash import xxh3_64_intdigest

    return int(xxh3_64_intdigest(f"{repo}\0{path}".encode("utf-8", "surrogatepass")))


def read_pieces(job: Job) -> int:
    """Read the pieces of a job and write their parts; gives the bytes it was expected to take."""
    source: RowSource = job.ref.make()
    parts = _Parts(job)
    for cut in job.cuts:
        for item in _rows(source, cut, job.max_bytes):
            parts.add(item)
    parts.close()
    return job.bytes


def _rows(source: RowSource, cut: Cut, max_bytes: int) -> Iterator[CodeFile | Dropped]:
    """The rows of a piece; those that a sample did not draw are left out."""
    drawn = None if cut.drawn is None else frozenset(cut.drawn)
    for position, item in enumerate(source.rows(cut.piece, max_bytes)):
        if position == cut.until:
            yield Dropped(cut.piece.place, 0, "max_files", f"from row {position} on", "sample")
            return
        if drawn is not None and isinstance(item, CodeFile) and position not in drawn:
            yield Dropped(item.path, item.bytes, "max_files", "", "sample", item.language, item.license, repo=item.repo)
        else:
            yield item


@dataclass(frozen=True)
class Written:
    """All that was read: `shards` of listed files with the rank of each file's source, and the finished jobs.

    A rank is the source's number: where two sources hold the same place, the lower one keeps it.
    """

    scratch: Path
    folder: Path
    shards: Sequence[Sequence[Planned]]
    repositories: Sequence[Repository]
    source_of: Sequence[int]
    jobs: Sequence[Job]
    ranks: Sequence[int]

    def parts(self) -> list[tuple[Path, int]]:
        """The parts of all jobs in their order, each with its rank."""
        return [
            (job.part(number), rank)
            for job, rank in zip(self.jobs, self.ranks, strict=True)
            for number in range(json.loads(job.done.read_text(encoding="utf-8"))["parts"])
        ]

    def dropped(self) -> list[Path]:
        """The tables of what the jobs left out."""
        return [
            job.dropped(number)
            for job in self.jobs
            for number in range(json.loads(job.done.read_text(encoding="utf-8"))["dropped"])
        ]


def settle(written: Written) -> int:
    """Take out what stands at one place twice and make the parts the last shards; gives how many shards there are."""
    parts = written.parts()
    if not (written.scratch / SAME_PLACE).exists():
        losers = _losers(written, parts)
        with atomic(written.scratch / LOSERS) as temporary, temporary.open("wb") as stream:
            np.save(stream, losers, allow_pickle=False)
        write_table(written.scratch / SAME_PLACE, _told(written, parts, losers))
    losers = np.load(written.scratch / LOSERS, allow_pickle=False)
    for shard, path in enumerate([None] * len(written.shards) + [path for path, _ in parts]):
        lost = losers[losers[:, 0] == shard, 1]
        target = written.folder / f"rows/{shard:05d}.parquet"
        if path is None and len(lost):
            _without_places(target, {_place(written, shard, position) for position in lost.tolist()})
        elif path is not None and path.exists():
            target.parent.mkdir(exist_ok=True)
            if len(lost):
                table = pq.read_table(path, schema=SCHEMA)
                keep = np.ones(len(table), dtype=bool)
                keep[lost] = False
                write_table(target, table.filter(pa.array(keep)))
                path.unlink()
            else:
                path.rename(target)
    return len(written.shards) + len(parts)


def _losers(written: Written, parts: list[tuple[Path, int]]) -> npt.NDArray[np.int64]:
    """Shard and position of every row whose place a row of a lower rank, or an earlier one of its rank, holds."""
    arrays = [_listed_keys(written, shard) for shard in written.shards]
    ranks = [np.array([written.source_of[i.repository] for i in shard], dtype=np.int32) for shard in written.shards]
    for path, rank in parts:
        keys = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        arrays.append(keys)
        ranks.append(np.full(len(keys), rank, dtype=np.int32))
    rounds = 1 + sum(len(keys) for keys in arrays) // KEYS_AT_ONCE
    found = [np.zeros((0, 2), dtype=np.int64)]
    for turn in range(rounds):
        picked = [np.flatnonzero(keys % np.uint64(rounds) == turn) for keys in arrays]
        if not picked:
            continue
        key = np.concatenate([keys[some] for keys, some in zip(arrays, picked, strict=True)])
        ranked = np.concatenate([ranks[i][some] for i, some in enumerate(picked)])
        shard = np.concatenate([np.full(len(some), i, dtype=np.int64) for i, some in enumerate(picked)])
        position = np.concatenate(picked)
        order = np.lexsort((position, shard, ranked, key))
        lost = order[1:][key[order][1:] == key[order][:-1]]
        found.append(np.stack([shard[lost], position[lost]], axis=1))
    whole = np.concatenate(found)
    return whole[np.lexsort((whole[:, 1], whole[:, 0]))]


def _listed_keys(written: Written, shard: Sequence[Planned]) -> npt.NDArray[np.uint64]:
    names = (written.repositories[item.repository].name for item in shard)
    return np.array([place_key(name, item.file.path) for name, item in zip(names, shard, strict=True)], dtype=np.uint64)


def _place(written: Written, shard: int, position: int) -> tuple[str, str]:
    item = written.shards[shard][position]
    return written.repositories[item.repository].name, item.file.path


def _told(written: Written, parts: list[tuple[Path, int]], losers: npt.NDArray[np.int64]) -> pa.Table:
    """The rows of `dropped.parquet` for what stands at one place twice."""
    rows: list[dict[str, Any]] = []
    for shard in np.unique(losers[:, 0]).tolist():
        lost = losers[losers[:, 0] == shard, 1].tolist()
        if shard < len(written.shards):
            for position in lost:
                number, file = written.shards[shard][position]
                repository = written.repositories[number]
                why = Dropped(file.path, file.bytes, "same_place", license=file.license)
                rows.append(why.row(repository.name, repository.commit))
            continue
        table = pq.read_table(parts[shard - len(written.shards)][0], columns=["row_id", *_TOLD]).take(lost)
        rows.extend({**row, "stage": STAGE, "step": "list", "reason": "same_place"} for row in table.to_pylist())
    return pa.Table.from_pylist([{"detail": "", **row} for row in rows], schema=DROPPED_SCHEMA)


def _without_places(path: Path, places: set[tuple[str, str]]) -> None:
    """Take the rows of some places out of a shard, which may have been done before."""
    table = pq.read_table(path, schema=SCHEMA)
    pairs = zip(table["repo"].to_pylist(), table["path"].to_pylist(), strict=True)
    keep = [pair not in places for pair in pairs]
    if not all(keep):
        write_table(path, table.filter(pa.array(keep)))
