"""Derived rows: texts that `augment`, `synthesise` and `pairs` made of collected files, and the way back from each.

These stages write `origins.parquet`: the new row, the row it was made of, and what made it. A pair counts as a row: it
keeps repository, commit, path and licence itself, for the file that it is from need not have been collected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from buril.core.artifact import Artifact

MAKERS = ("augment", "synthesise", "pairs")
PAIRS = "pairs"
PAIR_PARTS = ("train", "valid", "test")
ORIGINS = "origins.parquet"


def _lines(chain: Mapping[str, Artifact], column: str, row_id: str) -> list[dict[str, str]]:
    """The lines of all origins with a row in one of their columns."""
    found: list[dict[str, str]] = []
    for stage in MAKERS:
        if stage in chain and chain[stage].path(ORIGINS).exists():
            found += pq.read_table(chain[stage].path(ORIGINS), filters=[(column, "=", row_id)]).to_pylist()
    return found


def origin_of(chain: Mapping[str, Artifact], row_id: str) -> str | None:
    """The collected row that a derived row was made of; None for anything else."""
    return next((line["origin"] for line in _lines(chain, "row_id", row_id)), None)


def derived_of(chain: Mapping[str, Artifact], row_id: str) -> list[dict[str, str]]:
    """What was made of a collected row: `row_id`, `stage`, `by` and `detail` of each."""
    return _lines(chain, "origin", row_id)


def derived_rows(chain: Mapping[str, Artifact], columns: Sequence[str]) -> list[pa.Table]:
    """The derived rows of a chain, with the repository, commit and licence that each of them has."""
    shards = [path for stage in MAKERS if stage in chain for path in chain[stage].files("train/*.parquet")]
    tables = [pq.read_table(path, columns=list(columns)) for path in shards]
    if PAIRS in chain:
        tables.append(_as_rows(pq.read_table(chain[PAIRS].path("train.parquet"))).select(list(columns)))
    return tables


def _as_rows(pairs: pa.Table) -> pa.Table:
    """Pairs as rows: the pair's own name for the row's, the bytes of both texts."""
    texts = (pc.binary_length(pairs.column(name).cast(pa.large_binary())) for name in ("secure", "vulnerable"))
    size = pc.add(*texts).cast(pa.int64())
    own = pairs.drop_columns(["row_id"]).rename_columns({"pair_id": "row_id"})
    return own.append_column("bytes", size)


def pairs_of(chain: Mapping[str, Artifact], what: str) -> Iterator[dict[str, Any]]:
    """The pairs that `what` names, each with its `part`: a pair's id, a row's, a path, its end, or `repo/path`."""
    for part in PAIR_PARTS if PAIRS in chain else ():
        table = _as_rows(pq.read_table(chain[PAIRS].path(f"{part}.parquet")))
        paths = table.column("path")
        mask = pc.or_(pc.equal(table.column("row_id"), what), pc.equal(paths, what))
        mask = pc.or_(mask, pc.equal(pc.binary_join_element_wise(table.column("repo"), paths, "/"), what))
        mask = pc.or_(mask, pc.ends_with(paths, f"/{what.removeprefix('./').lstrip('/')}"))
        for row in table.filter(mask).drop_columns(["secure", "vulnerable"]).to_pylist():
            yield {**row, "part": part}
