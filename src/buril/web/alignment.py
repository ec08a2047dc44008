"""What `align` came to: how many pairs' secure text is the likelier one, before and after, by weakness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from buril.core.artifact import Artifact
from buril.web.training import read_json

MARGINS = "margins.parquet"
PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class MarginPart:
    """Some pairs: how many, the share whose secure text is the likelier one, and the mean margin in nats a token."""

    name: str
    pairs: int
    preferred_before: float
    preferred_after: float
    mean_before: float
    mean_after: float


@dataclass(frozen=True)
class AlignmentPart:
    """An alignment as the page shows it. `by_cwe` is of the pairs that no step has read, validation's among them."""

    objective: str
    method: str
    steps: int
    form: str
    parts: tuple[MarginPart, ...]
    by_cwe: tuple[MarginPart, ...]


def gather_alignment(align: Artifact | None) -> AlignmentPart | None:
    """What the margins of an alignment say; None where there is none."""
    told = read_json(align, "align.json")
    if align is None or not told or not align.path(MARGINS).is_file():
        return None
    rows = pq.read_table(align.path(MARGINS)).to_pylist()
    parts = [_part(name, [row for row in rows if row["part"] == name]) for name in PARTS]
    unseen = [row for row in rows if row["part"] != "train"]
    names = sorted({row["cwe"] for row in unseen}, key=lambda name: (len(name), name))
    by_cwe = [_part(name, [row for row in unseen if row["cwe"] == name]) for name in names]
    return AlignmentPart(
        str(told["objective"]), str(told["method"]), int(told["steps"]), str(told["form"]),
        tuple(part for part in parts if part), tuple(part for part in by_cwe if part),
    )  # fmt: skip


def _part(name: str, rows: Sequence[dict[str, Any]]) -> MarginPart | None:
    if not rows:
        return None
    before, after = ([float(row[when]) for row in rows] for when in ("before", "after"))
    return MarginPart(
        name, len(rows), sum(value > 0 for value in before) / len(rows), sum(value > 0 for value in after) / len(rows),
        sum(before) / len(rows), sum(after) / len(rows),
    )  # fmt: skip
