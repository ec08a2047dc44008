"""Ablation of the objective `syntax`: the share of sampled completions that parse, beside plain cross-entropy.

    python benchmarks/syntax.py [--size small|full] [--tune] [--objective NAME]

A model of a million parameters learns the standard library and installed packages from random weights, once for each
objective and seed: same first weights, same sequences in the same order, same number of steps. Then it goes on from
real prompts of packages that no training saw; a completion is cut after its last whole statement and parsed with its
prompt by tree-sitter. Intervals are of the paired bootstrap over prompts. `--tune` compares settings on one seed and on
other prompts (the validation packages'), so that what is reported was not chosen by what it is reported on. The peer is
cross-entropy.
"""

from __future__ import annotations

import argparse
import json
import math
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _stages import after_split, run

from buril.code.codefile import CodeFile
from buril.code.parse import parse
from buril.core.artifact import Artifact
from buril.evaluate.interval import paired_bootstrap, wilson
from buril.generators._generator import Request
from buril.generators._load import load
from buril.generators.transformers import Transformers
from buril.tokens.pack import Pack
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base
from buril.train.batch import PackedFile
from buril.train.stage import Train

STEPS = {"small": 300, "full": 3000}
BATCH, LENGTH, DEPTH, VOCAB = 8, 256, 4, 2048
SEEDS, PROMPTS, NEW_TOKENS, TEMPERATURE = (1, 2), 500, 40, 0.7
TRAIN_BYTES = {"small": 2_000_000, "full": 12_000_000}
VALID = ("yaml", "rich", "jinja2")
TEST = ("click", "packaging", "pygments", "requests", "httpx", "anyio", "idna", "urllib3")
OBJECTIVES: dict[str, Any] = {
    "cross_entropy": "cross_entropy",
    "syntax": {"syntax": {}},
    "weights": {"syntax": {"structure": 0.5, "illegal": 0}},
    "illegal": {"syntax": {"structure": 0, "illegal": 4}},
    "both": {"syntax": {"structure": 0.25, "illegal": 2}},
}
TUNED = ("cross_entropy", "illegal", "both", "syntax")


def rows(part: str, limit: int) -> list[CodeFile]:
    """Python files of a part: the standard library to learn from, packages apart from it to be asked about."""
    stdlib, packages = Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))
    if part == "train":
        paths = sorted(path for path in stdlib.rglob("*.py") if not {"test", "tests", "site-packages"} & {*path.parts})
        np.random.default_rng(0).shuffle(paths)  # type: ignore[arg-type]
    else:
        paths = sorted(
            path for name in {"valid": VALID, "test": TEST}[part] for path in (packages / name).rglob("*.py")
        )
    found, size = [], 0
    for path in paths:
        text = path.read_text("utf-8", "replace")
        if size < limit and 200 < len(text) < 60_000 and not parse("python", text.encode()).root_node.has_error:
            found.append(CodeFile(path.parts[-2], str(path)[-60:], text, language="python"))
            size += len(text)
    return found


def inputs(folder: Path, size: str) -> dict[str, Artifact]:
    """The artifacts that every training reads, made by the stages themselves."""
    stages = (
        Tokenizer(Tokenizer.Settings(train="bpe", vocab=VOCAB)),
        Base(Base.Settings(base="scratch", depth=DEPTH, max_length=LENGTH)),
        Pack(Pack.Settings(max_length=LENGTH, fim_rate=0, structure=True, workers=1)),
    )
    return after_split(folder, stages, train=rows("train", TRAIN_BYTES[size]), valid=rows("valid", 300_000))


def train(made: dict[str, Artifact], folder: Path, objective: Any, *, seed: int, steps: int) -> dict[str, Any]:
    """Train; gives back where the model is and what its training came to."""
    folder.mkdir(parents=True)
    base = run(Base(Base.Settings(base="scratch", depth=DEPTH, max_length=LENGTH, seed=seed)), made, folder)
    given = {**made, "base": base}
    settings = Train.Settings(
        method="full", objective=objective, max_steps=steps, epochs=100, batch_size=BATCH, learning_rate=3e-3,
        patience=0, threads=1, device="cpu", precision="fp32", seed=seed, eval_tokens=30_000, eval_every=steps,
        checkpoint_every_s=1e9,
    )  # fmt: skip
    began = time.perf_counter()
    out = run(Train(settings), given, folder).folder
    told = json.loads((out / "train.json").read_text())
    return {
        "folder": out,
        "base": given["base"].folder,
        "loss": told["best_valid_loss"],
        "s": time.perf_counter() - began,
    }


