"""Adapters beside each other: what a batch that mixes them costs against one merged model, in time and in memory.

    python benchmarks/adapters.py [--model NAME_OR_FOLDER] [--engine NAME] [--threads N] [--adapters N] [--rounds N]

Adapters of rank 16 on all layers with random numbers (how fast they are does not depend on what was learnt) are written
as PEFT writes them. The same requests, holes in files of the standard library, go to two engines in turns: one that has
the first adapter merged into its weights, and one that has all of them beside the base, each request naming another.

Lines: tokens a second of processor time (what else runs meanwhile hardly counts) of the mixed batch against the merged
model, memory of the adapters against that of as many merged models, and seconds that writing stands still while one
more adapter is read.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from all import machine

from buril.core.allocator import start_frugally
from buril.core.plugins import plugin
from buril.core.store import Store
from buril.generators._generator import Adapter, Request
from serve import holes, store_of

RANK, TOKENS, ROWS = 16, 32, 8


def write_adapters(base: Path, folder: Path, number: int) -> list[Path]:
    """PEFT folders with random matrices."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    told = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, told)
    found = []
    for seed in range(number):
        torch.manual_seed(seed)
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.data.normal_(std=0.01)
        adapted.save_pretrained(folder / f"a{seed}")
        found.append(folder / f"a{seed}")
    return found


def made(store: Store, engine: str, threads: int, **given: Any) -> Any:
    """An engine on the base: with one adapter merged (`merged`), or several beside it (`beside`)."""
    found = plugin("generator", engine)
    generator = found(found.Settings(**({"threads": threads} if engine != "transformers" else {})))
    links = next(iter(store.refs().values()))
    base, tokenizer = (store.linked(links[name]) for name in ("base", "tokenizer"))
    assert base and tokenizer
    if "beside" in given:
        generator.adapters(given["beside"])
    generator.open(base.folder, tokenizer.folder, adapter_dir=given.get("merged"))
    return generator


def rate(generator: Any, names: list[str], places: list[tuple[str, str]]) -> float:
    """Tokens a second of processor time, the requests all at once, each with its adapter; prompts are not counted."""
    session = generator.session()
    session.writer.end_ids = frozenset()
    rows = [
        session.rows(Request(*hole, max_tokens=TOKENS, adapter=name))[0]
        for name, hole in zip(names, places, strict=True)
    ]
    session.add(rows)
    while not all(row.ids for row in rows):
        session.step()
    before, began = sum(len(row.ids) for row in rows), time.process_time()
    while len(session):
        session.step()
    return (sum(len(row.ids) for row in rows) - before) / (time.process_time() - began)


def main() -> None:
    """Write, compare."""
    read = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    read.add_argument("--model", default="smollm2-135m")
    read.add_argument("--engine", default="openvino")
    read.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    read.add_argument("--adapters", type=int, default=4)
    read.add_argument("--rounds", type=int, default=5)
    told = read.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(told.threads)
    with tempfile.TemporaryDirectory(prefix="buril-adapters-") as folder:
        store = store_of(Path(folder), told.model)
        base = store.linked(next(iter(store.refs().values()))["base"])
        assert base
        folders = write_adapters(base.path("model"), Path(folder), told.adapters + 1)
        given = {path.name: Adapter(path) for path in folders[:-1]}
        beside = made(store, told.engine, told.threads, beside=given)
        merged = made(store, told.engine, told.threads, merged=folders[0])
        places = holes(ROWS)
        names = [list(given)[place % len(given)] for place in range(ROWS)]
        rounds = [
            (rate(beside, names, places), rate(merged, [""] * ROWS, places)) for _round in range(told.rounds + 1)
        ][1:]
        began = time.perf_counter()
        beside.adapters({**given, "more": Adapter(folders[-1])})
        swap_s = time.perf_counter() - began
        stack = beside._stack
        size = sum(part.nbytes for pair in stack.matrices.values() for part in pair) / 1e6
        whole = base.path("model/model.safetensors").stat().st_size / 1e6 * (told.adapters + 1)
    ours, peer = (statistics.median(values) for values in zip(*rounds, strict=True))
    ratio = statistics.median(one / other for one, other in rounds)
    mixes = f"adapters: tokens a second of {ROWS} requests that mix {told.adapters} adapters, {told.engine}"
    print(json.dumps([
        {"name": mixes, "ours": round(ours, 1), "peer": round(peer, 1), "peer_name": "one adapter, merged",
         "unit": "tokens/CPU s", "ratio": round(ratio, 2), "target": 0.5, "met": ratio >= 0.5, "machine": machine()},
        {"name": f"adapters: memory of {told.adapters + 1} adapters", "ours": round(size, 1), "peer": round(whole),
         "peer_name": "as many merged models", "unit": "MB", "ratio": round(size / whole, 3), "target": 0.1,
         "met": size <= 0.1 * whole, "machine": machine()},
        {"name": "adapters: seconds that writing stands still for one more", "ours": round(swap_s, 2), "peer": None,
         "peer_name": "none", "unit": "s", "ratio": None, "target": 2.0, "met": swap_s <= 2.0, "machine": machine()},
    ]))  # fmt: skip


if __name__ == "__main__":
    start_frugally()
    main()
