"""Near-duplicate search: buril against datasketch, on the Python files of this environment with injected copies.

    python benchmarks/dedup.py [--size small|full]

Both get the same texts in memory, make 128-value signatures of word 5-grams, band them 32 × 4 and say which texts are
copies of which; buril verifies by the shingles as well. CPU time, medians of alternating runs. The copies
are of five kinds, and count as to be found where the exact 5-gram Jaccard similarity is at least 0.7.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import statistics
import sysconfig
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import datasketch
import numpy as np

from buril.data import minhash
from buril.data.dedup import choose

THRESHOLD = 0.7
SIZES = {"small": (8_000_000, 3), "full": (60_000_000, 3)}
WORD = re.compile(rb"\w+")
Dropped = dict[int, int]
"""Copy → the text kept in its stead."""


def corpus(num_bytes: int) -> list[bytes]:
    """Different files, in an order that does not depend on the machine's."""
    paths = sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py"))
    random.Random(7).shuffle(paths)
    texts: dict[bytes, None] = {}
    size = 0
    for path in paths:
        text = path.read_bytes()
        if 1_000 < len(text) < 200_000 and text not in texts:
            texts[text] = None
            size += len(text)
        if size > num_bytes:
            break
    return list(texts)


def header(text: bytes, drawn: random.Random) -> bytes:
    """A licence header in front, and the indentation doubled."""
    lines = [line[: len(line) - len(line.lstrip())] * 2 + line.lstrip() for line in text.split(b"\n")]
    return b"# Copyright %d Example.\n# All rights reserved, see the file.\n" % drawn.randrange(
        1990, 2026
    ) + b"\n".join(lines)


def line_edits(text: bytes, drawn: random.Random) -> bytes:
    """1 to 8 % of the lines replaced."""
    rate = drawn.uniform(0.01, 0.08)
    return b"\n".join(
        b"value_%d = 1" % drawn.randrange(9**9) if drawn.random() < rate else line for line in text.split(b"\n")
    )


def truncation(text: bytes, drawn: random.Random) -> bytes:
    """The last 5 to 35 % left out."""
    return text[: int(len(text) * drawn.uniform(0.65, 0.95))]


def no_comments(text: bytes, drawn: random.Random) -> bytes:
    """All lines that are a comment left out."""
    del drawn
    return b"\n".join(line for line in text.split(b"\n") if not line.lstrip().startswith(b"#"))


def renamed(text: bytes, drawn: random.Random) -> bytes:
    """2 to 8 of the names given another."""
    names = sorted(set(re.findall(rb"\b[a-z_]{4,}\b", text)))
    for name in drawn.sample(names, min(len(names), drawn.randrange(2, 9))):
        text = re.sub(rb"\b" + name + rb"\b", name + b"_renamed", text)
    return text


KINDS: tuple[Callable[[bytes, random.Random], bytes], ...] = (header, line_edits, truncation, no_comments, renamed)


