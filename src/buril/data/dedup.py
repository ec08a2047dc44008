"""Dedup: which files are copies of which, exact and near, and which copy is kept.

Three passes, cheap before dear: equal SHA-256, equal once all white space is removed, and MinHash over what is left
(`buril.data.minhash`). A file is left out only when it is a copy of one that is kept: clusters are joined by verified
pairs alone, and within a cluster, in order of preference, a file whose exact similarity to every kept one is below
the threshold is kept as well. So a chain of small changes does not swallow its two ends, and `cluster` still tells
`split` that they belong together.

Signatures take 0.5 KB a file in memory; the shingle sets that verification compares are on disk (scratch), written
only for files in doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from buril.code.codefile import SCHEMA, write_table
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.data import minhash
from buril.data._shards import Job, Sets, run_jobs, sketch_shard, write_sets
from buril.data.minhash import F64, I64, U32

Keep = Literal["license", "stars", "age", "path"]
_SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),
        ("kept", pa.bool_()),
        ("kind", pa.string()),
        ("of", pa.string()),
        ("cluster", pa.string()),
        ("similarity", pa.float64()),
    ]
)
_DOUBTS_AT_ONCE = 1 << 12
_NO_LICENSE = ("", "NOASSERTION", "NONE", "LicenseRef-unrecognised")


class Rows(NamedTuple):
    """The collected rows (R) without their text: names, where they are (`place` in `shard`), preference."""

    table: pa.Table
    shard: I64
    place: I64
    rank: I64
    """0 for the row to keep before all others, and so on; no two alike."""


class Texts(NamedTuple):
    """The different texts (N) among the rows, in order of SHA-256: which rows have them, and their signatures."""

    of_row: I64
    row: I64
    """A row that holds the text (R → any of them: they are equal but for white space)."""
    signatures: U32


class Choice(NamedTuple):
    """For each text (N): the text kept in its stead (or itself), how similar it is, the first of its cluster."""

    kept: I64
    similarity: F64
    cluster: I64


class Dedup(Stage):
    """Finds copies among all collected files and chooses which one of each cluster stays."""

    name = "dedup"
    version = 1

    class Settings(BaseSettings):
        """What counts as a copy, and which copy is kept."""

        shorthand: ClassVar[str | None] = "method"

        method: Literal["minhash", "exact"] = "minhash"
        """`exact`: equal bytes, or equal once white space is removed. `minhash`: near copies as well."""
        threshold: float = Field(0.7, gt=0, le=1)
        """Jaccard similarity of shingles from which two files are copies; 0.7 is what The Stack v2 uses."""
        keep: tuple[Keep, ...] = ("license", "stars", "age", "path")
        """Which copy is kept, first rule first: a known licence, more stars, the older one, then its path."""
        shingle: int = Field(5, ge=1, le=64)
        """Words in a shingle: 5 is usual for code; fewer finds looser copies."""
        num_perm: int = Field(128, ge=16, le=4096)
        """Values in a signature (512 bytes a file at 128; standard error of a similarity at most 0.044)."""
        bands: int = Field(32, ge=1)
        """Bands of the signature: more find more candidates; 32 of 4 finds 99.9 % of the pairs at 0.7."""
        workers: int = runtime(2, ge=1)
        """Processes that read shards at the same time; each needs about 400 MB."""

        @model_validator(mode="after")
        def _fits(self) -> Dedup.Settings:
            if self.num_perm % self.bands:
                raise BurilError("D101", bands=self.bands, num_perm=self.num_perm)
            return self

    settings: Settings

    def needs(self) -> tuple[str, ...]:
        """Reads what `collect` wrote."""
        return ("collect",)

    def parts(self) -> dict[str, int]:
        """The kernel's version: other hashes could decide a borderline pair otherwise."""
        return {"minhash": minhash.VERSION} if self.settings.method == "minhash" else {}

    def assume(self, work: float) -> Estimate:
        """Some 15 MB/s of compressed rows a process."""
        return Estimate(seconds=1 + work / 15e6, ram_mb=300 + 400 * self.settings.workers, disk_mb=1 + work / 20e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write `duplicates.parquet`: one row per collected row, in collect's order."""
        shards = inputs["collect"].files("rows/*.parquet")
        rows = _read(inputs["collect"], self.settings.keep)
        texts = self._texts(shards, rows, out)
        if self.settings.method == "minhash" and len(texts.row):
            choice = self._near(shards, rows, texts, out)
        else:
            itself = np.arange(len(texts.row), dtype=np.int64)
            choice = Choice(itself, np.ones(len(itself)), itself)
        table = _table(rows, texts, choice)
        write_table(out.path("duplicates.parquet"), table)
        out.rows["duplicates.parquet"] = table.num_rows
        return _metrics(rows, table)

    def _texts(self, shards: Sequence[Path], rows: Rows, out: Output) -> Texts:
        """Tell the different texts apart, by SHA-256 and without white space, and sign them."""
        content_R, first_C = _by_sha(rows.table["sha256"])
        jobs = self._jobs(shards, rows, first_C, out.scratch / "sketch")
        run_jobs(sketch_shard, jobs, self.settings.workers, out)
        keys_C2 = np.zeros((len(first_C), 2), dtype=np.uint64)
        width = self.settings.num_perm if self.settings.method == "minhash" else 0
        signatures_CP = np.zeros((len(first_C), width), dtype=np.uint32)
        for job in jobs:
            keys_C2[job.places] = np.load(job.target.with_suffix(".keys.npy"))
            if width:
                signatures_CP[job.places] = np.load(job.target.with_suffix(".npy"))
        _same, first_N, text_C = np.unique(keys_C2, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first_N)  # back into the order of SHA-256, in which nothing depends on the hash's values
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        first_N = first_N[order]
        return Texts(place[text_C.reshape(-1)][content_R], first_C[first_N], signatures_CP[first_N])

    def _jobs(self, shards: Sequence[Path], rows: Rows, wanted: I64, folder: Path) -> list[Job]:
        """One job a shard for the rows `wanted`; `places` says where in `wanted` each result belongs."""
        folder.mkdir(parents=True, exist_ok=True)
        width = self.settings.num_perm if self.settings.method == "minhash" else 0
        jobs = []
        for number, shard in enumerate(shards):
            places = np.flatnonzero(rows.shard[wanted] == number)
            places = places[np.argsort(rows.place[wanted[places]])]
            target = folder / f"{number:05d}"
            jobs.append(Job(shard, target, rows.place[wanted[places]], places, self.settings.shingle, width))
        return [job for job in jobs if len(job.places)]

    def _near(self, shards: Sequence[Path], rows: Rows, texts: Texts, out: Output) -> Choice:
        """Join near copies, deciding pairs in doubt by their shingle sets, and choose what is kept."""
        threshold = self.settings.threshold
        forest, doubt_M2 = minhash.link(texts.signatures, threshold=threshold, bands=self.settings.bands)
        root_N = forest.all()
        size_N = np.bincount(root_N, minlength=len(root_N))
        asked = np.zeros(len(root_N), dtype=np.bool_)
        asked[doubt_M2.reshape(-1)] = True
        asked |= size_N[root_N] > 1
        wanted = np.flatnonzero(asked)
        jobs = self._jobs(shards, rows, texts.row[wanted], out.scratch / "sets")
        run_jobs(write_sets, jobs, self.settings.workers, out)
        sets = Sets(jobs, wanted)
        for start in range(0, len(doubt_M2), _DOUBTS_AT_ONCE):
            some_M2 = doubt_M2[start : start + _DOUBTS_AT_ONCE]
            some_M2 = some_M2[forest.roots(some_M2[:, 0]) != forest.roots(some_M2[:, 1])]
            joined_M2 = some_M2[sets.jaccard(some_M2[:, 0], some_M2[:, 1]) >= threshold]
            forest.unite(joined_M2[:, 0], joined_M2[:, 1])
            out.progress(min(start + _DOUBTS_AT_ONCE, len(doubt_M2)), len(doubt_M2), "pairs")
        return choose(forest.all(), _best_rank(rows, texts), texts.signatures, sets, threshold)


def _best_rank(rows: Rows, texts: Texts) -> I64:
    """For each text, the rank of the row that stands for it: its most preferred one."""
    best_N = np.full(len(texts.row), len(rows.rank), dtype=np.int64)
    np.minimum.at(best_N, texts.of_row, rows.rank)
    return best_N


def choose(root_N: I64, rank_N: I64, signatures_NP: U32, sets: Sets, threshold: float) -> Choice:
    """In each cluster keep, in order of preference, what resembles nothing kept so far; the rest is a copy of that."""
    kept_N = np.arange(len(root_N), dtype=np.int64)
    similarity_N, cluster_N = np.ones(len(root_N)), kept_N.copy()
    width = minhash.margin(threshold, signatures_NP.shape[1])
    by_cluster = np.lexsort((rank_N, root_N))
    borders = np.flatnonzero(np.diff(root_N[by_cluster])) + 1
    for members in np.split(by_cluster, borders):
        cluster_N[members] = members[0]
        waiting = members
        while len(waiting) > 1:
            best, waiting = waiting[0], waiting[1:]
            estimate = minhash.similarity(signatures_NP, np.full(len(waiting), best), waiting)
            near = waiting[estimate >= threshold - width]
            exact = sets.jaccard(np.full(len(near), best), near)
            copies = near[exact >= threshold]
            kept_N[copies], similarity_N[copies] = best, exact[exact >= threshold]
            waiting = waiting[kept_N[waiting] == waiting]
    return Choice(kept_N, similarity_N, cluster_N)


def _table(rows: Rows, texts: Texts, choice: Choice) -> pa.Table:
    """`duplicates.parquet`: what became of every row."""
    row_of_rank = np.argsort(rows.rank)
    best_row_N = row_of_rank[_best_rank(rows, texts)]
    kept_row_R = best_row_N[choice.kept[texts.of_row]]
    is_kept_R = kept_row_R == np.arange(len(rows.rank))
    same_text_R = choice.kept[texts.of_row] == texts.of_row
    row_id = rows.table["row_id"].combine_chunks()
    columns = {
        "row_id": row_id,
        "kept": pa.array(is_kept_R),
        "kind": pc.if_else(pa.array(is_kept_R), "unique", pc.if_else(pa.array(same_text_R), "exact", "near")),
        "of": row_id.take(pa.array(kept_row_R)),
        "cluster": row_id.take(pa.array(best_row_N[choice.cluster[texts.of_row]])),
        "similarity": pa.array(choice.similarity[texts.of_row]),
    }
    return pa.table(columns, schema=_SCHEMA)


def _metrics(rows: Rows, table: pa.Table) -> Metrics:
    """How much was copied."""
    size_R = rows.table["bytes"].to_numpy()
    kept_R = table["kept"].to_numpy()
    kinds = {item["values"]: item["counts"] for item in pc.value_counts(table["kind"]).to_pylist()}
    return {
        "files": table.num_rows,
        "kept": int(kept_R.sum()),
        "exact_copies": kinds.get("exact", 0),
        "near_copies": kinds.get("near", 0),
        "mb": float(size_R.sum() / 1e6),
        "kept_mb": float(size_R[kept_R].sum() / 1e6),
    }


def _read(collect: Artifact, keep: Sequence[Keep]) -> Rows:
    """All rows of `collect` without their text."""
    names = ["row_id", "sha256", "repo", "path", "license", "bytes", "signals"]
    tables = [pq.read_table(path, columns=names) for path in collect.files("rows/*.parquet")]
    length = np.array([len(part) for part in tables], dtype=np.int64)
    shard_R = np.repeat(np.arange(len(tables), dtype=np.int64), length)
    place_R = np.arange(len(shard_R), dtype=np.int64) - np.repeat(np.cumsum(length) - length, length)
    table = pa.concat_tables(tables) if tables else SCHEMA.empty_table().select(names)
    columns: dict[str, Any] = {name: table[name] for name in ("repo", "path", "row_id")}
    columns["license"] = pc.cast(pc.invert(pc.is_in(table["license"].fill_null(""), pa.array(_NO_LICENSE))), pa.int8())
    columns["stars"] = _signal(table["signals"], "stars")
    columns["age"] = _signal(table["signals"], "age_days")
    order = [(name, "descending") for name in keep if name != "path"]
    by_path = [(name, "ascending") for name in ("repo", "path", "row_id")]
    at = keep.index("path") if "path" in keep else len(order)
    rank_R = np.empty(len(table), dtype=np.int64)
    best_first = pc.sort_indices(pa.table(columns), sort_keys=order[:at] + by_path).to_numpy()
    rank_R[best_first] = np.arange(len(table))
    return Rows(table.drop_columns(["signals"]), shard_R, place_R, rank_R)


def _signal(column: pa.ChunkedArray, name: str) -> F64:
    """One signal of every row; -1 where it is unknown, so that unknown comes last."""
    lists = column.combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], type=column.type)
    values = np.full(len(lists), -1.0)
    parents, items = pc.list_parent_indices(lists), pc.list_flatten(lists)
    fits = pc.equal(pc.struct_field(items, "name"), name)
    known = pc.struct_field(items, "value").filter(fits)
    values[parents.filter(fits).to_numpy()] = known.to_numpy(zero_copy_only=False)
    return values


def _by_sha(column: pa.ChunkedArray) -> tuple[I64, I64]:
    """For each row the number of its content (C, in order of SHA-256), and for each content its first row."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes_R = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    order = pc.sort_indices(encoded.dictionary).to_numpy().astype(np.int64)
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    content_R = number[codes_R]
    first_C = np.full(len(order), len(content_R), dtype=np.int64)
    np.minimum.at(first_C, content_R, np.arange(len(content_R), dtype=np.int64))
    return content_R, first_C
