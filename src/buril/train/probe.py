"""A few real steps of a training, in a process of its own: what they take corrects the estimate.

The process trains as the stage would, on the same weights and the same packed sequences (random tokens where there are
none yet), into a folder that is thrown away. Its steps are short, two micro-batches each: the time of a step grows with
its micro-batches, and the memory does not. Nothing enters the store.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from buril.core.artifact import Artifact, Manifest
from buril.core.errors import BurilError
from buril.core.estimate import Past
from buril.core.events import EventLog
from buril.core.stage import Output, Stage
from buril.train.defaults import settled
from buril.train.expect import PER_OPERATION, expected_memory, shape
from buril.train.memory import operations
from buril.train.parallel.cost import gain
from buril.train.parallel.settings import Parallel

STEPS = 20
LIMIT_S = 300.0
"""Seconds after which no further step is begun: what was measured until then counts."""
MICRO_BATCHES = 2
"""Of a step: from the second on, gradients of the first are in memory too, as in a real step."""
SEQUENCES = 8
"""Random sequences that stand for a pack."""


@dataclass(frozen=True)
class Probe:
    """What was measured. `work` is in the units of the stage; `expected_mb` is what was computed before.

    `watts` are those of the processors, 0 where the system does not tell (RAPL is for root alone on most).
    `step_tokens` are those of a whole step of the training that was asked for.
    """

    steps: int
    tokens: int
    seconds: float
    tokens_per_s: float
    ram_mb: float
    gpu_mb: float
    expected_mb: float
    work: float
    watts: float
    step_tokens: int

    def past(self) -> Past:
        """As an estimate remembers it."""
        return Past(self.work, self.seconds, self.ram_mb, 0.0, self.expected_mb)


class _Enough(Exception):
    """Ends a probe whose time is over."""


class _Bounded(Output):
    """An output that ends the training when its time is over."""

    until = float("inf")

    def metric(self, **values: Any) -> None:
        super().metric(**values)
        if time.monotonic() > self.until and "loss" in values and values["step"] > 1:  # one step is always measured
            raise _Enough


def probe(
    settings: Any, inputs: Mapping[str, Artifact], folder: Path, *, steps: int = STEPS, limit_s: float = LIMIT_S
) -> Probe:
    """Run a few steps and measure.

    Args:
        settings: of the stage `train`.
        inputs: base, tokenizer and pack, from the store or from elsewhere.
        folder: an empty folder to work in; the caller throws it away.
        steps: how many.
        limit_s: seconds after which it ends early.

    Raises:
        BurilError: T141 when the process was killed, most likely for memory; those of the stage.
    """
    length = int(inputs["pack"].json("summary.json")["max_length"])
    per_batch = max(1, max(length, settings.micro_batch_tokens) // length)
    short = settings.model_copy(
        update={
            "max_steps": steps, "batch_size": MICRO_BATCHES * per_batch, "epochs": 1e6, "eval_tokens": length,
            "eval_every": steps, "patience": 0, "minutes": None, "track": (), "parallel": Parallel(),
        }
    )  # fmt: skip
    folders = {name: str(artifact.folder) for name, artifact in inputs.items()}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # its memory is the training's alone
        try:
            found = pool.submit(measure, short, folders, str(folder), limit_s).result()
        except BrokenProcessPool as problem:
            raise BurilError("T141", mb=round(expected_memory(settings, inputs)[0].total / 1e6)) from problem
    model, method, load = shape(settings, inputs)
    together = gain(settings.parallel, gpu=load.gpu)  # one process is measured, and several do more in that time
    work = together * found["tokens"] * operations(model, method, load) / PER_OPERATION
    expected_mb = expected_memory(short, inputs)[0].total / 1e6
    whole = length * settled(settings, inputs).batch_size
    return Probe(**found, expected_mb=expected_mb, work=work, step_tokens=whole)


def probe_inputs(stages: Mapping[str, Stage], found: Mapping[str, Artifact], folder: Path) -> dict[str, Artifact]:
    """What a probe reads: what the store has, and what can be made without it, in a folder that is thrown away.

    Args:
        stages: those of the chain, by name.
        found: artifacts of the store that these stages would reuse.
        folder: where the rest is made: the base by its stage, its own tokenizer, a pack of random tokens.

    Raises:
        BurilError: T142 when the tokenizer must be learnt from the user's code first; those of the stage `base` when
            the weights can't be had.
    """
    inputs: dict[str, Artifact] = {name: found[name] for name in ("base", "tokenizer", "pack") if name in found}
    if "tokenizer" not in inputs and "base" not in stages["tokenizer"].needs():
        raise BurilError("T142", stage="tokenizer")
    if "base" not in inputs:
        stages["base"].observe()  # says what is missing before anything is written
        out = Output(folder / "base", EventLog(folder / "events.jsonl"), "base")
        stages["base"].run(inputs, out)
        out.finish()
        inputs["base"] = stand_in(out.folder, "base")
    if "tokenizer" not in inputs:
        inputs["tokenizer"] = _own_tokenizer(inputs["base"], folder / "tokenizer")
    if "pack" not in inputs:
        vocabulary = inputs["base"].json("model/config.json")["vocab_size"]
        length = stages["pack"].settings.max_length
        inputs["pack"] = random_pack(folder / "pack", vocabulary=vocabulary, max_length=length)
    return inputs


def _own_tokenizer(base: Artifact, folder: Path) -> Artifact:
    """The tokenizer that stands beside a base's weights, as the stage would hand it on, without new tokens."""
    shutil.copytree(base.path("model"), folder / "tokenizer", ignore=shutil.ignore_patterns("*.safetensors"))
    config = base.json("model/config.json")
    fim = dict.fromkeys(("prefix", "suffix", "middle", "pad", "bos")) | {
        "eos": config.get("eos_token_id"), "added": [], "vocab_size": config["vocab_size"],
    }  # fmt: skip
    (folder / "fim.json").write_text(json.dumps(fim), encoding="utf-8")
    return stand_in(folder, "tokenizer")


