"""The mixture: how much of a data set is in which language, licence, repository and part.

Counted column by column; the texts are read only to count tokens, a row group at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BY = ("part", "language", "license", "repo")
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in BY),
        ("files", pa.int64()),
        ("bytes", pa.int64()),
        ("tokens", pa.int64()),
        ("share", pa.float64()),
    ]
)
"""`tokens` is null where no tokenizer was given. `share` is of all tokens, or of all bytes where there are none."""

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""The number of tokens of each text."""


def mixture(parts: Mapping[str, Sequence[Path]], count_tokens: CountTokens | None = None) -> pa.Table:
    """The table of `SCHEMA` over the Parquet files of each part, in the order of its first four columns."""
    tables = [
        rows.append_column("part", pa.array([part] * len(rows), pa.string()))
        for part, paths in parts.items()
        for path in paths
        for rows in _rows(path, count_tokens)
    ]
    if not tables:
        return SCHEMA.empty_table()
    counts = [([], "count_all"), ("bytes", "sum"), *([("tokens", "sum")] if count_tokens else [])]
    found = pa.concat_tables(tables).group_by(list(BY)).aggregate(counts)
    found = found.sort_by([(name, "ascending") for name in BY])
    tokens = found["tokens_sum"] if count_tokens else pa.nulls(len(found), pa.int64())
    weight = pc.cast(tokens if count_tokens else found["bytes_sum"], pa.float64())
    share = pc.divide(weight, pa.scalar(max(1.0, float(pc.sum(weight).as_py() or 0))))
    columns = [*(found[name] for name in BY), found["count_all"], found["bytes_sum"], tokens, share]
    return pa.table([pc.cast(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA)


def summed(table: pa.Table, by: str) -> list[dict[str, Any]]:
    """The mixture by one of its columns, largest share first: name, files, bytes, tokens (None if unknown), share."""
    sums = table.group_by(by).aggregate([(name, "sum") for name in ("files", "bytes", "tokens", "share")])
    rows = [
        {
            "name": row[by] or "",
            "files": int(row["files_sum"]),
            "bytes": int(row["bytes_sum"] or 0),
            "tokens": row["tokens_sum"],
            "share": round(float(row["share_sum"]), 6),
        }
        for row in sums.to_pylist()
    ]
    return sorted(rows, key=lambda row: (-row["share"], row["name"]))


def _rows(path: Path, count_tokens: CountTokens | None) -> Iterator[pa.Table]:
    names = ["language", "license", "repo", "bytes"]
    with pq.ParquetFile(path) as source:
        if count_tokens is None:
            yield source.read(columns=names)
            return
        for batch in source.iter_batches(batch_size=1024, columns=[*names, "content"]):
            tokens = pa.array(count_tokens(batch.column("content").to_pylist()), pa.int64())
            yield pa.table({**{name: batch.column(name) for name in names}, "tokens": tokens})
