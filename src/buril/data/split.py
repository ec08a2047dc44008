"""Split: training, validation and test parts that share no repository and no near copy.

The unit that is dealt out is a connected component: files of one repository, and files of one cluster of near copies,
stay together. Units go, large ones first, where they bring the bytes of every language nearest to the fractions asked
for (a chi-square of what is and what should be).

A repository can be too large for that: with one of 95 % of the bytes there is no 80/10/10. Then, and only then, the
largest node gives way one folder level at a time (its top folders become units, then theirs, at last its files), until
the fractions are within `tolerance`, for the whole and for every language of some weight. That is a leak between the
parts, so it is said: in a warning and in `summary.json`. Clusters of near copies are never divided.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from buril.code.codefile import SCHEMA, write_table
from buril.code.minhash import F64, I64, Forest
from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _

PARTS = ("train", "valid", "test")
SHARD_BYTES = 64_000_000

_MAX_BREAKS = 200
_MAX_PASSES = 10
_LARGE = 0.01
_HEAVY = 0.05
_SUM_TOLERANCE = 1e-6


class Files(NamedTuple):
    """The selected files (F): the table of `select`, and numbers for their repository, cluster and language."""

    table: pa.Table
    folders: list[list[str]]
    """Repository, folders and name of each file: what a node can be a prefix of."""
    cluster: I64
    language: I64
    languages: list[str]
    size: I64
    """Bytes of each file, 1 for an empty one."""


class Dealt(NamedTuple):
    """A way to split: the unit and the part of each file (F), the units' names, how far the parts are off."""

    unit: I64
    part: I64
    names: list[str]
    excess: float
    """How much the worst part of the worst language is outside of what is tolerated; at most 0 is good."""
    worst: I64
    """The files (F, 0 or 1) over which it is: all of them, or those of one language."""


