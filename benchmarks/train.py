"""A LoRA training step: buril's loop against the Trainer of transformers, on the same packed sequences.

    python benchmarks/train.py [--size small|full]

Both train SmolLM2-135M (rank 16 on all linear layers, dropout 0.1, AdamW, clipping) in bf16 on the standard library's
files, several documents a sequence, none of which may see another: buril by its spans, the Trainer by the positions,
from which transformers makes its block mask. The Trainer has what served it best: weights in bf16 under autocast, one
sequence at a time, no checkpointing. Each round makes one step with either. CPU time: machines may be shared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # threads that wait by spinning would count as work, for either side
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.core.events import EventLog
from buril.core.stage import Output, Stage
from buril.generators._load import load
from buril.tokens.pack import Pack
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base
from buril.train.batch import PackedFile, step_sequences
from buril.train.loop import Loop
from buril.train.stage import Train

SIZES = {"small": (1024, 2, 3), "full": (2048, 8, 5)}
"""Tokens of a sequence, sequences of a step, rounds."""
TARGET = 1.5


def inputs(folder: Path, max_length: int) -> dict[str, Artifact]:
    """The artifacts that training reads, made by the stages themselves."""
    from tests.conftest import as_artifact

    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    rows = [CodeFile("cpython", path.name, path.read_text("utf-8", "replace"), language="python") for path in files]
    write_rows(folder / "split/train/00000.parquet", rows[:60])
    write_rows(folder / "split/valid/00000.parquet", rows[60:62])
    made = {"split": as_artifact(folder / "split", "split")}

    def make(stage: Stage) -> None:
        out = Output(folder / stage.name, EventLog(folder / "events.jsonl"), stage.name)
        stage.run(made, out)
        out.finish()
        made[stage.name] = as_artifact(out.folder, stage.name)

    make(Base(Base.Settings()))
    make(Tokenizer(Tokenizer.Settings(fim=False)))
    make(Pack(Pack.Settings(max_length=max_length, fim_rate=0, workers=1)))
    return made


def ours(made: dict[str, Artifact], folder: Path, batch_size: int) -> Loop:
    """A loop that is ready for its first step."""
    stage = Train(Train.Settings(batch_size=batch_size, precision="bf16", device="cpu", eval_tokens=1))
    out = Output(folder / "train", EventLog(folder / "events.jsonl"), "train")
    return Loop(stage._task(made), stage._recipe(made["base"].json("base.json")["kind"]), out=out, machine={})


def theirs(made: dict[str, Artifact], folder: Path, batch_size: int) -> Any:
    """A step of a Trainer with the same model, timed by its own callbacks: without its start, and without loading."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainerCallback, TrainingArguments, default_data_collator

    model = load(made["base"].folder, made["tokenizer"].folder, dtype="bf16", device="cpu").model
    model.set_attn_implementation("sdpa")
    adapted = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.1, target_modules="all-linear"))
    file = PackedFile(made["pack"].path("train.parquet"))

    class Clock(TrainerCallback):
        began = cpu = wall = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began, self.wall_began = time.process_time(), time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.cpu, self.wall = time.process_time() - self.began, time.perf_counter() - self.wall_began

    told = TrainingArguments(
        output_dir=str(folder / "peer"), per_device_train_batch_size=1, gradient_accumulation_steps=batch_size,
        max_steps=1, learning_rate=2e-4, bf16=True, use_cpu=True, report_to=[],
        save_strategy="no", disable_tqdm=True,
        gradient_checkpointing=False, logging_strategy="no", dataloader_drop_last=True,
    )  # fmt: skip
    clock = Clock()

    def step(indices: list[int]) -> tuple[float, float]:
        trainer = Trainer(
            model=adapted, args=told, train_dataset=[example(file, index) for index in indices], callbacks=[clock],
            data_collator=default_data_collator,
        )  # fmt: skip
        trainer.train()
        return clock.cpu, clock.wall

    return step


def example(file: PackedFile, index: int) -> dict[str, list[int]]:
    """A packed sequence as the Trainer takes it: positions begin anew, no document predicts the next."""
    packed = file[index]
    labels = packed.input_ids.tolist()
    starts = [sum(packed.lengths[:number]) for number in range(len(packed.lengths))]
    for start in starts:
        labels[start] = -100
    positions = [place for length in packed.lengths for place in range(length)]
    return {"input_ids": packed.input_ids.tolist(), "labels": labels, "position_ids": positions}


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, default="small")
    max_length, batch_size, rounds = SIZES[parser.parse_args().size]
    folder = Path(tempfile.mkdtemp())
    made = inputs(folder, max_length)
    loop, peer = ours(made, folder, batch_size), theirs(made, folder, batch_size)
    speeds: dict[str, list[float]] = {"ours": [], "peer": []}
    threads = torch.get_num_threads()
    for number in range(rounds + 1):
        before = loop.progress.tokens
        cpu, wall = time.process_time(), time.perf_counter()
        loop._step()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        same = step_sequences(loop.task.train, number, batch_size=batch_size, seed=0)
        sequences = [sequence.index for sequence in same]
        peer_cpu, peer_wall = peer(sequences)
        peer_tokens = sum(len(sequence.input_ids) for sequence in same)
        tokens = loop.progress.tokens - before
        print(f"round {number}: ours {tokens} tokens {cpu:.1f} s CPU {wall:.1f} s wall; "
              f"Trainer {peer_tokens} tokens {peer_cpu:.1f} s CPU {peer_wall:.1f} s wall", flush=True)  # fmt: skip
        if number:  # the first round warms caches up
            speeds["ours"].append(tokens / cpu * threads)
            speeds["peer"].append(peer_tokens / peer_cpu * threads)
    found = {name: statistics.median(values) for name, values in speeds.items()}
    ratio = found["ours"] / found["peer"]
    from all import machine

    print(json.dumps({
        "name": "train", "ours": round(found["ours"], 1), "peer": round(found["peer"], 1),
        "peer_name": "transformers Trainer + peft", "unit": f"tokens/s of CPU time on {threads} threads",
        "ratio": round(ratio, 2), "target": TARGET, "met": ratio >= TARGET, "machine": machine(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
