"""LoRA on real packages: what the base and the adapted model make of packages that the training never saw.

    python benchmarks/adapt.py [--size small|full] [--model NAME_OR_FOLDER] [--store FOLDER]

The whole chain runs: the permissively licensed Python packages installed here are collected, deduplicated, cleaned and
kept free of HumanEval's tasks; whole packages are dealt out to training, validation and test; an adapter learns; then
both models are examined on the test packages (perplexity, bits per byte, BLEU and exact match of function bodies) and
on HumanEval, greedily and as plain text. With `--store` an interrupted run goes on.

Intervals are of the paired bootstrap; those of perplexity and bits per byte draw whole packages, for files of one
package are alike. A perplexity is of its own tokenizer: between models only bits per byte compare. That the base has
read these packages in its own training is likely, so this is what adapting adds to that. Where no task or function
changed, the bootstrap's interval is empty: it holds nothing of those that were not asked. The peer is the base.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
from _stages import sized

from buril import Artifact, Chain, Store
from buril.core.allocator import start_frugally
from buril.evaluate.interval import paired_bootstrap
from buril.evaluate.suite import SuiteContext, SuiteResult
from buril.evaluate.suites.humaneval import Humaneval
from buril.generators.transformers import Transformers
from buril.sandboxes.namespaces import Namespaces

GOAL = 4.0
"""The perplexity that the guide asks for on Python; it names no tokenizer."""

NOT_CODE = ["*-stubs", "types-*", "mypy", "ruff", "tree-sitter-*"]
"""Packages whose Python is declarations for the most part."""


@dataclass(frozen=True)
class Size:
    """Steps of `batch` sequences of `length` tokens; files and functions examined; tasks of HumanEval."""

    steps: int
    batch: int
    length: int
    items: int
    tasks: int


HUMANEVAL = Path(__file__).resolve().parents[2] / "shared/data/eval/humaneval/HumanEval.jsonl.gz"
SIZES = {"small": Size(8, 4, 256, 12, 12), "full": Size(24, 4, 384, 32, 48)}


def chain(base: str, size: Size, rate: float) -> Chain:
    """The chain as a YAML would have it."""
    against = str(HUMANEVAL)
    return Chain.from_values({
        "name": "adapt", "seed": 1,
        "collect": {"sources": [{"packages": {"exclude": NOT_CODE}}], "max_files": 2500},
        "prepare": {"steps": [{"contamination": {"against": [against]}}]},
        "select": {"languages": ["python"], "max_bytes": 8_000_000},
        "split": {"train": 0.7, "valid": 0.05, "test": 0.25},
        "tokenizer": {"fim": False},
        "pack": {"fim_rate": 0, "max_length": size.length},
        "train": {
            "base": base, "method": {"lora": {"dropout": 0.0}}, "learning_rate": rate, "batch_size": size.batch,
            "max_steps": size.steps, "epochs": 100, "patience": 0, "eval_every": max(1, size.steps // 2),
            "eval_tokens": 6 * size.length,
        },
        "evaluate": {
            "suites": ["perplexity", "completion"], "max_items": size.items, "max_tokens": 96,
            "max_file_tokens": 2 * size.length, "max_prompt_bytes": 3 * size.length,
        },
    })  # fmt: skip


def by_package(evaluated: Artifact, measure: str) -> dict[str, Any]:
    """A row's figures of the two models over the test packages, each package drawn whole."""
    sums: list[dict[str, tuple[float, float]]] = []
    for model in ("base", "tuned"):
        found: dict[str, tuple[float, float]] = {}
        for line in evaluated.path(f"samples/perplexity.{model}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            loss, amount = found.get(row["repo"], (0.0, 0.0))
            amounts = {
                "perplexity": (math.log(row["perplexity"]) * row["tokens"], row["tokens"]),
                "bits_per_byte": (row["bits_per_byte"] * row["bytes"], row["bytes"]),
            }[measure]
            found[row["repo"]] = (loss + amounts[0], amount + amounts[1])
        sums.append(found)
    units = sorted(sums[0])
    first, second = (tuple([found[unit][part] for unit in units] for part in (0, 1)) for found in sums)
    change = np.exp if measure == "perplexity" else None
    values = [float((change or float)(sum(tops) / sum(bottoms))) for tops, bottoms in (first, second)]
    found_difference = paired_bootstrap(first, second, seed=0, transform=change)
    return {"values": values, "difference": found_difference[:3], "units": f"{len(units)} packages"}


def by_function(evaluated: Artifact, measure: str) -> dict[str, Any]:
    """A row's figures of the completions of function bodies."""
    told = evaluated.json("results.json")["suites"]["completion"]["metrics"][measure]
    difference = [told["difference"][key] for key in ("value", "low", "high")]
    values = [told[model]["value"] for model in ("base", "tuned")]
    return {"values": values, "difference": difference, "units": f"{told['base']['n']} functions"}


def humaneval(made: dict[str, Artifact], number: int, folder: Path) -> dict[str, Any]:
    """A row's figures of HumanEval, by the product's own suite; what a model solved is kept in the folder."""
    suite = Humaneval(Humaneval.Settings(path=HUMANEVAL, prompt="plain"))
    measures = []
    with Namespaces(Namespaces.Settings()) as sandbox:
        for model, made_by in (("base", made["base"]), ("tuned", made["train"])):
            kept = folder / f"humaneval-{made_by.digest[:12]}-{number}-of-suite.json"
            if not kept.exists():
                generator = Transformers(Transformers.Settings())
                context = SuiteContext(generator, made["split"], lambda: sandbox, max_items=number, max_tokens=256)
                suite.check(context)
                adapter = made["train"].path("adapter") if model == "tuned" else None
                generator.open(made["base"].path("model"), made["tokenizer"].path("tokenizer"), adapter_dir=adapter)
                kept.write_text(json.dumps(suite.run(context).to_json()))
            measures.append(SuiteResult.from_json(json.loads(kept.read_text())).measures["pass@1"])
    first, second = measures
    difference = first.difference(second, 0)
    assert difference is not None
    values = [sum(measure.numerators) / number for measure in measures]
    return {"values": values, "difference": difference[:3], "units": f"{number} tasks"}


UNITS = {
    "perplexity": "perplexity a token of its own tokenizer",
    "bits_per_byte": "bits a byte",
    "bleu": "BLEU of function bodies",
    "exact_match": "share of function bodies met exactly",
    "humaneval": "HumanEval pass@1, greedy, plain",
}


def rows(model: str, found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each measure; `difference` is tuned minus base with its interval."""
    from all import machine

    made = []
    for name, told in found.items():
        (base, tuned), (_, low, high) = told["values"], told["difference"]
        lower = name in ("perplexity", "bits_per_byte")
        met = tuned < GOAL if name == "perplexity" else high < 0 if lower else high >= 0
        worse, better = (base, tuned) if lower else (tuned, base)
        made.append({
            "name": f"adapt {model}: {name}", "ours": round(tuned, 4), "peer": round(base, 4), "peer_name": "its base",
            "unit": f"{UNITS[name]}, {told['units']}", "ratio": round(worse / better, 3) if better else 1.0,
            "target": f"< {GOAL:g}" if name == "perplexity" else "lower" if lower else "not lost", "met": met,
            "difference": [round(value, 4) for value in told["difference"]], "machine": machine(),
        })  # fmt: skip
        print(f"{name:14s} {base:.4f} -> {tuned:.4f}, {tuned - base:+.4f} [{low:+.4f}, {high:+.4f}], {told['units']}",
              flush=True)  # fmt: skip
    return made


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="smollm2-135m", help="what `train.base` may be")
    parser.add_argument("--rate", type=float, default=5e-4, help="learning rate at its peak")
    parser.add_argument("--store", type=Path, help="where the artifacts are kept for another time")
    told, size = sized(parser, SIZES)
    start_frugally()  # as the command does
    folder = told.store or Path(tempfile.mkdtemp())
    made = chain(told.model, size, told.rate).run(Store(folder)).artifacts
    parts = made["split"].json("summary.json")["parts"]
    told_parts = {part: {key: parts[part][key] for key in ("bytes", "files", "units")} for part in parts}
    print(f"{size}; packages dealt out: {told_parts}; training: {made['train'].manifest.metrics}", flush=True)
    found = {name: by_package(made["evaluate"], name) for name in ("perplexity", "bits_per_byte")}
    found |= {name: by_function(made["evaluate"], name) for name in ("bleu", "exact_match")}
    if HUMANEVAL.exists() and size.tasks:
        found["humaneval"] = humaneval(made, size.tasks, folder)
    print(json.dumps(rows(made["base"].json("base.json")["name"], found)))


if __name__ == "__main__":
    main()
