"""Memory of a training: what the plan computes from `config.json` against the measured peak of a process of its own.

    python benchmarks/estimate.py [--size small|full] [--model BASE]... [--methods LIST] [--length N]... [--layers N]

Each training makes two short steps of two micro-batches (the probe of `buril plan --probe`) on random tokens in
full-length documents, in fp32 or in what the processor multiplies natively. `small` is SmolLM2-135M with adapters at
256 tokens; `full` two models, three methods, 256 and 1,024 tokens: 20 GB and half an hour. The second model is taken
from the cache of Hugging Face or from a folder (`--model`); a model that is not there is said and left out. `--layers`
cuts the models to their first layers, for a machine that has not the memory: all else is as large as ever;
`--precision` says in what is multiplied. It prints a
table in Markdown; the last line is a JSON list, one object a row. `ratio` is computed by measured, and the target is
that it stays within 20 %.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from buril.core.allocator import start_frugally
from buril.core.errors import BurilError
from buril.train.base import Base
from buril.train.expect import expected_memory
from buril.train.probe import Probe, probe, probe_inputs
from buril.train.stage import Train

TARGET = 0.2
STEPS = 2


class Size(NamedTuple):
    """What is measured unless it is said otherwise: bases, methods, tokens of a sequence."""

    models: list[str]
    methods: str
    lengths: list[int]


SIZES = {
    "small": Size(["smollm2-135m"], "lora,qlora", [256]),
    "full": Size(["smollm2-135m", "Qwen/Qwen2.5-Coder-0.5B-Instruct"], "full,lora,qlora", [256, 1024]),
}


class How(NamedTuple):
    """How it is run: tokens of a sequence, layers computed twice, layers left of the model (0: all), number format."""

    length: int
    twice: int
    layers: int
    precision: str


def cut(folder: Path, layers: int) -> None:
    """Leave the first layers of a model alone."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(folder / "model.safetensors", framework="pt") as file:
        places = {name: re.search(r"\.layers\.(\d+)\.", name) for name in file.keys()}  # noqa: SIM118  no dict
        left = {name: file.get_tensor(name) for name, at in places.items() if at is None or int(at[1]) < layers}
        save_file(left, folder / "cut.safetensors", metadata={"format": "pt"})
    (folder / "cut.safetensors").rename(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kept = {"num_hidden_layers": layers, **({"max_window_layers": layers} if "max_window_layers" in config else {})}
    (folder / "config.json").write_text(json.dumps(config | kept), encoding="utf-8")


def measured(base: str, method: str, how: How) -> tuple[Probe, dict[str, float]]:
    """A probe of one training, and the parts that were computed for it."""
    from buril.tokens.pack import Pack
    from buril.tokens.tokenizer import Tokenizer

    stages = {
        "base": Base(Base.Settings(base=base)),
        "tokenizer": Tokenizer(Tokenizer.Settings(reuse="base")),
        "pack": Pack(Pack.Settings(max_length=how.length)),
    }
    settings = Train.Settings(
        method=method, micro_batch_tokens=how.length, checkpoint_layers=how.twice, precision=how.precision
    )
    with tempfile.TemporaryDirectory() as name:
        inputs = probe_inputs(stages, {}, Path(name))
        if how.layers:
            cut(inputs["base"].path("model"), how.layers)
        found = probe(settings, inputs, Path(name, "probe"), steps=STEPS, limit_s=3600)
        parts = {part: round(size / 1e6) for part, size in vars(expected_memory(settings, inputs)[0]).items()}
    return found, parts


def row(base: str, method: str, how: How) -> dict[str, Any]:
    """One training measured, told on the way."""
    from all import machine

    name = base.rstrip("/").rsplit("/", maxsplit=1)[-1]
    name += f" of {how.layers} layers" if how.layers else ""
    found, parts = measured(base, method, how)
    ratio = found.expected_mb / found.ram_mb
    told = f"computed {found.expected_mb:.0f} MB  measured {found.ram_mb:.0f} MB  ratio {ratio:.2f}"
    print(f"{name}  {method}  {how.length} tokens  {told}  {found.tokens_per_s:.0f} tokens/s  {parts}", flush=True)
    return {
        "name": f"estimate: {name}, {method}, {how.length} tokens", "ours": round(found.expected_mb),
        "peer": round(found.ram_mb), "peer_name": "measured peak of the process", "unit": "MB",
        "ratio": round(ratio, 3), "target": TARGET, "met": abs(ratio - 1) <= TARGET, "machine": machine(),
    }  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| model | method | tokens | computed MB | measured MB | computed / measured |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for found in rows:
        model, method, tokens = found["name"].removeprefix("estimate: ").removesuffix(" tokens").split(", ")
        lines.append(
            f"| {model} | {method} | {int(tokens):,} | {found['ours']:,} | {found['peer']:,} | {found['ratio']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--model", action="append", help="what `train.base` may be")
    parser.add_argument("--methods")
    parser.add_argument("--length", type=int, action="append")
    parser.add_argument("--twice", type=int, default=0, help="layers computed twice (checkpoint_layers)")
    parser.add_argument("--layers", type=int, default=0, help="cut the models to so many layers")
    parser.add_argument("--precision", default="auto", help="auto, fp32 or bf16")
    told = parser.parse_args()
    start_frugally()  # as the command does
    size, rows = SIZES[told.size], []
    models, methods = told.model or size.models, (told.methods or size.methods).split(",")
    for base, length, method in product(models, told.length or size.lengths, methods):
        try:
            rows.append(row(base, method, How(length, told.twice, told.layers, told.precision)))
        except BurilError as problem:
            print(f"{base}, {method}, {length} tokens: left out: {problem}", flush=True)
    print("\n" + table(rows) + "\n")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
