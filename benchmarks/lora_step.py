"""A LoRA training step: buril's loop beside TRL's SFTTrainer and transformers' Trainer, on the same packed sequences.

    python benchmarks/lora_step.py [--size small|full] [--model FOLDER_OR_HUB_ID] [--length TOKENS]

Each trains the same base (rank 16 on all linear layers, dropout 0.1, AdamW, clipping) on the standard library's files,
several documents a sequence, none of which may see another: buril by its spans, the peers by positions, from which
transformers makes its block mask. Each runs in a process of its own, in turns; the first step warms up and is not
counted. The number format is the one the machine multiplies fastest in. The peers have what served them best: without
activation checkpointing, which is TRL's default and costs it a third of its speed; TRL's default is measured beside it,
for its memory is the least that a peer needs. Ours runs with the allocator's settings that the command `buril` starts
itself with. CPU time: machines may be shared.

Two rows: `tokens` (tokens a second) and `memory` (largest resident size). The share of the machine's limit is that of
its own matrix multiplication, measured in the same process on the shapes of this model.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait by spinning would count as work, for any side
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from _stages import packed_stdlib

from buril.core.allocator import frugal
from buril.core.artifact import Artifact
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.generators._load import load
from buril.train.batch import Packed, PackedFile, step_sequences
from buril.train.loop import Loop
from buril.train.machine import prepare_torch, resolve_precision
from buril.train.probe import peak_mb
from buril.train.stage import Train

SIZES = {"small": (1024, 2, 2, 2), "full": (2048, 2, 2, 2)}
"""Tokens of a sequence, sequences of a step, counted steps of a process, processes of a side."""
PEERS = ("trl", "trl_default", "trainer")
NAMES = {
    "trl": "TRL SFTTrainer",
    "trl_default": "TRL SFTTrainer, its default",
    "trainer": "transformers Trainer + PEFT",
}
TOKENS_TARGET, MEMORY_TARGET = 2.0, 0.6


def read_inputs(folder: Path) -> dict[str, Artifact]:
    """What `packed_stdlib` made."""
    from tests.conftest import as_artifact

    return {name: as_artifact(folder / name, name) for name in ("split", "base", "tokenizer", "pack")}


def ours(made: dict[str, Artifact], folder: Path, batch_size: int) -> Iterator[Callable[[], None]]:
    """Our steps, one after the other, on a process made ready as the stage does."""
    prepare_torch(0)
    stage = Train(Train.Settings(batch_size=batch_size, device="cpu", eval_tokens=1, micro_batch_tokens=1))
    out = Output(folder / "train", EventLog(folder / "events.jsonl"), "train")
    loop = Loop(stage._task(made), stage._recipe(made), out=out)
    while True:
        yield loop._step


def theirs(
    made: dict[str, Artifact], folder: Path, batch_size: int, *, side: str
) -> Iterator[Callable[[], tuple[float, float]]]:
    """Steps of a peer, timed by its own callbacks: without its start, and without loading."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainerCallback, TrainingArguments, default_data_collator

    bf16 = resolve_precision("auto", "cpu") == "bf16"
    model = load(made["base"].folder, made["tokenizer"].folder, dtype="bf16" if bf16 else "fp32", device="cpu").model
    model.set_attn_implementation("sdpa")
    lora = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.1, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, lora)
    file = PackedFile(made["pack"].path("train.parquet"))

    class Clock(TrainerCallback):
        began = wall_began = cpu = wall = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began, self.wall_began = time.process_time(), time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.cpu, self.wall = time.process_time() - self.began, time.perf_counter() - self.wall_began

    clock = Clock()
    told: dict[str, Any] = {
        "output_dir": str(folder / side), "per_device_train_batch_size": 1, "gradient_accumulation_steps": batch_size,
        "max_steps": 1, "learning_rate": 2e-4, "bf16": bf16, "use_cpu": True, "report_to": [], "save_strategy": "no",
        "disable_tqdm": True, "gradient_checkpointing": side == "trl_default", "logging_strategy": "no",
        "dataloader_drop_last": True,
    }  # fmt: skip

    def trainer_of(sequences: list[Packed]) -> Any:
        if side == "trainer":
            return Trainer(
                model=adapted, args=TrainingArguments(**told), train_dataset=[example(item) for item in sequences],
                callbacks=[clock], data_collator=default_data_collator,
            )  # fmt: skip
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        kinds = SFTConfig(
            **told, padding_free=True, max_length=None, dataset_kwargs={"skip_prepare_dataset": True}, packing=False
        )
        rows = [{**example(item), "seq_lengths": list(item.lengths)} for item in sequences]
        data = Dataset.from_list(rows).remove_columns("position_ids")
        return SFTTrainer(
            model=adapted, args=kinds, train_dataset=data, callbacks=[clock],
            processing_class=tokenizer_of(made["tokenizer"].folder / "tokenizer"),
        )  # fmt: skip

    for number in range(1_000):
        sequences = list(step_sequences(file, number, batch_size=batch_size, seed=0))

        def step(sequences: list[Packed] = sequences) -> tuple[float, float]:
            trainer_of(sequences).train()
            return clock.cpu, clock.wall

        yield step


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer as transformers has it; TRL asks for one, though the tokens are ready."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def example(packed: Packed) -> dict[str, list[int]]:
    """A packed sequence as the peers take it: positions begin anew, no document predicts the next."""
    labels = packed.input_ids.tolist()
    starts = [sum(packed.lengths[:number]) for number in range(len(packed.lengths))]
    for start in starts:
        labels[start] = -100
    positions = [place for length in packed.lengths for place in range(length)]
    return {"input_ids": packed.input_ids.tolist(), "labels": labels, "position_ids": positions}