def measure(settings: Any, folders: Mapping[str, str], folder: str, limit_s: float) -> dict[str, Any]:
    """Train in this process, and say what the steps took; the first step, that warms up, is not timed."""
    from buril.core.estimate import Machine
    from buril.train.monitor import Meter
    from buril.train.stage import Train

    inputs = {name: stand_in(Path(path), name) for name, path in folders.items()}
    out = _Bounded(Path(folder) / "out", EventLog(Path(folder) / "events.jsonl"), "train")
    out.until = time.monotonic() + limit_s
    meter, began = Meter(Machine(watts=0.0)), time.monotonic()
    with suppress(_Enough):
        Train(settings).run(inputs, out)
    watts = meter.joules() / (time.monotonic() - began)
    lines = [json.loads(line) for line in out.path("logs/speed.jsonl").read_text(encoding="utf-8").splitlines()]
    timed = lines[1:] or lines
    return {
        "steps": len(lines), "tokens": sum(line["tokens"] for line in timed),
        "seconds": sum(line["seconds"] for line in timed),
        "tokens_per_s": median(line["tokens_per_s"] for line in timed),
        "ram_mb": peak_mb(), "gpu_mb": _gpu_mb(), "watts": watts,
    }  # fmt: skip


def stand_in(folder: Path, stage: str) -> Artifact:
    """A folder as an artifact, without a manifest: training reads its files alone."""
    return Artifact(folder, Manifest(stage, 1, "", "", {}, {}, ()))


def random_pack(folder: Path, *, vocabulary: int, max_length: int) -> Artifact:
    """Random tokens in full sequences of one document each, where nothing is packed yet."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    drawn = np.random.default_rng(0).integers(0, vocabulary, (SEQUENCES, max_length), dtype=np.int32)
    spans = [[{"row_id": str(number), "start": 0, "length": max_length}] for number in range(SEQUENCES)]
    table = pa.table({"input_ids": pa.array(drawn.tolist(), pa.list_(pa.int32())), "spans": spans})
    for part in ("train", "valid"):
        pq.write_table(table, folder / f"{part}.parquet")
    told = {"sequences": SEQUENCES, "tokens": SEQUENCES * max_length}
    summary = {"max_length": max_length, **told, "valid": told}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return stand_in(folder, "pack")


def peak_mb() -> float:
    """The most memory this process has had, in 10^6 bytes; of its own, not its parent's before the exec."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1e6 if sys.platform == "darwin" else 1e3
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _gpu_mb() -> float:
    import torch

    return torch.cuda.max_memory_reserved() / 1e6 if torch.cuda.is_available() else 0.0
