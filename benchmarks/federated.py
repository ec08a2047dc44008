"""What it costs not to bring the data together: three clients with disjoint repositories beside central training.

    python benchmarks/federated.py [--size small|full] [--tune]

A model of a million parameters learns the standard library; it is the base. Then adapters learn three installed
packages: at one place with all of the text, or as a federation of which each client has one package. Both make the same
number of steps and read about the same number of tokens: the batch at one place is as large as those of the clients
together. What is compared is the perplexity of files of these packages that nobody learnt, after the last step, each
way at the better of two learning rates. `--tune` compares ways of averaging, kept and forgotten moments of the
optimizer, FedProx, the secure sum (where Flower is installed) and noise. The peer is central training.
"""

from __future__ import annotations

import argparse
import json
import math
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from _stages import after_split, run

from buril.code.codefile import CodeFile
from buril.core.artifact import Artifact
from buril.tokens.pack import Pack
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base
from buril.train.federated.adapter import Shared
from buril.train.federated.client import Client
from buril.train.stage import Train

BASE_STEPS = {"small": 120, "full": 4000}
STEPS = {"small": 40, "full": 300}
BATCH, LENGTH, DEPTH, VOCAB, RANK, ROUNDS = 4, 256, 4, 2048, 16, 5
RATES = (4e-3, 1.6e-2)
CLIENTS = ("rich", "networkx", "sqlglot", "jinja2", "pygments", "yaml", "click")
"""Packages, each a repository; the first three that are installed are the clients'."""
TEXT = 400_000
"""Bytes of a package at most: the clients shall have about as much."""


def files(folder: Path, repo: str, limit: int) -> list[CodeFile]:
    """Python files of a folder, up to so many bytes, in an order that is always the same."""
    aside = {"test", "tests", "site-packages"}
    paths = sorted(path for path in folder.rglob("*.py") if not aside & {*path.relative_to(folder).parts})
    np.random.default_rng(0).shuffle(paths)  # type: ignore[arg-type]
    found, size = [], 0
    for path in paths:
        text = path.read_text("utf-8", "replace")
        if size < limit and 200 < len(text) < 60_000:
            found.append(CodeFile(repo, path.relative_to(folder).as_posix(), text, language="python"))
            size += len(text)
    return found