def bits_per_byte(made: dict[str, Artifact], loss: float) -> float:
    """Validation loss in bits a byte of text."""
    import pyarrow.parquet as pq

    file = PackedFile(made["pack"].path("valid.parquet"))
    targets = sum(file[index].num_targets for index in range(len(file)))
    num_bytes = sum(pq.read_table(path)["bytes"].to_numpy().sum() for path in made["split"].files("valid/*.parquet"))
    return float(loss * targets / num_bytes / math.log(2))


def prompts(part: str, number: int) -> list[str]:
    """Beginnings of real files, cut after a line inside of a function where what stands so far parses."""
    random, found = np.random.default_rng(7), []
    files = rows(part, 3_000_000)
    while len(found) < number:
        lines = files[int(random.integers(len(files)))].content.splitlines(keepends=True)
        end = int(random.integers(1, len(lines)))
        text = "".join(lines[max(0, end - 25) : end])
        if lines[end - 1].startswith("    ") and "\n" in text and parses(text):
            found.append(text)
    return found


def parses(text: str) -> bool:
    return not parse("python", text.encode("utf-8", "replace")).root_node.has_error


def whole(completion: str) -> Iterator[str]:
    """The completion cut after its last line, then after the line before it where that one ends nothing."""
    lines = completion.splitlines(keepends=True)
    lines = lines if completion.endswith("\n") else lines[:-1]
    for number in range(len(lines), max(0, len(lines) - 2), -1):
        yield "".join(lines[:number])


def share(made: dict[str, Artifact], model: dict[str, Any], asked: list[str]) -> np.ndarray:
    """Of each prompt whether its completion parses: as a whole, or without the statement that the limit cut."""
    generator = Transformers(Transformers.Settings(dtype="fp32", device="cpu", batch_size=64))
    generator.use(
        load(model["base"], made["tokenizer"].folder, model_dir=model["folder"] / "model", dtype="fp32", device="cpu")
    )
    requests = [
        Request(
            tuple(generator.encode(text)[-(LENGTH - NEW_TOKENS) :]),
            max_tokens=NEW_TOKENS,
            temperature=TEMPERATURE,
            seed=number,
        )
        for number, text in enumerate(asked)
    ]
    answers = [found[0].text for found in generator.complete(requests)]
    return np.array(
        [any(parses(text + part) for part in whole(answer)) for text, answer in zip(asked, answers, strict=True)],
        dtype=float,
    )


def measure(size: str, names: list[str], seeds: tuple[int, ...], part: str) -> dict[str, Any]:
    """Train each objective with each seed and ask it; prints a line for each."""
    folder = Path(tempfile.mkdtemp())
    made = inputs(folder, size)
    asked = prompts(part, PROMPTS)
    print(f"pack: {made['pack'].json('summary.json')}", flush=True)
    found: dict[str, Any] = {name: {"bpb": [], "parses": []} for name in names}
    for seed in seeds:
        for name in names:
            model = train(made, folder / f"{name}-{seed}", OBJECTIVES[name], seed=seed, steps=STEPS[size])
            good, bpb = share(made, model, asked), bits_per_byte(made, model["loss"])
            found[name]["bpb"].append(bpb)
            found[name]["parses"].append(good)
            told = wilson(float(good.sum()), len(good))
            line = f"seed {seed} {name:<14} parse {told.value:.3f} [{told.low:.3f}, {told.high:.3f}]"
            print(f"{line}  {bpb:.4f} bits/byte  {model['s']:.0f} s", flush=True)
    return found


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=STEPS, default="small")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--objective", choices=OBJECTIVES, default="syntax")
    told = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    if told.tune:
        measure(told.size, list(TUNED), (0,), "valid")
        return
    names = ["cross_entropy", told.objective]
    found = measure(told.size, names, SEEDS, "test")
    peer, ours = (np.mean(found[name]["parses"], axis=0) for name in names)  # a prompt's mean over seeds
    ones = np.ones(len(peer))
    change = paired_bootstrap((peer, ones), (ours, ones), seed=0)
    bpb = {name: float(np.mean(found[name]["bpb"])) for name in names}
    print(f"difference {change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}]; bits/byte {bpb}")
    from all import machine

    print(json.dumps({
        "name": "syntax", "ours": round(float(ours.mean()), 4), "peer": round(float(peer.mean()), 4),
        "peer_name": "cross-entropy, same weights, data and steps", "unit": "share of completions that parse",
        "ratio": round(float(ours.mean() / peer.mean()), 3), "target": 1.0, "met": change.low > 0, "machine": machine(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
