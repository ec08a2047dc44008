"""Stages run one by one into folders, for benchmarks that measure what comes after them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.conftest import as_artifact

from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.core.events import EventLog
from buril.core.stage import Output, Stage


def run(stage: Stage, made: dict[str, Artifact], folder: Path, name: str = "") -> Artifact:
    """Run a stage on what is made into a folder below `folder` that is named after it, or `name`."""
    out = Output(folder / (name or stage.name), EventLog(folder / "events.jsonl"), stage.name)
    stage.run(made, out)
    out.finish()
    return as_artifact(out.folder, stage.name)


def after_split(
    folder: Path, stages: Sequence[Stage], *, train: Sequence[CodeFile], valid: Sequence[CodeFile]
) -> dict[str, Artifact]:
    """What some stages make, in order, of these rows as the parts of a split."""
    write_rows(folder / "split/train/00000.parquet", train)
    write_rows(folder / "split/valid/00000.parquet", valid)
    made = {"split": as_artifact(folder / "split", "split")}
    for stage in stages:
        made[stage.name] = run(stage, made, folder)
    return made