def limit(config: dict[str, Any], length: int) -> float:
    """Tokens a second if a step were the multiplications it can't do without, at the speed they have alone.

    Counted: the frozen layers forward and backward (no gradient of their weights), the same of the output layer, causal
    attention within whole sequences. Not counted: adapters, norms, activations, the loss, the optimizer.
    """
    width, inner = config["hidden_size"], config["intermediate_size"]
    heads, kv = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim") or width // heads
    shapes = [(width, (heads + 2 * kv) * size), (heads * size, width), (width, 2 * inner), (inner, width)]
    dtype = torch.bfloat16 if resolve_precision("auto", "cpu") == "bf16" else torch.float32
    layers = config["num_hidden_layers"]
    seconds = sum(layers * product_s(length, *shape, dtype=dtype) for shape in shapes)
    seconds += product_s(length, width, config["vocab_size"], dtype=dtype)
    attention = layers * heads * product_s(length, size, length, dtype=dtype)  # QK' and PV, each half of the square
    return length / (2 * seconds + 3.5 * attention)


def product_s(rows: int, inner: int, columns: int, *, dtype: torch.dtype) -> float:
    """Seconds of CPU time of one multiplication, by thread; the best of five."""
    left, right = torch.randn(rows, inner, dtype=dtype), torch.randn(columns, inner, dtype=dtype)
    found = []
    for _ in range(5):
        began = time.process_time()
        torch.mm(left, right.T)
        found.append(time.process_time() - began)
    return min(found) / torch.get_num_threads()


def child(side: str, folder: Path, batch_size: int, steps: int) -> dict[str, Any]:
    """One side's process: tokens a second of each counted step, and its memory."""
    made = read_inputs(folder)
    file = PackedFile(made["pack"].path("train.parquet"))
    threads = torch.get_num_threads()
    place = Path(tempfile.mkdtemp(dir=folder))
    turns = ours(made, place, batch_size) if side == "ours" else theirs(made, place, batch_size, side=side)
    found: dict[str, Any] = {"tokens_per_s": [], "wall_tokens_per_s": []}
    for number in range(steps + 1):
        tokens = sum(len(item.input_ids) for item in step_sequences(file, number, batch_size=batch_size, seed=0))
        step = next(turns)
        cpu, wall = time.process_time(), time.perf_counter()
        told = step()
        cpu, wall = told or (time.process_time() - cpu, time.perf_counter() - wall)
        if number:
            found["tokens_per_s"].append(tokens / cpu * threads)
            found["wall_tokens_per_s"].append(tokens / wall)
    found["peak_mb"] = peak_mb()
    if side == "ours":
        length = json.loads((folder / "pack/summary.json").read_text())["max_length"]
        found["limit"] = limit(json.loads((folder / "base/model/config.json").read_text()), length)
    return found


