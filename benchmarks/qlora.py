"""4-bit weights: their memory against bf16, and what the quantisation costs in loss on real code.

    python benchmarks/qlora.py [--size small|full] [--model BASE]...     (both sizes are the same)

Weights are counted as they lie in memory, scales included: those of the quantised linear layers, and those of the whole
model, whose embedding stays in bf16. The loss is the mean of the same tokens of the standard library's files, in fp32,
before and after. The last line is a JSON list; `ratio` is the share of memory that is saved.
"""

from __future__ import annotations

import argparse
import json
import os
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

TARGET = 0.7
FILES = ("bisect.py", "heapq.py", "shlex.py", "textwrap.py")
LENGTH = 512


def loss(model: Any, tokenizer: Any) -> float:
    """Mean loss over the first tokens of some files."""
    folder, total, number = Path(sysconfig.get_path("stdlib")), 0.0, 0
    for name in FILES:
        ids = tokenizer((folder / name).read_text(encoding="utf-8"), return_tensors="pt").input_ids[:, :LENGTH]
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1].float()
        total += float(torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        number += ids.shape[1] - 1
    return total / number


def folder_of(base: str, place: Path) -> Path:
    """The folder of a base model, as the stage `base` writes it."""
    from buril.core.events import EventLog
    from buril.core.stage import Output
    from buril.train.base import Base

    out = Output(place / "base", EventLog(place / "events.jsonl"), "base")
    Base(Base.Settings(base=base)).run({}, out)
    return out.folder / "model"


def rows(base: str) -> list[dict[str, Any]]:
    """The two rows of a model, and its loss."""
    with tempfile.TemporaryDirectory() as place:
        return rows_of(Path(base).name, folder_of(base, Path(place)))


def rows_of(title: str, folder: Path) -> list[dict[str, Any]]:
    from all import machine
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from buril.train.methods._quantised import is_quantised, num_bytes, num_weights, quantise

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    before = loss(model, tokenizer)
    quantise(model, torch.device("cpu"), dtype=torch.float32, double=True)
    after = loss(model, tokenizer)
    linear = [layer.weight for layer in model.modules() if is_quantised(layer)]
    known = {id(weight) for weight in linear}
    rest = sum(weight.numel() for weight in model.parameters() if id(weight) not in known)
    weights, size = sum(map(num_weights, linear)), sum(map(num_bytes, linear))
    print(f"{title}: loss {before:.4f} → {after:.4f} nats; {8 * size / weights:.3f} bits a linear weight")
    found = []
    for name, plain, small in (
        ("linear layers", 2 * weights, size), ("whole model", 2 * (weights + rest), size + 2 * rest),
    ):  # fmt: skip
        saved = 1 - small / plain
        print(f"  {name}: {plain / 1e6:.1f} MB in bf16, {small / 1e6:.1f} MB in NF4: −{saved:.1%}")
        found.append({
            "name": f"qlora: {title}, {name}", "ours": round(small / 1e6, 1), "peer": round(plain / 1e6, 1),
            "peer_name": "bf16", "unit": "MB", "ratio": round(saved, 3), "target": TARGET, "met": saved >= TARGET,
            "loss_before": round(before, 4), "loss_after": round(after, 4), "machine": machine(),
        })  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--model", action="append", default=[], help="what `train.base` may be")
    print(json.dumps([row for base in parser.parse_args().model or ["smollm2-135m"] for row in rows(base)]))


if __name__ == "__main__":
    main()