def inputs(folder: Path, size: str) -> dict[str, Artifact]:
    """A base that knows Python, and the sequences of three packages; a fifth of their files is held out."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    small, pack = folder / "base-training", Pack(Pack.Settings(max_length=LENGTH, fim_rate=0, workers=1))
    general = files(stdlib, "stdlib", 3_000_000)
    random = Base(Base.Settings(base="scratch", depth=DEPTH, max_length=LENGTH))
    stages = (Tokenizer(Tokenizer.Settings(train="bpe", vocab=VOCAB)), random, pack)
    made = after_split(small, stages, train=general[10:], valid=general[:10])
    settings = Train.Settings(
        method="full", max_steps=BASE_STEPS[size], epochs=100, batch_size=8, threads=1, device="cpu", precision="fp32",
        eval_every=BASE_STEPS[size], eval_tokens=20_000,
    )  # fmt: skip
    base = run(Train(settings), made, small)
    print(f"base: {base.json('train.json')['best_valid_loss']:.3f} nats/token on the standard library", flush=True)
    there = {name: found for name in CLIENTS if (found := find_spec(name))}
    places = {name: Path(found.origin or "").parent for name, found in list(there.items())[:3]}
    parts = {name: files(place, name, TEXT) for name, place in places.items()}
    train = [item for found in parts.values() for item in found[len(found) // 5 :]]
    valid = [item for found in parts.values() for item in found[: len(found) // 5]]
    (base.folder / "base.json").write_text(json.dumps({"kind": "folder", "name": "toy", "parameters": 0}))
    told = after_split(folder / "clients", (), train=train, valid=valid)
    return {
        "base": base, "tokenizer": made["tokenizer"], "split": told["split"],
        "pack": run(pack, {**told, "tokenizer": made["tokenizer"]}, folder / "clients"),
    }  # fmt: skip


def trained(made: dict[str, Artifact], folder: Path, size: str, told: dict[str, Any]) -> dict[str, Any]:
    """Perplexity of the held-out files after the last step, seconds, and bytes a round where there are rounds."""
    federated = told.get("federated")
    settings = Train.Settings(
        method={"lora": {"rank": RANK, "dropout": 0}}, max_steps=STEPS[size], epochs=100,
        batch_size=BATCH if federated else 3 * BATCH, threads=1, device="cpu", precision="fp32", patience=0,
        eval_tokens=40_000, eval_every=STEPS[size], checkpoint_every_s=1e9, **told,
    )  # fmt: skip
    began = time.perf_counter()
    said = run(Train(settings), made, folder).json("train.json")
    found = {"perplexity": math.exp(said["last_valid_loss"]), "before": math.exp(said["first_valid_loss"])}
    if federated:
        found["bytes"] = said["federated"]["bytes"] / said["federated"]["rounds"]
        found["epsilon"] = (said["federated"]["privacy"] or {}).get("epsilon")
    return {**found, "tokens": said["tokens"], "s": time.perf_counter() - began}


@contextmanager
def apart() -> Iterator[None]:
    """Both matrices averaged each by itself, as examples elsewhere do."""
    plain = patch.object(Shared, "_products", lambda _shared, mean, *_others: np.concatenate(
        [item.numpy().reshape(-1) for item in mean.values()]))  # fmt: skip
    with plain, kept():
        yield


@contextmanager
def kept() -> Iterator[None]:
    """Moments of the optimizer kept between rounds also where the basis may have turned."""
    from buril.train.state import read_tensors

    def moments(client: Client, step: int) -> Any:
        path = client._path(step)
        return read_tensors(path) if path.is_file() else {}

    with patch.object(Client, "_moments", moments):
        yield


@contextmanager
def forgotten() -> Iterator[None]:
    """The optimizer begins anew in every round."""
    with patch.object(Client, "_moments", lambda _client, _step: {}):
        yield


WAYS: dict[str, tuple[dict[str, Any] | None, Callable[[], Any] | None]] = {
    "central": (None, None),
    "b": ({}, None),
    "b, moments forgotten": ({}, forgotten),
    "product": ({"average": "product"}, None),
    "both apart": ({"average": "product"}, apart),
    "both apart, moments forgotten": ({"average": "product"}, lambda: _both(apart, forgotten)),
    "b, 1 round": ({"rounds": 1}, None),
    "b, fedprox": ({"strategy": "fedprox"}, None),
    "b, secure": ({"secure": True}, None),
    "b, private": ({"privacy": {"clip": 0.5, "noise": 1.0}}, None),
}


@contextmanager
def _both(*contexts: Callable[[], Any]) -> Iterator[None]:
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context())
        yield


def measure(size: str, names: list[str]) -> dict[str, dict[str, Any]]:
    """Every way at every rate; prints a line for each, and gives the better of each way."""
    folder, best = Path(tempfile.mkdtemp()), {}
    made = inputs(folder, size)
    print(f"pack: {made['pack'].json('summary.json')['sequences']} sequences", flush=True)
    for name in names:
        told, context = WAYS[name]
        for rate in RATES:
            federated = None if told is None else {"rounds": ROUNDS, "clients": 3, **told}
            with (context or ExitStack)():
                place = folder / f"{name.replace(' ', '-')}-{rate}"
                found = trained(made, place, size, {"learning_rate": rate, "federated": federated})
            line = f"{name:<30} rate {rate:g}  perplexity {found['before']:.3f} → {found['perplexity']:.3f}"
            sent = f"{found.get('bytes', 0) / 1e6:.2f} MB a round"
            print(f"{line}  {found['tokens']} tokens  {found['s']:.0f} s  {sent}", flush=True)
            if name not in best or found["perplexity"] < best[name]["perplexity"]:
                best[name] = found
    return best


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=STEPS, default="small")
    parser.add_argument("--tune", action="store_true")
    told = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    if told.tune:
        measure(told.size, [name for name in WAYS if "secure" not in name or find_spec("flwr")])
        return
    found = measure(told.size, ["central", "b"])
    ours, peer = found["b"], found["central"]
    gap = (ours["perplexity"] - peer["perplexity"]) / peer["perplexity"]
    print(f"gap {gap:+.1%}; {ours['bytes'] / 1e6:.2f} MB a round, to and from three clients")
    from all import machine

    print(json.dumps({
        "name": "federated", "ours": round(ours["perplexity"], 3), "peer": round(peer["perplexity"], 3),
        "peer_name": "central training, same text, steps and tokens", "unit": "perplexity of held-out files",
        "ratio": round(ours["perplexity"] / peer["perplexity"], 3), "target": "<= 1.05",
        "met": ours["perplexity"] <= 1.05 * peer["perplexity"], "machine": machine(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