def with_copies(base: list[bytes]) -> tuple[list[bytes], dict[tuple[int, int], str]]:
    """The texts and the copies of a third of them, shuffled; and which pairs are injected, with their kind."""
    drawn = random.Random(11)
    texts, origin = list(base), {}
    for at in range(0, len(base), 3):
        kind = KINDS[(at // 3) % len(KINDS)]
        origin[len(texts)] = (at, kind.__name__)
        texts.append(kind(base[at], drawn))
    order = list(range(len(texts)))
    drawn.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    pairs = {tuple(sorted((place[copy], place[at]))): kind for copy, (at, kind) in origin.items()}
    return [texts[at] for at in order], pairs  # type: ignore[return-value]


def grams(text: bytes) -> set[bytes]:
    words = WORD.findall(text)
    return {b" ".join(words[at : at + 5]) for at in range(max(1, len(words) - 4))}


def similar(texts: list[bytes], pair: tuple[int, int]) -> float:
    left, right = grams(texts[pair[0]]), grams(texts[pair[1]])
    return len(left & right) / len(left | right)


class Sets:
    """Shingle sets in memory: what `buril.data.dedup` otherwise maps from disk."""

    def __init__(self, laid: minhash.Texts, asked: list[int]) -> None:
        self._sets = {at: minhash.shingles(laid.take(at, at + 1)).unique(0) for at in asked}

    def jaccard(self, left: minhash.I64, right: minhash.I64) -> minhash.F64:
        return minhash.jaccard([self._sets[at] for at in left.tolist()], [self._sets[at] for at in right.tolist()])


def ours(texts: list[bytes]) -> Dropped:
    """The kernel and the choice of `dedup`: verified clusters, and in each what resembles the one kept."""
    laid = minhash.Texts.of(texts)
    signatures = minhash.sketch(laid)
    forest, doubt = minhash.link(signatures, threshold=THRESHOLD)
    root = forest.all()
    in_doubt = np.zeros(len(texts), dtype=bool)
    in_doubt[doubt.reshape(-1)] = True
    sets = Sets(laid, np.flatnonzero(in_doubt | (np.bincount(root, minlength=len(root))[root] > 1)).tolist())
    for start in range(0, len(doubt), minhash.PAIRS_AT_ONCE):
        some = doubt[start : start + minhash.PAIRS_AT_ONCE]
        joined = some[sets.jaccard(some[:, 0], some[:, 1]) >= THRESHOLD]
        forest.unite(joined[:, 0], joined[:, 1])
    kept = choose(forest.all(), np.arange(len(texts)), signatures, sets, THRESHOLD).kept
    return {copy: other for copy, other in enumerate(kept.tolist()) if copy != other}


def theirs(texts: list[bytes]) -> Dropped:
    """The usual way to use the peer: drop a text when its index knows one whose estimate is high enough."""
    index = datasketch.MinHashLSH(num_perm=128, params=(32, 4))
    signed: dict[int, datasketch.MinHash] = {}
    dropped: Dropped = {}
    for at, text in enumerate(texts):
        signature = datasketch.MinHash(num_perm=128)
        signature.update_batch(grams(text))
        best = max(index.query(signature), key=lambda other: signed[other].jaccard(signature), default=None)
        if best is not None and signed[best].jaccard(signature) >= THRESHOLD:
            dropped[at] = best
        else:
            index.insert(at, signature)
            signed[at] = signature
    return dropped


def quality(name: str, texts: list[bytes], dropped: Dropped, injected: dict[tuple[int, int], str]) -> None:
    """Precision: share of the dropped that do resemble the one kept. Recall: share of the injected pairs broken up."""
    right = sum(similar(texts, pair) >= THRESHOLD for pair in dropped.items())
    by_kind = defaultdict(list)
    for pair, kind in injected.items():
        if similar(texts, pair) >= THRESHOLD:
            by_kind[kind].append(pair[0] in dropped or pair[1] in dropped)
    every = [hit for hits in by_kind.values() for hit in hits]
    kinds = ", ".join(f"{kind} {np.mean(hits):.3f} of {len(hits)}" for kind, hits in sorted(by_kind.items()))
    print(f"{name}: {len(dropped)} dropped, precision {right / max(1, len(dropped)):.4f},")
    print(f"  recall {np.mean(every):.4f} of {len(every)} ({kinds})")


def cpu_s(work: Callable[[list[bytes]], Dropped], texts: list[bytes]) -> tuple[float, Dropped]:
    start = time.process_time()
    found = work(texts)
    return time.process_time() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    num_bytes, runs = SIZES[parser.parse_args().size]
    texts, injected = with_copies(corpus(num_bytes))
    mb = sum(len(text) for text in texts) / 1e6
    print(f"{len(texts)} files, {mb:.1f} MB, {len(injected)} injected copies")
    times: dict[str, list[float]] = {"buril": [], "datasketch": []}
    for _ in range(runs):
        for name, work in (("buril", ours), ("datasketch", theirs)):
            seconds, found = cpu_s(work, texts)
            times[name].append(seconds)
            if len(times[name]) == runs:
                quality(name, texts, found, injected)
    speed = {name: mb / statistics.median(values) for name, values in times.items()}
    ratio = speed["buril"] / speed["datasketch"]
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, numpy {np.__version__}"
    result = {
        "name": "dedup", "ours": round(speed["buril"], 1), "peer": round(speed["datasketch"], 2),
        "peer_name": f"datasketch {datasketch.__version__}", "unit": "MB/s of CPU time", "ratio": round(ratio, 2),
        "target": 3, "met": ratio >= 3, "machine": machine,
    }  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
