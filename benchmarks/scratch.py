"""A model from scratch in a few minutes of processor time: buril's recipe against a plain Trainer of transformers.

    python benchmarks/scratch.py [--size small|full] [--threads N] [--peer-rate R]

Both train a Llama of the same shape, with the same tokenizer, on the same packed Python of the installed packages, and
get the same processor time; what they are measured on are packages that neither has seen. The Trainer has its own
defaults (AdamW, linear decay, clipping), the same batch, and a learning rate that suits random weights, as its 5e-5
would teach them nothing; how many steps fit is measured before, so that its decay ends with its time. Evaluations
stand outside of either's time but for buril's own two.

Bits per byte do not depend on the tokenizer. A sample parses when Python's own parser takes it, without the statement
that the limit of tokens cut short.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import os
import sysconfig
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait by spinning would count as work
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from _stages import after_split, run

from buril.code.codefile import CodeFile
from buril.core.artifact import Artifact
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.generators._generator import Request
from buril.generators._load import Loaded, load
from buril.generators.transformers import Transformers
from buril.tokens.pack import Pack
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base
from buril.train.batch import PackedFile
from buril.train.stage import Train

SIZES = {"small": (2.0, 4, 12_000_000), "full": (10.0, 6, 40_000_000)}
"""Minutes of processor time, layers, bytes of Python."""
MAX_LENGTH, BATCH_SIZE = 256, 8
HELD_OUT = ("asyncio", "click", "rich", "requests", "jinja2", "httpx")
SKIPPED = ("test", "tests", "_vendor", "vendor", "__pycache__")
VALID_BYTES = 600_000
PROMPTS = ("def", "class", "import", "from", "if", "for", "@", "async def")
"""No blank at their ends: it is one token with the word after it, so no text goes on from a blank but with digits."""
SAMPLES_EACH, SAMPLE_TOKENS = 8, 128
TARGET = 1.0


def sources(num_bytes: int) -> tuple[list[CodeFile], list[CodeFile]]:
    """Python files that parse, each content once: those to learn from, and those of the held-out packages."""
    paths: dict[str, Path] = {}
    for root in (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")):
        for path in Path(root).rglob("*.py"):
            parts = path.relative_to(root).parts
            if "site-packages" not in parts and not any(part in SKIPPED for part in parts):
                paths.setdefault("/".join(parts), path)
    train: list[CodeFile] = []
    valid: list[CodeFile] = []
    seen: set[str] = set()
    left = {"train": num_bytes, "valid": VALID_BYTES}
    for name in np.random.default_rng(0).permutation(sorted(paths)).tolist():
        held = name.split("/")[0].removesuffix(".py") in HELD_OUT
        if left["valid" if held else "train"] <= 0:
            continue
        text = paths[name].read_text("utf-8", "replace")
        if text in seen or not 200 < len(text) < 100_000 or not parses(text):
            continue
        seen.add(text)
        (valid if held else train).append(CodeFile(name.split("/")[0], name, text, language="python"))
        left["valid" if held else "train"] -= len(text.encode())
    return train, valid


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def inputs(folder: Path, num_bytes: int, depth: int) -> dict[str, Artifact]:
    """The artifacts that training reads, made by the stages themselves."""
    train, valid = sources(num_bytes)
    print(f"{sum(file.bytes for file in train)} bytes to learn from, {sum(file.bytes for file in valid)} held out")
    stages = (
        Tokenizer(Tokenizer.Settings(train="bpe", vocab=4096)),
        base_of(depth),
        Pack(Pack.Settings(max_length=MAX_LENGTH, fim_rate=0, workers=1)),
    )
    return after_split(folder, stages, train=train, valid=valid)


def base_of(depth: int) -> Base:
    """Random weights of that many layers."""
    return Base(Base.Settings(base="scratch", depth=depth, max_length=MAX_LENGTH))


def ours(made: dict[str, Artifact], folder: Path, minutes: float, threads: int, told: dict[str, Any]) -> Loaded:
    """The recipe as it stands, with a budget of processor time."""
    settings = {"method": "full", "minutes": minutes, "clock": "processor", "precision": "fp32", "patience": 0,
                "eval_every": 10**9, "threads": threads, "checkpoint_every_s": 1e9, **told}  # fmt: skip
    out = Output(folder / "train", EventLog(folder / "events.jsonl"), "train")
    metrics = Train(Train.Settings(**settings)).run(made, out)
    out.finish()
    print(f"ours: {metrics['steps']} steps, {metrics['tokens']} tokens, loss {metrics['best_valid_loss']:.3f}, "
          f"MFU {metrics['mfu']:.2f}", flush=True)  # fmt: skip
    return load(made["base"].folder, made["tokenizer"].folder, model_dir=out.folder, dtype="fp32", device="cpu")


def theirs(made: dict[str, Artifact], folder: Path, minutes: float, rate: float) -> Loaded:
    """A Trainer with the model that transformers itself makes of the same config."""
    from transformers import AutoConfig, AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

    loaded = load(made["base"].folder, made["tokenizer"].folder, dtype="fp32", device="cpu")
    file = PackedFile(made["pack"].path("train.parquet"))
    examples = [{"input_ids": file[index].input_ids.tolist()} for index in range(len(file))]
    config = AutoConfig.from_pretrained(made["base"].path("model"))

    class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
        began = used = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.process_time()

        def on_step_end(self, _args: Any, _state: Any, control: Any, **__: Any) -> None:
            self.used = time.process_time() - self.began
            control.should_training_stop |= self.used >= 60 * minutes

    def collate(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        width = max(len(row["input_ids"]) for row in rows)
        ids = torch.tensor([row["input_ids"] + [0] * (width - len(row["input_ids"])) for row in rows])
        mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (width - len(row["input_ids"])) for row in rows])
        return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}

    def train(steps: int) -> tuple[Any, float]:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        told = TrainingArguments(
            output_dir=str(folder / "peer"), per_device_train_batch_size=BATCH_SIZE, max_steps=steps,
            learning_rate=rate, warmup_steps=max(1, steps // 50), use_cpu=True, report_to=[], save_strategy="no",
            disable_tqdm=True, logging_strategy="no", seed=0,
        )  # fmt: skip
        clock = Clock()
        Trainer(model=model, args=told, train_dataset=examples, data_collator=collate, callbacks=[clock]).train()
        return model, clock.used

    train(2)
    speed = train(8)[1] / 8
    steps = max(1, int(60 * minutes / speed))
    model, used = train(steps)
    print(f"Trainer, rate {rate:g}: {steps} steps planned, {used:.0f} s used", flush=True)
    return replace(loaded, model=model.eval())


def bits_per_byte(loaded: Loaded, made: dict[str, Artifact]) -> float:
    """Of the held-out text, document by document; the first token of a piece counts as bytes and costs nothing."""
    file = PackedFile(made["pack"].path("valid.parquet"))
    generator = Transformers(Transformers.Settings())
    generator.use(loaded)
    pieces: list[list[int]] = []
    for index in range(len(file)):
        packed, at = file[index], 0
        for length in packed.lengths:
            pieces.append([int(token) for token in packed.input_ids[at : at + length]])
            at += length
    nats = -sum(float(found.sum()) for found in generator.score(pieces))
    num_bytes = sum(len(loaded.encoder.decode(piece[:-1]).encode()) for piece in pieces)
    return nats / math.log(2) / num_bytes


def share_that_parses(loaded: Loaded) -> tuple[float, str]:
    """Of samples at temperature 0.7, and one of them."""
    generator = Transformers(Transformers.Settings())
    generator.use(loaded)
    requests = [
        Request(prompt, max_tokens=SAMPLE_TOKENS, temperature=0.7, num_samples=SAMPLES_EACH, seed=number)
        for number, prompt in enumerate(PROMPTS)
    ]
    whole, shown = 0, ""
    for request, found in zip(requests, generator.complete(requests), strict=True):
        for completion in found:
            text = str(request.prompt) + completion.text
            kept = text if completion.finish_reason == "eos" else without_last_statement(text)
            whole += bool(kept.strip()) and parses(kept)
            shown = shown or text
    return whole / (len(PROMPTS) * SAMPLES_EACH), shown


def without_last_statement(text: str) -> str:
    """The text up to the last line that begins at the left margin: what follows may be cut short."""
    lines = text.split("\n")[:-1]
    while lines and (not lines[-1].strip() or lines[-1][0] in " \t)]}"):
        lines.pop()
    return "\n".join(lines[:-1])


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--peer-rate", type=float, default=2e-3)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--depth", type=int)
    parser.add_argument("--data", type=Path, help="where the artifacts are, or are kept for another time")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of our training")
    parser.add_argument("--only", choices=["ours", "peer"])
    told = parser.parse_args()
    minutes, depth, num_bytes = SIZES[told.size]
    minutes, depth = told.minutes or minutes, told.depth or depth
    threads = told.threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    folder = Path(tempfile.mkdtemp())
    made = kept(told.data, num_bytes, depth) if told.data else inputs(folder, num_bytes, depth)
    changes = dict(change.split("=", 1) for change in told.set)
    found: dict[str, tuple[float, float]] = {}
    for name in ("ours", "peer"):
        if told.only not in (None, name):
            continue
        loaded = (
            ours(made, folder, minutes, threads, changes)
            if name == "ours"
            else theirs(made, folder, minutes, told.peer_rate)
        )
        bits, (share, shown) = bits_per_byte(loaded, made), share_that_parses(loaded)
        print(f"{name}: {bits:.3f} bits a byte, {share:.0%} of samples parse; one of them:\n{shown}\n", flush=True)
        found[name] = bits, share
    if len(found) < 2:
        return
    from all import machine

    (bits, share), (peer_bits, peer_share) = found["ours"], found["peer"]
    print(json.dumps({
        "name": "scratch", "ours": round(bits, 3), "peer": round(peer_bits, 3),
        "peer_name": f"transformers Trainer, AdamW {told.peer_rate:g}, linear",
        "unit": f"bits per byte of held-out Python after {minutes:g} min of processor time (lower is better)",
        "ratio": round(peer_bits / bits, 2), "target": TARGET, "met": peer_bits / bits >= TARGET,
        "ours_parse": round(share, 3), "peer_parse": round(peer_share, 3), "threads": threads, "machine": machine(),
    }))  # fmt: skip


def kept(folder: Path, num_bytes: int, depth: int) -> dict[str, Artifact]:
    """Artifacts made before, with a base of the depth asked for."""
    from tests.conftest import as_artifact

    if not (folder / "pack").is_dir():
        inputs(folder, num_bytes, depth)
    made = {name: as_artifact(folder / name, name) for name in ("tokenizer", "pack")}
    return {**made, "base": run(base_of(depth), made, folder, f"base{depth}")}


if __name__ == "__main__":
    main()
