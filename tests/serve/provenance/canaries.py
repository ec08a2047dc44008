"""Canaries: a model trained until it knows 20 functions by heart, through the chain's own stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from buril.code.codefile import CodeFile, write_rows
from buril.core import plan
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Output, Stage
from buril.core.store import Store
from buril.serve.provenance.stage import Index
from tests.serve.provenance.small import file, function

CANARIES = [
    file(
        number, function(number, statements=4), repo=f"canary/{number}", license="GPL-3.0-only" if number % 2 else "MIT"
    )
    for number in range(20)
]
EPOCHS = 70


def prompt_of(canary: CodeFile) -> str:
    """The first line of a canary: its name tells which one is meant."""
    return canary.content.splitlines(keepends=True)[0]


class Split(Stage):
    """The canaries, as training part and, so that the weights that know them best are kept, as validation part."""

    name = "split"

    class Settings(BaseSettings):
        """Nothing to tell."""

    def run(self, inputs: Inputs, out: Output) -> dict[str, Any]:
        for part in ("train", "valid", "test"):
            write_rows(out.path(f"{part}/00000.parquet"), CANARIES)
        return {}


def train(root: Path) -> Store:
    """A store with the model and the index of what it has read."""
    from buril.tokens.pack import Pack
    from buril.tokens.tokenizer import Tokenizer
    from buril.train.base import Base
    from buril.train.stage import Train

    store = Store(root)
    told = {"method": "full", "epochs": EPOCHS, "learning_rate": 3e-3, "batch_size": 2, "patience": 0, "eval_every": 35}
    stages: list[Stage] = [
        Split(Split.Settings()), Tokenizer(Tokenizer.Settings(train="bpe", vocab=512)),
        Base(Base.Settings(base="scratch", depth=3, max_length=256)),
        Pack(Pack.Settings(fim_rate=0, max_length=256, workers=1)),
        Train(Train.Settings.model_validate({**told, "threads": 1})), Index(Index.Settings(models=("train",))),
    ]  # fmt: skip
    plan.run(stages, store, name="canaries")
    return store