def measure(folder: Path, sides: tuple[str, ...], *, batch_size: int, steps: int, rounds: int) -> dict[str, Any]:
    """All sides in turns, each time in a new process."""
    found: dict[str, Any] = {side: {"tokens_per_s": [], "wall_tokens_per_s": [], "peak_mb": 0.0} for side in sides}
    for _round in range(rounds):
        for side in sides:
            command = [sys.executable, __file__, "--child", side, str(folder), str(batch_size), str(steps)]
            environment = frugal(dict(os.environ)) if side == "ours" else None  # as the command starts itself
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
            told = json.loads(done.stdout.splitlines()[-1])
            for key in ("tokens_per_s", "wall_tokens_per_s"):
                found[side][key] += told[key]
            found[side]["peak_mb"] = max(found[side]["peak_mb"], told["peak_mb"])
            found[side].setdefault("limit", told.get("limit"))
            print(f"{side:12s} {statistics.median(told['tokens_per_s']):7.1f} tokens/s of CPU time, "
                  f"{statistics.median(told['wall_tokens_per_s']):7.1f} of wall time, peak {told['peak_mb']:,.0f} MB",
                  flush=True)  # fmt: skip
    return found


def rows(found: dict[str, Any], model: str) -> list[dict[str, Any]]:
    """The two rows."""
    import trl
    from all import machine

    speeds = {side: statistics.median(told["tokens_per_s"]) for side, told in found.items()}
    best = max((side for side in found if side.startswith("trl")), key=lambda side: speeds[side])
    ratio, memory = speeds["ours"] / speeds[best], found["ours"]["peak_mb"] / found[best]["peak_mb"]
    common = {"peer_name": f"{NAMES[best]} {trl.__version__}, {model}", "machine": machine()}
    return [
        {"name": "lora_step: tokens", "ours": round(speeds["ours"], 1), "peer": round(speeds[best], 1),
         "unit": f"tokens/s of CPU time on {torch.get_num_threads()} threads", "ratio": round(ratio, 2),
         "target": TOKENS_TARGET, "met": ratio >= TOKENS_TARGET, **common},
        {"name": "lora_step: memory", "ours": round(found["ours"]["peak_mb"]), "peer": round(found[best]["peak_mb"]),
         "unit": "MB at most", "ratio": round(memory, 2), "target": f"<= {MEMORY_TARGET}",
         "met": memory <= MEMORY_TARGET, **common},
    ]  # fmt: skip


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--model", default="smollm2-135m", help="what `train.base` may be")
    parser.add_argument("--length", type=int, help="tokens of a sequence")
    parser.add_argument("--sides", default=",".join(("ours", *PEERS)))
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        side, folder, batch_size, steps = options.child
        print(json.dumps(child(side, Path(folder), int(batch_size), int(steps))))
        return
    length, batch_size, steps, rounds = SIZES[options.size]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        packed_stdlib(folder, options.model, options.length or length, train=60, valid=2)
        sides = tuple(options.sides.split(","))
        found = measure(folder, sides, batch_size=batch_size, steps=steps, rounds=rounds)
        roof = found["ours"]["limit"]
        share = statistics.median(found["ours"]["tokens_per_s"]) / roof
        print(f"limit by multiplication alone: {roof:.0f} tokens/s; ours reaches {share:.0%} of it")
        model = json.loads((folder / "base/base.json").read_text())["name"]
        if len(sides) > 1:
            print(json.dumps(rows(found, model)))


if __name__ == "__main__":
    main()
