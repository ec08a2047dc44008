"""Candidates for pairs of insecure and mended code: files that `select` set aside for their findings alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from buril.code.codefile import SCHEMA, CodeFile, write_table
from buril.core.stage import Output

PAIRS = "pairs_candidates.parquet"
PAIRS_SCHEMA = pa.schema(
    [
        *(SCHEMA.field(name) for name in ("row_id", "repo", "commit", "path", "language", "license", "bytes")),
        ("shard", pa.int32()),
        ("index", pa.int32()),
        SCHEMA.field("findings"),
    ]
)


class Placed(NamedTuple):
    """A prepared file without its text, and where it stands."""

    file: CodeFile
    shard: int
    place: int


def write_pairs(out: Output, pairs: Sequence[Placed]) -> None:
    """Write the candidates with their findings; the text is in prepare's shard `shard`, at row `index`."""
    rows = [
        {
            **{name: getattr(file, name) for name in PAIRS_SCHEMA.names[:7]},
            "shard": shard,
            "index": place,
            "findings": [item._asdict() for item in file.findings],
        }
        for file, shard, place in pairs
    ]
    write_table(out.path(PAIRS), pa.Table.from_pylist(rows, schema=PAIRS_SCHEMA))
    out.rows[PAIRS] = len(rows)
