"""From signatures to what is kept: bands, verified pairs, clusters, and in each the texts that stay.

One pass over all texts for copies by their words (`near`), and, where it is asked for, another over what that left, by
their structure alone (`renamed`). Clusters are joined by verified pairs alone: those of which the signatures are sure,
and those in doubt whose shingle sets are similar enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from buril.code import minhash
from buril.code.minhash import F64, I64, U64, Flags
from buril.core.artifact import atomic
from buril.core.stage import Output
from buril.data._rows import num_rows
from buril.data._shards import (
    SIGNATURES,
    Asked,
    Band,
    Kind,
    Sketch,
    pair_band,
    pairs_of,
    run_jobs,
    write_sets,
)
from buril.data._sorted import mapped, save, scratch_array, sort_table
from buril.data._texts import Texts, clustered, members

_AT_ONCE = 1 << 16


class Plan(NamedTuple):
    """What a pass needs to know."""

    jobs: Sequence[Sketch]
    scratch: Path
    rule: tuple[float, float, float]
    """A `_pairs.Rule`: threshold, and the estimates between which signatures don't decide."""
    workers: int
    memory: int
    """Bytes, for all processes together."""


class Choice(NamedTuple):
    """For each text (N): the text kept in its stead (or itself), and how similar it is; and the clusters."""

    kept: I64
    similarity: F64
    parent: I64

    @classmethod
    def none(cls, num_texts: int, folder: Path) -> Choice:
        """Nothing is a copy of anything yet."""
        found = cls(*(scratch_array(folder / f"{name}.npy", (num_texts,), kind) for name, kind in _COLUMNS.items()))
        found.kept[:], found.similarity[:], found.parent[:] = np.arange(num_texts), 1.0, np.arange(num_texts)
        return found


_COLUMNS: dict[str, type[np.generic]] = {"kept": np.int64, "similarity": np.float64, "parent": np.int64}


def find_copies(plan: Plan, kind: Kind, texts: Texts, choice: Choice, out: Output) -> None:
    """Join the copies of one kind among the texts kept so far, and choose which stay: `choice` is changed."""
    from buril.data import _pairs

    folder = plan.scratch / kind
    signatures = _joined(plan, folder)
    wanted = np.zeros(len(texts.row), dtype=np.bool_)
    for start in range(0, len(wanted), _AT_ONCE):
        some = np.arange(start, min(start + _AT_ONCE, len(wanted)))
        wanted[some] = (choice.kept[some] == some) & (signatures[texts.row[some], 0] != minhash.EMPTY)
    save(folder / "wanted.npy", wanted)
    share = plan.memory // max(1, plan.workers)
    bands = [Band(folder, plan.scratch / "texts", number, plan.rule, share) for number in range(plan.jobs[0].bands)]
    run_jobs(pair_band, bands, plan.workers, out, unit="bands")
    for band in bands:
        _unite(choice.parent, pairs_of(band.target))
    _pairs.flatten(choice.parent)
    doubts = sort_table(_doubts(bands, choice.parent), folder / "doubts.npy", width=2, memory=plan.memory, unique=True)
    sets = _sets(plan, kind, doubts, _asked(doubts, choice.parent) & wanted, out)
    for start in range(0, len(doubts), _AT_ONCE):
        _pairs.decide(choice.parent, doubts[start : start + _AT_ONCE], sets, plan.rule[0])
        out.progress(min(start + _AT_ONCE, len(doubts)), len(doubts), "pairs")
    _pairs.flatten(choice.parent)
    table = members(texts, choice.parent, wanted, folder / "members.npy", memory=plan.memory)
    signed = _pairs.Signed(signatures, texts.row)
    _pairs.choose_all(table, signed, sets, _pairs.Rule(*plan.rule), (choice.kept, choice.similarity))


def _joined(plan: Plan, folder: Path) -> minhash.U32:
    """All signatures in the order of the rows, in one file, so that any of them is a step away."""
    target = folder / "signatures.npy"
    shards = [(folder / job.target.name).with_suffix(SIGNATURES) for job in plan.jobs]
    if not target.exists():
        shape = (sum(num_rows(job.shard) for job in plan.jobs), plan.jobs[0].num_perm)
        with atomic(target) as temporary:
            whole, first = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint32, shape=shape), 0
            for shard in shards:
                part = mapped(shard)
                whole[first : first + len(part)] = part
                first += len(part)
            whole.flush()
    for shard in shards:
        shard.unlink(missing_ok=True)
    found: minhash.U32 = mapped(target)
    return found


def _unite(parent_N: I64, pairs_M3: U64) -> None:
    from buril.data import _pairs

    for start in range(0, len(pairs_M3), _AT_ONCE):
        some = pairs_M3[start : start + _AT_ONCE]
        _pairs.unite(parent_N, some[some[:, 2] == 1])


def _doubts(bands: Sequence[Band], parent_N: I64) -> Iterator[U64]:
    """Pairs of which the signatures are not sure and that nothing else has joined."""
    for band in bands:
        pairs_M3 = pairs_of(band.target)
        for start in range(0, len(pairs_M3), _AT_ONCE):
            some = pairs_M3[start : start + _AT_ONCE]
            apart = parent_N[some[:, 0].astype(np.int64)] != parent_N[some[:, 1].astype(np.int64)]
            yield some[apart, :2]


def _asked(doubts: U64, parent_N: I64) -> Flags:
    """Which texts are in doubt or in a cluster."""
    joined = clustered(parent_N)
    asked = np.zeros(len(parent_N), dtype=np.bool_)
    for start in range(0, len(asked), _AT_ONCE):
        asked[start : start + _AT_ONCE] = joined[parent_N[start : start + _AT_ONCE]]
    for start in range(0, len(doubts), _AT_ONCE):
        asked[doubts[start : start + _AT_ONCE].reshape(-1).astype(np.int64)] = True
    return asked


def _sets(plan: Plan, kind: Kind, doubts: U64, asked: Flags, out: Output) -> Any:
    """The shingle sets of the texts asked for, in one file, and where each begins and ends (`_pairs.Sets`)."""
    from buril.data import _pairs

    folder = plan.scratch / kind
    save(folder / "asked.npy", asked)
    jobs, first = [], 0
    for sketch in plan.jobs:
        jobs.append(Asked(sketch, first, plan.scratch / "texts", kind))
        first += num_rows(sketch.shard)
    run_jobs(write_sets, jobs, plan.workers, out)
    parts = [job.target.with_suffix(".hashes.npy") for job in jobs]
    total = sum(len(mapped(part)) for part in parts)
    hashes = scratch_array(folder / "sets.npy", (total,), np.uint32)
    starts = scratch_array(folder / "starts.npy", (len(asked), 2), np.int64)
    end = 0
    for part, job in zip(parts, jobs, strict=True):
        told = mapped(job.target.with_suffix(".texts.npy"))
        ends = end + np.cumsum(told[:, 1])
        starts[told[:, 0]] = np.stack([ends - told[:, 1], ends], axis=1)
        some = mapped(part)
        hashes[end : end + len(some)] = some
        end += len(some)
    return _pairs.Sets(hashes, starts)
