"""What the training part of a model's data was: how many files under which licences. Counts, no code and no names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from buril.core.artifact import Artifact

DATA = ("split", "augment", "synthesise", "pairs")
"""Stages whose rows a model may have read."""
SEEN = "seen.parquet"
NAMES = {"split": "row_id", "augment": "row_id", "synthesise": "row_id", "pairs": "pair_id"}


def learnt_from(inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """The data that a model was made from.

    Example:
        `{"digests": {"split": "…"}, "files": 210, "licenses": {"MIT": 200, "Apache-2.0": 10},
        "expression": "Apache-2.0 AND MIT", "unknown": 0, "counted": "read"}`; `counted` is `read` where the training
        says which rows its weights have read, else `part`, the whole training part.
    """
    there = [name for name in DATA if name in inputs]
    read = _read(inputs)
    counts = Counter(
        license for name in there for row_id, license in _rows(inputs[name], name) if read is None or row_id in read
    )
    unknown = counts.pop("", 0)
    licenses = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return {
        "digests": {name: inputs[name].digest for name in there}, "files": sum(counts.values()) + unknown,
        "licenses": licenses, "unknown": unknown, "expression": expression(licenses),
        "counted": "part" if read is None else "read",
    }  # fmt: skip


def expression(licenses: Mapping[str, int]) -> str:
    """One SPDX expression for files that are each under their own: all of them hold.

    Example:
        `{"MIT": 3, "GPL-2.0-only OR BSD-3-Clause": 1}` → `(GPL-2.0-only OR BSD-3-Clause) AND MIT`
    """
    return " AND ".join(f"({name})" if " " in name and len(licenses) > 1 else name for name in sorted(licenses))


def _read(inputs: Mapping[str, Artifact]) -> frozenset[str] | None:
    """The rows that the weights have read; None where no training says so."""
    import pyarrow.parquet as pq

    paths = [inputs[name].path(SEEN) for name in ("train", "align") if name in inputs]
    tables = [pq.read_table(path, columns=["row_id"]) for path in paths if path.is_file()]
    return frozenset(row for table in tables for row in table.column(0).to_pylist()) if tables else None


def _rows(artifact: Artifact, stage: str) -> Iterator[tuple[str, str]]:
    """Row and licence of the training part."""
    import pyarrow.parquet as pq

    pattern = "train.parquet" if stage == "pairs" else "train/*.parquet"
    for path in artifact.files(pattern):
        table = pq.read_table(path, columns=[NAMES[stage], "license"])
        yield from zip(*(column.to_pylist() for column in table.columns), strict=True)
