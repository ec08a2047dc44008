"""Derived rows: texts that `augment` and `synthesise` made of collected files, and the way back from each.

Both stages write `origins.parquet`: the new row, the row it was made of, and what made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from buril.core.artifact import Artifact

MAKERS = ("augment", "synthesise")
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
    return [pq.read_table(path, columns=list(columns)) for path in shards]
