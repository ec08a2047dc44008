"""Text to ids: buril's Encoder (tiktoken fed the same merges) beside `tokenizers`, on real code, in CPU time.

    python benchmarks/encode.py [--size small|full] [--model FOLDER]...

The text is Python's own library and the installed packages, files of at most 200 kB, each content once. One vocabulary
of 16,384 ids is trained here on half of the files; the other half is encoded. Each `--model` (a folder with
tokenizer.json) is measured too. The peer is `encode_batch_fast` of tokenizers, which uses all cores and keeps no
offsets; control tokens are taken out of it as the Encoder does, so that both have the same work. Runs alternate, the
median counts, CPU time of all threads: machines may be shared. That the ids are equal is asserted on the whole text.
What setting tiktoken up costs is printed and not part of the figure: it happens once a process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
from all import machine

from buril.generators._encoder import Encoder
from buril.tokens import bpe

SIZES = {"small": 5e6, "full": 60e6}
"""Bytes of text."""
RUNS = 3
VOCABULARY = 16_384
MOST = 200_000
TARGET = 5.0


def texts(size: float) -> list[str]:
    found: dict[str, None] = {}
    total = 0
    for place in ("stdlib", "purelib"):
        for path in sorted(Path(sysconfig.get_path(place)).rglob("*.py")):
            if total < size and path.stat().st_size <= MOST:
                text = path.read_text("utf-8", "replace")
                if text not in found:
                    found[text], total = None, total + len(text.encode())
    return list(found)


def cpu_s(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def measure(name: str, folder: Path, text: list[str]) -> dict[str, Any]:
    mb = sum(len(item.encode()) for item in text) / 1e6
    encoder = Encoder(folder, quick_after=None)
    set_up = cpu_s(encoder.quicken)
    reason = encoder.quicken()
    theirs, ours = encoder.encode_plainly(text), encoder.encode_batch(text)
    assert ours == theirs, name
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(RUNS):
        times["ours"].append(cpu_s(lambda: encoder.encode_batch(text)))
        times["peer"].append(cpu_s(lambda: encoder.encode_plainly(text)))
    speed = {who: mb / statistics.median(found) for who, found in times.items()}
    num_tokens = sum(map(len, ours))
    print(f"{name}: {mb:.1f} MB, {num_tokens} tokens, ids equal; set up in {set_up:.2f} s; {reason or 'tiktoken'}")
    return {
        "name": f"encode {name}", "ours": round(speed["ours"], 2), "peer": round(speed["peer"], 2),
        "peer_name": f"tokenizers {tokenizers.__version__}", "unit": "MB/s of CPU time",
        "ratio": round(speed["ours"] / speed["peer"], 2), "target": TARGET,
        "met": speed["ours"] >= TARGET * speed["peer"], "machine": machine(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--model", type=Path, action="append", default=[])
    given = parser.parse_args()
    found = texts(SIZES[given.size])
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "tokenizer.json").write_text(bpe.train(found[::2], VOCABULARY).to_str())
        rows = [measure("trained", Path(name), found[1::2])]
    rows += [measure(model.name, model, found[1::2]) for model in given.model]
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
