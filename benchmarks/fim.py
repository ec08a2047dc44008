"""Ablation of filling in the middle: what `pack.fim_rate` costs from left to right, and what it and `fim_align` bring.

    python benchmarks/fim.py [--size small|full]

A model of a million parameters learns the standard library from random weights, once for each way of packing and each
seed: same first weights, same rows, same number of steps and tokens. `none` reads texts as they are, `anywhere` has
half of them cut at any two characters (as published), `aligned` half of them cut along the syntax. Then each is asked
about packages that no training saw:

- bits per byte of plain text, from left to right;
- bits per byte of held-out middles: whole lines, nodes of the syntax, and cuts anywhere. A model with sentinels has
  prefix and suffix before it; `none` has the prefix, which is all that it can use;
- the share of middles met exactly by the likeliest completion. `none` cannot say that a middle is over, so for it a
  completion that begins with the middle counts.

Intervals are of the paired bootstrap over pieces or holes, each the mean over seeds; they do not hold the noise between
trainings, for which each seed is printed.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _stages import after_split, run, sized
from syntax import DEPTH, LENGTH, VOCAB, rows, train

from buril.code.parse import parse
from buril.code.structure import blocks
from buril.core.artifact import Artifact
from buril.evaluate.interval import paired_bootstrap
from buril.generators._generator import Request
from buril.generators._load import load
from buril.generators._prompt import prompt_ids
from buril.generators.transformers import Transformers
from buril.tokens.fim import Cut
from buril.tokens.pack import Pack
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base
from buril.train.batch import PackedFile


@dataclass(frozen=True)
class Size:
    """Steps of a training, bytes to learn from, holes of each kind, pieces of plain text."""

    steps: int
    train_bytes: int
    holes: int
    pieces: int


SIZES = {"small": Size(40, 1_000_000, 60, 100), "full": Size(400, 3_000_000, 250, 400)}
SEEDS = (1, 2)
WAYS = {"none": (0.0, 0.0), "anywhere": (0.5, 0.0), "aligned": (0.5, 1.0)}
"""Way of packing → `fim_rate`, `fim_align`."""
SIDE_BYTES, MIDDLE_BYTES, NEW_TOKENS = 220, 100, 48
KINDS = ("lines", "nodes", "anywhere")
MARGIN = 0.02
"""Bits a byte from left to right that count as nothing lost: 1 % of what such a model needs."""

Found = dict[str, list[np.ndarray]]
"""Measure → for each seed one value a piece or hole."""


def inputs(folder: Path, size: Size) -> tuple[dict[str, Artifact], dict[str, Artifact]]:
    """What every training reads, and the sequences of each way."""
    stages = (Tokenizer(Tokenizer.Settings(train="bpe", vocab=VOCAB)), Base(Base.Settings(
        base="scratch", depth=DEPTH, max_length=LENGTH)))  # fmt: skip
    made = after_split(folder, stages, train=rows("train", size.train_bytes), valid=rows("valid", 300_000))
    packs = {}
    for way, (rate, align) in WAYS.items():
        told = Pack.Settings(max_length=LENGTH, fim_rate=rate, fim_align=align, workers=1)
        packs[way] = run(Pack(told), made, folder, f"pack-{way}")
    return made, packs


def holes(kind: str, number: int) -> list[Cut]:
    """Holes in files of packages that no training saw, with some text on both sides."""
    random, found, files = np.random.default_rng(7), [], rows("test", 3_000_000)
    while len(found) < number:
        source = files[int(random.integers(len(files)))].content.encode()
        spans = SPANS[kind](source, random)
        if not spans:
            continue
        begin, end = spans[int(random.integers(len(spans)))]
        start = source.find(b"\n", max(0, begin - SIDE_BYTES)) + 1 if begin > SIDE_BYTES else 0
        parts = (source[min(start, begin) : begin], source[begin:end], source[end : end + SIDE_BYTES])
        prefix, middle, suffix = (part.decode("utf-8", "ignore") for part in parts)
        if middle.strip() and prefix.strip() and suffix.strip() and len(middle.encode()) == end - begin:
            found.append(Cut(prefix, middle, suffix))
    return found


def lines_of(source: bytes, _random: np.random.Generator) -> list[tuple[int, int]]:
    """Each line with its end."""
    ends = [place + 1 for place, byte in enumerate(source) if byte == 10]
    spans = zip([0, *ends[:-1]], ends, strict=True)
    return [(begin, end) for begin, end in spans if 8 < end - begin <= MIDDLE_BYTES]


def nodes_of(source: bytes, _random: np.random.Generator) -> list[tuple[int, int]]:
    """Statements, bodies, clauses and arguments."""
    return [(begin, end) for begin, end in blocks(parse("python", source)) if end - begin <= MIDDLE_BYTES]


def anywhere_of(source: bytes, random: np.random.Generator) -> list[tuple[int, int]]:
    """One cut at two places that follow nothing."""
    begin = int(random.integers(len(source)))
    return [(begin, min(len(source), begin + int(random.integers(1, MIDDLE_BYTES))))]


SPANS: dict[str, Callable[[bytes, np.random.Generator], list[tuple[int, int]]]] = {
    "lines": lines_of, "nodes": nodes_of, "anywhere": anywhere_of
}  # fmt: skip


def plain(generator: Transformers, pieces: Sequence[list[int]]) -> np.ndarray:
    """Bits and bytes of each piece of plain text (P, 2)."""
    nats = [-float(scores.sum(dtype="float64")) for scores in generator.score(pieces)]
    sizes = [len(generator.loaded.encoder.decode(piece[:-1]).encode()) for piece in pieces]
    return np.array([(loss / math.log(2), size) for loss, size in zip(nats, sizes, strict=True)])


def middles(generator: Transformers, asked: Sequence[Cut], *, sentinels: bool) -> np.ndarray:
    """Bits and bytes of each middle (H, 2), without the token that ends it."""
    texts, sizes = [], []
    for hole in asked:
        request = Request(hole.prefix, suffix=hole.suffix if sentinels else None, max_tokens=0)
        ids = generator.encode(hole.middle)
        texts.append([*prompt_ids(request, generator.loaded, max_positions=LENGTH - len(ids)), *ids])
        sizes.append(len(ids))
    scores = generator.score(texts)
    nats = [-float(told[-size:].sum(dtype="float64")) for told, size in zip(scores, sizes, strict=True)]
    return np.array([(loss / math.log(2), len(hole.middle.encode())) for loss, hole in zip(nats, asked, strict=True)])


def exact(generator: Transformers, asked: Sequence[Cut], *, sentinels: bool) -> np.ndarray:
    """Of each hole whether it is filled as it was, and 1 (H, 2)."""
    requests = [
        Request(hole.prefix, suffix=hole.suffix if sentinels else None, max_tokens=NEW_TOKENS) for hole in asked
    ]
    texts = [found[0].text for found in generator.complete(requests)]
    same = str.__eq__ if sentinels else str.startswith
    return np.array([(float(same(text, hole.middle)), 1.0) for text, hole in zip(texts, asked, strict=True)])


def examine(way: str, model: dict[str, Any], tokenizer: Path, pieces: list[list[int]], asked: dict[str, list[Cut]]
            ) -> dict[str, np.ndarray]:  # fmt: skip
    """All measures of one model."""
    generator = Transformers(Transformers.Settings(batch_size=64))
    generator.use(load(model["base"], tokenizer, model_dir=model["folder"] / "model", dtype="fp32", device="cpu"))
    found, sentinels = {"left to right": plain(generator, pieces)}, way != "none"
    for kind, cuts in asked.items():
        found[f"middle bits, {kind}"] = middles(generator, cuts, sentinels=sentinels)
        found[f"middle exact, {kind}"] = exact(generator, cuts, sentinels=sentinels)
    return found


def held_out(pack: Artifact, number: int) -> list[list[int]]:
    """Pieces of plain validation text, as tokens."""
    file, pieces = PackedFile(pack.path("valid.parquet")), []
    for index in range(len(file)):
        packed, at = file[index], 0
        for length in packed.lengths:
            pieces.append([int(token) for token in packed.input_ids[at : at + length]])
            at += length
    return [pieces[int(place)] for place in np.random.default_rng(0).permutation(len(pieces))[:number]]


def measure(size: Size) -> dict[str, Found]:
    """Way of packing → what its models come to; prints a line for each training."""
    folder = Path(tempfile.mkdtemp())
    made, packs = inputs(folder, size)
    pieces, asked = held_out(packs["none"], size.pieces), {kind: holes(kind, size.holes) for kind in KINDS}
    every: dict[str, Found] = {way: {} for way in WAYS}
    for seed in SEEDS:
        for way in WAYS:
            given = {**made, "pack": packs[way]}
            model = train(given, folder / f"{way}-{seed}", "cross_entropy", seed=seed, steps=size.steps)
            found = examine(way, model, made["tokenizer"].folder, pieces, asked)
            for name, values in found.items():
                every[way].setdefault(name, []).append(values)
            told = ", ".join(f"{name} {ratio(values):.3f}" for name, values in found.items())
            print(f"seed {seed} {way:8s} {model['s']:.0f} s: {told}", flush=True)
    return every


def ratio(values: np.ndarray) -> float:
    return float(values[:, 0].sum() / values[:, 1].sum())


def compare(every: dict[str, Found], name: str, ours: str, peer: str) -> dict[str, Any]:
    """One row: a measure of two ways, each unit's mean over seeds."""
    from all import machine

    first, second = (np.mean(every[way][name], axis=0) for way in (peer, ours))
    told = paired_bootstrap((first[:, 0], first[:, 1]), (second[:, 0], second[:, 1]), seed=0)
    share, before, after = "exact" in name, ratio(first), ratio(second)
    most = MARGIN if name == "left to right" else 0.0
    met = told.low > 0 if share else told.high < most
    print(f"{name}: {peer} {before:.3f} -> {ours} {after:.3f}, {told.value:+.3f} [{told.low:+.3f}, {told.high:+.3f}]")
    worse, better = (after, before) if share else (before, after)
    return {
        "name": f"fim: {name}, {ours}", "ours": round(after, 4), "peer": round(before, 4), "peer_name": peer,
        "unit": "share of middles" if share else "bits a byte", "ratio": round(worse / better, 3) if better else 1.0,
        "target": "higher" if share else f"less than {most:g} more", "met": bool(met),
        "difference": [round(value, 4) for value in told[:3]], "machine": machine(),
    }  # fmt: skip


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser()
    _told, size = sized(parser, SIZES)
    import torch

    torch.set_num_threads(1)
    every = measure(size)
    against = partial(compare, every)
    print(json.dumps([
        against("left to right", "anywhere", "none"), against("left to right", "aligned", "none"),
        *(against(f"middle {what}, {kind}", ours, peer)
          for what, kinds in (("bits", KINDS), ("exact", ("lines",))) for kind in kinds
          for ours, peer in (("anywhere", "none"), ("aligned", "anywhere"))),
    ]))  # fmt: skip


if __name__ == "__main__":
    main()
