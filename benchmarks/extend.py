"""An extended vocabulary against the base's own, taught the same bytes of one code base.

    python benchmarks/extend.py [--size small|full] [--base NAME_OR_FOLDER]

`tokenizer.extend` joins the frequent words of sympy to tokens, whose embeddings begin as the mean of their pieces':
texts are shorter, and the model has to learn the new tokens. Both models then learn the same files of sympy once, with
an adapter; the extended one makes fewer steps, for it has fewer tokens. Bits per byte of held-out sympy files are told
at the start, on the way with the bytes read so far, and at the end with the processor time. The interval is of the
paired bootstrap over held-out files. The peer is `reuse`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pyarrow.parquet as pq
from _stages import after_split, as_artifact, run
from syntax import bits_per_byte

from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.evaluate.interval import paired_bootstrap
from buril.generators.transformers import Transformers
from buril.tokens.pack import Pack
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base
from buril.train.stage import Train


@dataclass(frozen=True)
class Size:
    """Bytes to learn from, held-out files of which the first `head_bytes` are scored, bytes the words are found in."""

    train_bytes: int
    files: int
    head_bytes: int
    words_bytes: int


SIZES = {"small": Size(30_000, 8, 1500, 3_000_000), "full": Size(200_000, 40, 2500, 30_000_000)}
WORDS, LENGTH, BATCH, EVALUATIONS = 2000, 512, 4, 4
RATE = 5e-4
WAYS: dict[str, dict[str, Any]] = {"reuse": {"reuse": "base", "fim": False}, "extend": {"extend": WORDS, "fim": False}}


def files() -> list[CodeFile]:
    """The files of sympy in an order drawn once, without tests and tables."""
    root = Path(sysconfig.get_path("purelib")) / "sympy"
    paths = sorted(path for path in root.rglob("*.py") if "tests" not in path.parts and "benchmarks" not in path.parts)
    texts = [(str(path.relative_to(root)), path.read_text("utf-8")) for path in paths]
    rows = [CodeFile("sympy", path, text, language="python") for path, text in texts if 1_000 < len(text) < 60_000]
    return [rows[int(place)] for place in np.random.default_rng(0).permutation(len(rows))]


def up_to(rows: list[CodeFile], limit: int) -> list[CodeFile]:
    """The first rows, up to so many bytes."""
    total = np.cumsum([row.bytes for row in rows])
    return rows[: int(np.searchsorted(total, limit)) + 1]


def prepare(folder: Path, way: str, base: str, size: Size) -> tuple[dict[str, Artifact], list[CodeFile]]:
    """The artifacts of one way, and the held-out rows."""
    every = files()
    held, rest = every[: size.files], every[size.files :]
    stages = (Base(Base.Settings(base=base)), Tokenizer(Tokenizer.Settings(**WAYS[way])))
    made = after_split(folder, stages, train=up_to(rest, size.words_bytes), valid=held)
    write_rows(folder / "few/train/00000.parquet", up_to(rest, size.train_bytes))
    write_rows(folder / "few/valid/00000.parquet", [CodeFile("sympy", row.path, head(row, size)) for row in held])
    made["split"] = as_artifact(folder / "few", "split")
    made["pack"] = run(Pack(Pack.Settings(max_length=LENGTH, fim_rate=0, workers=1)), made, folder)
    return made, held


def head(row: CodeFile, size: Size) -> str:
    """The beginning of a file, cut at a line."""
    return row.content[: row.content.find("\n", size.head_bytes) + 1] or row.content


def learn(made: dict[str, Artifact], folder: Path) -> tuple[Artifact, float]:
    """Train once over the sequences; the artifact, and seconds of processor time."""
    sequences = made["pack"].json("summary.json")["sequences"]
    steps = max(1, round(sequences / BATCH))
    settings = Train.Settings(
        method={"lora": {"dropout": 0.0}}, learning_rate=RATE, batch_size=BATCH, max_steps=steps, epochs=2, patience=0,
        eval_every=max(1, round(steps / EVALUATIONS)), eval_tokens=1_000_000, checkpoint_every_s=1e9,
    )  # fmt: skip
    began = time.process_time()
    return run(Train(settings), made, folder), time.process_time() - began


def bits(made: dict[str, Artifact], trained: Artifact | None, texts: list[str]) -> np.ndarray:
    """Bits and bytes of each text (F, 2); its first token costs nothing, with either vocabulary."""
    generator = Transformers(Transformers.Settings())
    adapter = trained.path("adapter") if trained else None
    generator.open(made["base"].path("model"), made["tokenizer"].path("tokenizer"), adapter_dir=adapter)
    scores = generator.score([generator.encode("\n" + text) for text in texts])
    nats = [-float(found.sum(dtype="float64")) for found in scores]
    return np.array([(loss / math.log(2), len(text.encode())) for loss, text in zip(nats, texts, strict=True)])


def curve(made: dict[str, Artifact], trained: Artifact) -> list[tuple[int, float]]:
    """Bytes read so far and bits per byte of the held-out heads, at each evaluation."""
    learnt = sum(pq.read_table(path)["bytes"].to_numpy().sum() for path in made["split"].files("train/*.parquet"))
    tokens, points = made["pack"].json("summary.json")["tokens"], json.loads(trained.path("curve.json").read_text())
    return [
        (int(point["tokens"] / tokens * learnt), round(bits_per_byte(made, point["valid_loss"]), 4))
        for point in points
        if "valid_loss" in point
    ]


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--base", default="smollm2-135m")
    told = parser.parse_args()
    size = SIZES[told.size]
    before, after = {}, {}
    for way in WAYS:
        folder = Path(tempfile.mkdtemp())
        made, held = prepare(folder, way, told.base, size)
        texts = [head(row, size) for row in held]
        before[way] = bits(made, None, texts)
        trained, seconds = learn(made, folder)
        after[way] = bits(made, trained, texts)
        summary = made["pack"].json("summary.json")
        start, end = (float(found[:, 0].sum() / found[:, 1].sum()) for found in (before[way], after[way]))
        ids = made["tokenizer"].json("fim.json")["vocab_size"]
        print(f"{way}: {ids} ids, {summary['tokens']} tokens to learn from, "
              f"{start:.4f} -> {end:.4f} bits a byte, {seconds:.0f} s of processor time; on the way "
              f"{curve(made, trained)}", flush=True)  # fmt: skip
    first, second = ((found[:, 0], found[:, 1]) for found in (after["reuse"], after["extend"]))
    change = paired_bootstrap(first, second, seed=0)
    print(f"difference {change.value:+.4f} [{change.low:+.4f}, {change.high:+.4f}]")
    from all import machine

    peer, ours = (float(sum(found[0]) / sum(found[1])) for found in (first, second))
    print(json.dumps({
        "name": "extend", "ours": round(ours, 4), "peer": round(peer, 4), "peer_name": "reuse, same bytes",
        "unit": f"bits a byte of held-out sympy after {size.train_bytes / 1e3:g} kB", "ratio": round(peer / ours, 3),
        "target": "lower", "met": change.high < 0, "difference": [round(value, 4) for value in change[:3]],
        "machine": machine(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
