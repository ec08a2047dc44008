"""The rows that a model has read: the training part, and what was made of it, as far as the weights have seen them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from buril.core.artifact import Artifact
from buril.core.stage import Inputs
from buril.serve.provenance.segments import Row

SEEN, ORIGINS, PAIRS = "seen.parquet", "origins.parquet", "pairs"
_PLACE = ["row_id", "repo", "commit", "path", "language", "license"]
_PAIR = ["pair_id", "row_id", "repo", "commit", "path", "language", "license", "secure", "vulnerable"]


def training_rows(inputs: Inputs, also: Sequence[str], models: Sequence[str]) -> Iterator[Row]:
    """All rows, in the order of their stages and shards.

    Args:
        inputs: artifacts by stage.
        also: the stages that made further texts of the training part.
        models: the stages whose weights must have read a row; without one every row counts.
    """
    seen = _seen([inputs[name] for name in models])
    for path in inputs["split"].files("train/*.parquet"):
        yield from _files(path, seen, {}, "")
    for stage in also:
        if stage == PAIRS:
            yield from _pairs(inputs[stage].path("train.parquet"), seen)
            continue
        origins = _origins(inputs[stage])
        for path in inputs[stage].files("train/*.parquet"):
            yield from _files(path, seen, origins, stage)


def count_rows(inputs: Inputs, also: Sequence[str]) -> int:
    """How many rows there are at most: two a pair."""
    paths = inputs["split"].files("train/*.parquet")
    paths += [path for stage in also if stage != PAIRS for path in inputs[stage].files("train/*.parquet")]
    pairs = pq.read_metadata(inputs[PAIRS].path("train.parquet")).num_rows if PAIRS in also else 0
    return sum(int(pq.read_metadata(path).num_rows) for path in paths) + 2 * int(pairs)


def _seen(models: Sequence[Artifact]) -> pa.Array | None:
    """The names of the rows that any of the models has read; None where all count."""
    if not models:
        return None
    tables = [pq.read_table(model.path(SEEN), columns=["row_id"]) for model in models]
    return pc.unique(pa.concat_tables(tables).column(0).cast(pa.string()))


def _origins(artifact: Artifact) -> dict[str, str]:
    if not artifact.path(ORIGINS).exists():
        return {}
    table = pq.read_table(artifact.path(ORIGINS), columns=["row_id", "origin"])
    return dict(zip(table["row_id"].to_pylist(), table["origin"].to_pylist(), strict=True))


def _groups(path: Path, columns: list[str], key: str, seen: pa.Array | None) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path) as source:
        for group in range(source.num_row_groups):
            table = source.read_row_group(group, columns=columns)
            if seen is not None:
                table = table.filter(pc.is_in(table.column(key), value_set=seen))
            yield from table.to_pylist()


def _files(path: Path, seen: pa.Array | None, origins: dict[str, str], made_by: str) -> Iterator[Row]:
    for row in _groups(path, [*_PLACE, "content"], "row_id", seen):
        told = {name: row[name] or "" for name in _PLACE}
        yield Row(row["content"], **told, origin=origins.get(row["row_id"], ""), made_by=made_by)


def _pairs(path: Path, seen: pa.Array | None) -> Iterator[Row]:
    """Both texts of every pair: one is taught, of the other the model learns what it is not to write."""
    for pair in _groups(path, _PAIR, "pair_id", seen):
        told = {name: pair[name] or "" for name in _PLACE} | {"row_id": pair["pair_id"]}
        origin = pair["row_id"] if pair["row_id"] != pair["pair_id"] else ""
        for side in ("secure", "vulnerable"):
            yield Row(pair[side], **told, origin=origin, made_by=f"{PAIRS}: {side}")
