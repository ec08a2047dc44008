"""Repositories for simulated clients, and a stage that trains with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from buril.core.artifact import Artifact
from buril.train.batch import PackedFile
from buril.train.stage import Train
from tests.conftest import as_artifact
from tests.train.small import inputs as make_inputs


def write_split(folder: Path, pack: Artifact, *, repos: int = 3) -> Artifact:
    """Which repository each row of a pack is of: they take turns."""
    file = PackedFile(pack.path("train.parquet"))
    rows = [name for index in range(len(file)) for name in file[index].row_ids]
    (folder / "train").mkdir(parents=True)
    table = pa.table({"row_id": rows, "repo": [f"acme/{number % repos}" for number in range(len(rows))]})
    pq.write_table(table, folder / "train/00000.parquet")
    return as_artifact(folder, "split")


def inputs(folder: Path, *, repos: int = 3, **told: Any) -> dict[str, Artifact]:
    """What a simulated federation reads."""
    found = make_inputs(folder, **told)
    return {**found, "split": write_split(folder / "split", found["pack"], repos=repos)}


def stage(federated: dict[str, Any] | None = None, **told: Any) -> Train:
    """A stage of eight steps, federated where it is told how."""
    defaults: dict[str, Any] = {
        "batch_size": 4, "max_steps": 8, "threads": 1, "precision": "fp32", "learning_rate": 3e-3, "patience": 0,
        "method": {"lora": {"rank": 4, "dropout": 0.1}},
    }  # fmt: skip
    return Train(Train.Settings(**{**defaults, **told}, federated=federated))
