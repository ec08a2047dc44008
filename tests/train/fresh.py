"""Processes of their own for tests of training, forked from one that has loaded torch: loading takes most of their time."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from buril.core.events import EventLog
from buril.core.stage import Output
from tests.conftest import as_artifact

LOADED = (
    "torch", "peft", "transformers.models.llama.modeling_llama", "safetensors.torch", "buril.train.stage", "buril.train.loop",
    "buril.train.methods._adapted", "tests.train.fresh",
)  # fmt: skip


def start(work: Callable[..., None], *given: Any, log: Path, environment: dict[str, str]) -> ForkServerProcess:
    """Run a function of a module in a new process, what it prints into a file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(LOADED))
    process = context.Process(target=_run, args=(work, given, str(log), environment))
    process.start()
    return process


def _run(work: Callable[..., None], given: tuple[Any, ...], log: str, environment: dict[str, str]) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.environ.update(environment)
    work(*given)


def train(folder: Path, data: Path, method: str) -> None:
    """The training that is killed: what is in `folder` is gone on from."""
    from buril.train.stage import Train

    inputs = {name: as_artifact(data / name, name) for name in ("base", "tokenizer", "pack")}
    told = {"batch_size": 4, "eval_every": 2, "threads": 1, "learning_rate": 3e-3, "checkpoint_every_s": 0}
    out = Output(folder / "train", EventLog(folder / "events.jsonl"), "train")
    Train(Train.Settings(method=method, **told)).run(inputs, out)
    out.finish()
