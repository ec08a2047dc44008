"""What several benchmarks share: stages run one by one into folders, and sizes that options can change."""

from __future__ import annotations

import argparse
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.conftest import as_artifact

from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.core.events import EventLog
from buril.core.stage import Output, Stage
from buril.tokens.pack import Pack
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base

Size = TypeVar("Size")


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


def packed_stdlib(folder: Path, base: str, max_length: int, *, train: int, valid: int) -> dict[str, Artifact]:
    """So many modules of the standard library as a base reads them: what a training step is measured on."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    rows = [CodeFile("cpython", path.name, path.read_text("utf-8", "replace"), language="python") for path in files]
    stages = (
        Base(Base.Settings(base=base)),
        Tokenizer(Tokenizer.Settings(fim=False)),
        Pack(Pack.Settings(max_length=max_length, fim_rate=0, workers=1)),
    )
    return after_split(folder, stages, train=rows[:train], valid=rows[60 : 60 + valid])


def sized(parser: argparse.ArgumentParser, sizes: Mapping[str, Size]) -> tuple[argparse.Namespace, Size]:
    """The options and the size that they name; each number of a size (a dataclass) can be changed by an option."""
    parser.add_argument("--size", choices=sizes, default="small")
    names = [item.name for item in fields(next(iter(sizes.values())))]  # type: ignore[arg-type]  # dataclasses
    for name in names:
        parser.add_argument(f"--{name}", type=int)
    told = parser.parse_args()
    changes: dict[str, Any] = {name: getattr(told, name) for name in names if getattr(told, name)}
    return told, replace(sizes[told.size], **changes)  # type: ignore[type-var]
