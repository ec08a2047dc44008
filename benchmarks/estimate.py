"""Memory of a training: what the plan computes from `config.json` against the measured peak of a process of its own.

    python benchmarks/estimate.py [--size small|full] [--model BASE]... [--methods LIST] [--length TOKENS] [--twice N]

Each pair of model and method trains a few short steps of two micro-batches (the probe of `buril plan --probe`) on
random tokens in full-length documents, in fp32 or in what the processor multiplies natively. The last line is a JSON
list, one object a row; `ratio` is computed by measured, and the target is that it stays within 20 %.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from buril.train.base import Base
from buril.train.expect import expected_memory
from buril.train.probe import Probe, probe, probe_inputs
from buril.train.stage import Train

TARGET = 0.2
SIZES = {"small": ("lora,qlora", 256), "full": ("lora,qlora,full", 1024)}
"""Methods and tokens of a sequence."""


def measured(base: str, method: str, length: int, twice: int) -> tuple[Probe, dict[str, float]]:
    """A probe of one training, and the parts that were computed for it."""
    from buril.tokens.pack import Pack
    from buril.tokens.tokenizer import Tokenizer

    stages = {
        "base": Base(Base.Settings(base=base)),
        "tokenizer": Tokenizer(Tokenizer.Settings(reuse="base")),
        "pack": Pack(Pack.Settings(max_length=length)),
    }
    settings = Train.Settings(method=method, micro_batch_tokens=length, checkpoint_layers=twice)
    with tempfile.TemporaryDirectory() as name:
        inputs = probe_inputs(stages, {}, Path(name))
        found = probe(settings, inputs, Path(name, "probe"), steps=2, limit_s=3600)
        parts = {part: round(size / 1e6) for part, size in vars(expected_memory(settings, inputs)[0]).items()}
    return found, parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--model", action="append", default=[], help="what `train.base` may be")
    parser.add_argument("--methods")
    parser.add_argument("--length", type=int)
    parser.add_argument("--twice", type=int, default=0, help="layers computed twice (checkpoint_layers)")
    told = parser.parse_args()
    from all import machine

    methods, length = told.methods or SIZES[told.size][0], told.length or SIZES[told.size][1]
    rows = []
    for base in told.model or ["smollm2-135m"]:
        name = Path(base).name
        for method in methods.split(","):
            found, parts = measured(base, method, length, told.twice)
            ratio = found.expected_mb / found.ram_mb
            print(f"{name:32} {method:6} {length} tokens  computed {found.expected_mb:7.0f} MB  "
                  f"measured {found.ram_mb:7.0f} MB  ratio {ratio:.2f}  {found.tokens_per_s:.0f} tokens/s  {parts}",
                  flush=True)  # fmt: skip
            rows.append({
                "name": f"estimate: {name}, {method}, {length} tokens", "ours": round(found.expected_mb),
                "peer": round(found.ram_mb), "peer_name": "measured peak of the process", "unit": "MB",
                "ratio": round(ratio, 3), "target": TARGET, "met": abs(ratio - 1) <= TARGET, "machine": machine(),
            })  # fmt: skip
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