class Split(Stage):
    """Deals the selected files out to training, validation and test."""

    name = "split"
    version = 1

    class Settings(BaseSettings):
        """How large the parts are, and what must not be torn apart."""

        train: float = Field(0.8, gt=0, le=1)
        """Share of the bytes to learn from."""
        valid: float = Field(0.1, ge=0, lt=1)
        """Share of the bytes that says when to stop."""
        test: float = Field(0.1, ge=0, lt=1)
        """Share of the bytes that nothing sees before the evaluation."""
        stratify: Literal["language", "none"] = "language"
        """`language`: every language has these shares, not only the whole."""
        together: tuple[Literal["repo", "near_duplicates"], ...] = ("repo", "near_duplicates")
        """What stays in one part. Less than both lets the test part resemble the training part."""
        tolerance: float = Field(0.1, gt=0, le=1)
        """How far a part's share, of the whole or of a language with at least 5 % of the bytes, may be off before the
        largest repository is divided by its folders. A part below half of its share is always too far off."""
        seed: int = 0
        """The order in which small units are dealt."""

        @model_validator(mode="after")
        def _sum_is_one(self) -> Split.Settings:
            total = self.train + self.valid + self.test
            if abs(total - 1) > _SUM_TOLERANCE:
                raise BurilError("D105", total=f"{total:g}")
            return self

        @property
        def fractions(self) -> F64:
            """The three shares, in the order of `PARTS`."""
            return np.array([self.train, self.valid, self.test])

    settings: Settings

    def needs(self) -> tuple[str, ...]:
        """Reads the selected rows, their text, and which are near copies."""
        return ("prepare", "select", "dedup")

    def assume(self, work: float) -> Estimate:
        """Reading and writing rows: some 15 MB/s of compressed rows."""
        return Estimate(seconds=1 + work / 15e6, ram_mb=600, disk_mb=1 + work / 1e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write the rows of each part, `assignment.parquet` and `summary.json`."""
        files = _read(inputs["select"], inputs["dedup"])
        dealt, divided = self._deal(files)
        for repo in divided:
            text = _("`{repo}` is too large to stay in one part: it is divided by its folders")
            out.warn(text.format(repo=repo))
        table = files.table.select(["row_id", "repo", "path", "language", "bytes"])
        table = table.append_column("part", pa.array([PARTS[part] for part in dealt.part], type=pa.string()))
        table = table.append_column("unit", pa.array([dealt.names[unit] for unit in dealt.unit], type=pa.string()))
        write_table(out.path("assignment.parquet"), table)
        out.rows["assignment.parquet"] = len(table)
        for number, part in enumerate(PARTS):
            _write_part(part, files.table.filter(pa.array(dealt.part == number)), inputs["prepare"], out)
        summary = self._summary(files, dealt, divided)
        out.text("summary.json", json.dumps(summary, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        self._warn_missing(summary, out)
        shares = {part: summary["parts"][part]["share"] for part in PARTS}
        return {"files": len(table), "units": len(dealt.names), "divided": len(divided), **shares}

    def _deal(self, files: Files) -> tuple[Dealt, list[str]]:
        """The best way to split, dividing as few nodes as it takes, and the repositories that had to be divided.

        Raises:
            BurilError: D106 when even files are too few for the parts.
        """
        whole = 1 if "repo" in self.settings.together else 1 << 30
        depth_F = np.array([min(whole, len(names)) for names in files.folders], dtype=np.int64)
        wanted = int((self.settings.fractions > 0).sum())
        best: tuple[Dealt, I64] | None = None
        for _attempt in range(_MAX_BREAKS):
            nodes = [_node(names, int(depth)) for names, depth in zip(files.folders, depth_F, strict=True)]
            unit_F, names_U = _units(nodes, files, tie="near_duplicates" in self.settings.together)
            if len(names_U) >= wanted:
                dealt = self._assign(files, unit_F, names_U)
                if best is None or dealt.excess < best[0].excess - 1e-9:
                    best = dealt, depth_F.copy()
                if dealt.excess <= 0:
                    break
            weight_F = files.size * dealt.worst if len(names_U) >= wanted else files.size
            if not _divide(depth_F, nodes, unit_F, weight_F, files):
                break
        if best is None:
            raise BurilError("D106", files=len(depth_F), units=len(names_U), parts=wanted)
        return best[0], _divided(files, best[1]) if whole == 1 else []

    def _assign(self, files: Files, unit_F: I64, names_U: list[str]) -> Dealt:
        """Deal the units out."""
        stratum_F = files.language if self.settings.stratify == "language" else np.zeros_like(files.language)
        size_US = np.zeros((len(names_U), int(stratum_F.max()) + 1))
        np.add.at(size_US, (unit_F, stratum_F), files.size)
        part_U = _greedy(size_US, self.settings.fractions, _order(size_US, names_U, self.settings.seed))
        _fill_empty(part_U, size_US.sum(axis=1), self.settings.fractions)
        worst, worst_F = self._excess(files.size, part_U[unit_F]), np.ones_like(unit_F)
        for stratum in np.flatnonzero(size_US.sum(axis=0) >= _HEAVY * files.size.sum()):
            inside_F = stratum_F == stratum
            excess = self._excess(files.size * inside_F, part_U[unit_F])
            if excess > max(worst, 0):
                worst, worst_F = excess, inside_F.astype(np.int64)
        return Dealt(unit_F, part_U[unit_F], names_U, worst, worst_F)

    def _excess(self, size_F: I64, part_F: I64) -> float:
        """How much the worst part is outside of what is tolerated."""
        fractions = self.settings.fractions
        share = np.bincount(part_F, weights=size_F, minlength=len(PARTS)) / size_F.sum()
        off = np.maximum(np.abs(share - fractions) - self.settings.tolerance, fractions / 2 - share)
        return float(off[fractions > 0].max())

    def _summary(self, files: Files, dealt: Dealt, divided: Sequence[str]) -> dict[str, Any]:
        """Files and bytes by part and language, with the share of the language's bytes that each part got."""
        sizes = files.table["bytes"].to_numpy()
        parts: dict[str, Any] = {}
        for number, part in enumerate(PARTS):
            inside = dealt.part == number
            languages = {}
            for code, language in enumerate(files.languages):
                here, everywhere = inside & (files.language == code), files.language == code
                share = float(files.size[here].sum() / files.size[everywhere].sum())
                counts = {"files": int(here.sum()), "bytes": int(sizes[here].sum())}
                languages[language] = {**counts, "share": round(share, 6)}
            parts[part] = {
                "files": int(inside.sum()),
                "bytes": int(sizes[inside].sum()),
                "units": len(np.unique(dealt.unit[inside])),
                "share": round(float(files.size[inside].sum() / files.size.sum()), 6),
                "target": float(self.settings.fractions[number]),
                "languages": languages,
            }
        return {"parts": parts, "units": len(dealt.names), "divided_repositories": list(divided)}

    def _warn_missing(self, summary: dict[str, Any], out: Output) -> None:
        """Say which languages a part has nothing of."""
        for part in PARTS:
            found = summary["parts"][part]
            missing = [language for language, counts in found["languages"].items() if not counts["files"]]
            if missing and found["target"] > 0:
                text = _("`{part}` has no file of: {languages} (too few repositories have that language)")
                out.warn(text.format(part=part, languages=", ".join(missing)))


def _read(select: Artifact, dedup: Artifact) -> Files:
    """The selected files, with their clusters."""
    table = pq.read_table(select.path("selected.parquet"))
    copies = pq.read_table(dedup.path("duplicates.parquet"), columns=["row_id", "cluster"])
    cluster_of = dict(zip(copies["row_id"].to_pylist(), copies["cluster"].to_pylist(), strict=True))
    row_ids = table["row_id"].to_pylist()
    _names, cluster_F = _numbered([cluster_of.get(row_id, row_id) for row_id in row_ids])
    languages, language_F = _numbered(table["language"].to_pylist())
    pairs = zip(table["repo"].to_pylist(), table["path"].to_pylist(), strict=True)
    folders = [[repo, *path.split("/")] for repo, path in pairs]
    size_F = np.maximum(table["bytes"].to_numpy(), 1).astype(np.int64)
    return Files(table, folders, cluster_F, language_F, languages, size_F)


def _numbered(values: Sequence[str]) -> tuple[list[str], I64]:
    """The different values, sorted, and the number of each value."""
    names = sorted(set(values))
    number = {name: at for at, name in enumerate(names)}
    return names, np.array([number[value] for value in values], dtype=np.int64)


def _node(names: Sequence[str], depth: int) -> str:
    """What keeps files together: `repo`, or once it is divided `repo:folder`, then `repo:folder/folder`."""
    return names[0] if depth == 1 else names[0] + ":" + "/".join(names[1:depth])


def _units(nodes: Sequence[str], files: Files, *, tie: bool) -> tuple[I64, list[str]]:
    """Connected components of nodes and, with `tie`, clusters; each is named after its first node."""
    forest = Forest(len(nodes))
    names, node_F = _numbered(nodes)
    for group_F in (node_F, files.cluster) if tie else (node_F,):
        first = np.full(int(group_F.max(initial=-1)) + 1, len(nodes), dtype=np.int64)
        np.minimum.at(first, group_F, np.arange(len(nodes), dtype=np.int64))
        forest.unite(np.arange(len(nodes), dtype=np.int64), first[group_F])
    _roots, unit_F = np.unique(forest.all(), return_inverse=True)
    name_U = np.full(len(_roots), len(names), dtype=np.int64)
    np.minimum.at(name_U, unit_F, node_F)
    return unit_F.astype(np.int64), [names[at] for at in name_U]


def _order(size_US: F64, names_U: Sequence[str], seed: int) -> list[int]:
    """The order to deal in: units that matter to some language by size, then the rest as the seed has it."""
    weight_U = (size_US / np.maximum(size_US.sum(axis=0), 1)).max(axis=1)
    key_U = []
    for weight, name in zip(weight_U.tolist(), names_U, strict=True):
        drawn = hashlib.blake2b(f"{seed}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        key_U.append((-weight if weight > _LARGE else 0.0, drawn))
    return sorted(range(len(names_U)), key=key_U.__getitem__)


def _greedy(size_US: F64, fractions: F64, order: Sequence[int]) -> I64:
    """The part of each unit: in order, where the sum of (is - should)² / should grows least.

    Then each unit is taken out and dealt again, until none moves: a repository is divided only if that does not help.
    """
    total_S = np.maximum(size_US.sum(axis=0), 1)
    open_parts = np.flatnonzero(fractions > 0)
    should_PS = fractions[open_parts, None] * total_S
    have_PS = np.zeros_like(should_PS)
    part_U = np.full(len(size_US), -1, dtype=np.int64)
    for _pass in range(_MAX_PASSES):
        before_U = part_U.copy()
        for unit in order:
            size_S = size_US[unit]
            if part_U[unit] >= 0:
                have_PS[part_U[unit]] -= size_S
            growth_P = ((size_S**2 + 2 * size_S * (have_PS - should_PS)) / should_PS).sum(axis=1)
            part_U[unit] = np.argmin(growth_P)
            have_PS[part_U[unit]] += size_S
        if np.array_equal(before_U, part_U):
            break
    return open_parts[part_U].astype(np.int64)


def _fill_empty(part_U: I64, size_U: F64, fractions: F64) -> None:
    """Give a part that got nothing the smallest unit of the part with the most units."""
    for part in np.flatnonzero(fractions > 0):
        counts = np.bincount(part_U, minlength=len(PARTS))
        if counts[part] == 0 and counts.max() > 1:
            giving = np.flatnonzero(part_U == int(np.argmax(counts)))
            part_U[giving[np.argmin(size_U[giving])]] = part


def _divide(depth_F: I64, nodes: Sequence[str], unit_F: I64, weight_F: I64, files: Files) -> bool:
    """Lower one node by a folder level: the heaviest of the heaviest unit that can be divided. False when none can."""
    names, node_F = _numbered(nodes)
    below_F = depth_F < np.array([len(parts) for parts in files.folders], dtype=np.int64)
    can_divide = np.zeros(len(names), dtype=np.bool_)
    can_divide[node_F[below_F & (weight_F > 0)]] = True
    can_divide &= np.bincount(node_F, minlength=len(names)) > 1
    if not can_divide.any():
        return False
    unit_weight = np.bincount(unit_F, weights=weight_F)
    node_weight = np.bincount(node_F, weights=weight_F)
    unit_of_node = np.zeros(len(names), dtype=np.int64)
    unit_of_node[node_F] = unit_F
    open_nodes = np.flatnonzero(can_divide).tolist()
    heaviest = max(open_nodes, key=lambda node: (unit_weight[unit_of_node[node]], node_weight[node], -node))
    depth_F[(node_F == heaviest) & below_F] += 1
    return True


def _divided(files: Files, depth_F: I64) -> list[str]:
    """The repositories whose files are not in one node."""
    return sorted({names[0] for names, depth in zip(files.folders, depth_F, strict=True) if depth > 1})


def _write_part(part: str, table: pa.Table, prepare: Artifact, out: Output) -> None:
    """Copy the rows of a part from prepare, in its order, into shards of at most 64 MB of text; one at least."""
    shards = list(_plan(table))
    for number, wanted in enumerate(shards):
        name = f"{part}/{number:05d}.parquet"
        out.rows[name] = len(wanted)
        if out.has(name):
            continue
        pieces = [SCHEMA.empty_table()]
        for shard in np.unique(wanted[:, 0]).tolist():
            rows = pq.read_table(prepare.path(f"rows/{shard:05d}.parquet"), schema=SCHEMA)
            pieces.append(rows.take(pa.array(wanted[wanted[:, 0] == shard, 1])))
        write_table(out.path(name), pa.concat_tables(pieces).combine_chunks())
        out.progress(number + 1, len(shards), "shards", part=part)


def _plan(table: pa.Table) -> Iterator[npt.NDArray[np.int64]]:
    """For each shard to write, the (shard, index) of its rows in prepare."""
    place_F2 = np.stack([table["shard"].to_numpy(), table["index"].to_numpy()], axis=1).astype(np.int64)
    order = np.lexsort((place_F2[:, 1], place_F2[:, 0]))
    size = table["bytes"].to_numpy()[order]
    first, filled = 0, 0
    for at, num_bytes in enumerate(size.tolist()):
        if at > first and filled + num_bytes > SHARD_BYTES:
            yield place_F2[order[first:at]]
            first, filled = at, 0
        filled += num_bytes
    yield place_F2[order[first:]]
