"""Near-duplicate search: buril beside datatrove, rensa, datasketch and text-dedup, on a corpus with known duplicates.

    python benchmarks/dedup.py [--size small|full] [--corpus FOLDER]

FOLDER is what `benchmarks/corpus.py` makes (`corpus.parquet` and `truth.parquet`); without one that is called. Every
tool runs in a process of its own, with the same word 5-grams and threshold 0.7 where it can be told (datatrove runs
with its defaults). buril is measured as the stage that users run, from compressed rows on disk to the tables on disk,
and works with one process; the peers have their texts in memory already, but for datatrove, which works from files.

Figures: processor time (never the clock's), medians of alternating runs for buril and rensa, one run of the others;
slow peers run on a fixed sample of whole families of duplicates. Precision is the share of what is dropped that is an
injected copy of what is kept, or has a true similarity of 0.7 with it; recall the share of injected pairs of which one
is dropped. `renamed clones` are the injected pairs of the kind `rename`, whatever their similarity.

Peers get their own environments below `build/peers` on first use, with pinned versions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from _dedup_tools import LIMIT_MB, THRESHOLD, grams

FOLDER = Path(__file__).resolve().parent
PEERS = FOLDER.parent / "build/peers"
PINS = {
    "rensa": ("rensa==0.5.0", "pyarrow"),
    "datasketch": ("datasketch==2.0.0", "pyarrow"),
    "datatrove": ("datatrove[io,processing,multilingual]==0.10.1", "pyarrow"),
}
SAMPLE_MB = {"small": {"datatrove": 5, "datasketch": 8}, "full": {"datatrove": 20, "datasketch": 40}}
RUNS = 3
LIMITED_FILES = {"small": 150_000, "full": 600_000}
Found = dict[str, Any]


def python_of(tool: str) -> str:
    """The Python that has the tool; its environment is made on first use."""
    if tool not in PINS:
        return sys.executable
    home = PEERS / tool
    if not (home / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run([str(home / "bin/pip"), "install", "-q", *PINS[tool]], check=True)
        (home / "ready").touch()
    return str(home / "bin/python")


def measure(tool: str, texts: Path) -> Found:
    """Run a tool in a process of its own."""
    result = texts.with_name(f"{tool}.json")
    command = [python_of(tool), str(FOLDER / "_dedup_tools.py"), tool, str(texts), str(result)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    found: Found = json.loads(result.read_text(encoding="utf-8"))
    return found


def families(truth: list[Found]) -> dict[int, int]:
    """Copy → the natural file it was made from."""
    return {row["copy"]: row["original"] for row in truth}


def sample(corpus: pa.Table, family: dict[int, int], mb: float) -> pa.Table:
    """Whole families, in an order of their own, until there are `mb` megabytes."""
    size = defaultdict(int)
    for number, length in zip(corpus["id"].to_pylist(), pc.binary_length(corpus["content"]).to_pylist(), strict=True):
        size[family.get(number, number)] += length
    chosen, total = set(), 0
    for number in sorted(size, key=lambda number: hashlib.sha256(str(number).encode()).digest()):
        if total < mb * 1e6:
            chosen.add(number)
            total += size[number]
    keep = [family.get(number, number) in chosen for number in corpus["id"].to_pylist()]
    return corpus.filter(pa.array(keep))


def quality(name: str, found: Found, corpus: pa.Table, truth: list[Found]) -> dict[str, float]:
    """Print and give precision, recall and the share of renamed clones."""
    family = families(truth)
    text = dict(zip(corpus["id"].to_pylist(), corpus["content"].to_pylist(), strict=True))
    dropped = dict(map(tuple, found["dropped"]))
    members = defaultdict(list)
    for number in text:
        members[family.get(number, number)].append(number)
    wrong = 0
    for number, kept in dropped.items():
        own = family.get(number, number)
        others = members[own] if kept is None else [other for other in members[own] if other == kept]
        if all(other == number for other in others):
            wrong += kept is None or true_jaccard(text[number], text[kept]) < THRESHOLD
    hits: dict[str, list[bool]] = defaultdict(list)
    for row in truth:
        if row["copy"] in text and row["original"] in text:
            hit = row["copy"] in dropped or row["original"] in dropped
            hits[f"all {row['kind']}"].append(hit)
            if row["jaccard"] >= THRESHOLD:
                hits["J >= 0.7"].append(hit)
                hits[f"J {min(9, int(row['jaccard'] * 10)) / 10:.1f}+"].append(hit)
                hits[row["kind"]].append(hit)
    share = {kind: statistics.mean(values) for kind, values in hits.items()}
    precision = 1 - wrong / max(1, len(dropped))
    print(f"{name}: {len(dropped)} dropped, precision {precision:.4f} ({wrong} wrong), recall {share['J >= 0.7']:.4f}")
    parts = [f"{kind} {share[kind]:.4f} of {len(hits[kind])}" for kind in sorted(hits) if not kind.startswith("all ")]
    print(f"  {'; '.join(parts)}")
    print(f"  renamed clones at any similarity: {share['all rename']:.4f} of {len(hits['all rename'])}")
    return {"precision": precision, "recall": share["J >= 0.7"], "renamed": share["all rename"]}


def true_jaccard(left: str, right: str) -> float:
    one, other = grams(left), grams(right)
    return len(one & other) / len(one | other)


def megabytes(corpus: pa.Table) -> float:
    return float(pc.sum(pc.binary_length(corpus["content"])).as_py() / 1e6)


def limited(folder: Path, count: int) -> Found:
    """Many small files with a limit on memory: same bytes as without one?"""
    drawn = random.Random(1)
    words, texts = [f"w{number}" for number in range(5_000)], ["first"]
    for at in range(1, count):
        near = texts[-1].rpartition(" ")[0] + " end"
        texts.append(near if at % 4 == 0 else " ".join(drawn.choices(words, k=90)))
    columns = {"id": list(range(count)), "language": [""] * count, "content": texts}
    pq.write_table(pa.table(columns), folder / "many.parquet")
    free, held = measure("buril", folder / "many.parquet"), measure("buril_limited", folder / "many.parquet")
    names = ("duplicates.parquet", "clusters.parquet")
    same = all((folder / "many.out" / x).read_bytes() == (folder / "many.limited" / x).read_bytes() for x in names)
    work = sum(path.stat().st_size for path in (folder / "many.limited").rglob("*") if path.is_file()) / 1e6
    mb = sum(map(len, texts)) / 1e6
    print(f"limit: {count} files, {mb:.0f} MB, working files {work:.0f} MB, {LIMIT_MB} MB allowed for allocations,")
    told = "the same bytes" if same else "OTHER BYTES"
    print(f"  {told} as without a limit, {held['cpu_s'] / free['cpu_s']:.2f} x the time")
    ok = same and work > 2 * LIMIT_MB
    return line("dedup: working files over memory allowed", work, LIMIT_MB, ("memory limit", "MB", 2), met=ok)


def line(name: str, ours: float, peer: float, about: tuple[str, str, float], *, met: bool | None = None) -> Found:
    peer_name, unit, target = about
    ratio = ours / peer
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    return {
        "name": name, "ours": round(ours, 4), "peer": round(peer, 4), "peer_name": peer_name, "unit": unit,
        "ratio": round(ratio, 4), "target": target, "met": ratio >= target if met is None else met, "machine": machine,
    }  # fmt: skip


def folder_of(told: Path | None, size: str) -> Path:
    """The corpus: the folder told, or the one that `corpus.py` makes."""
    if told:
        return told
    from corpus import load

    found: Path = load(size)
    return found


def compare(folder: Path, corpus: pa.Table, truth: list[Found], size: str) -> list[Found]:
    """Speed and quality of all tools."""
    whole = folder / "whole.parquet"
    pq.write_table(corpus, whole)
    runs: dict[str, list[Found]] = defaultdict(list)
    for _run in range(RUNS):
        for tool in ("buril", "rensa"):
            runs[tool].append(measure(tool, whole))
    for tool in ("buril_kernel", "buril_renamed"):
        runs[tool].append(measure(tool, whole))
    tables = dict.fromkeys(runs, corpus)
    for tool, mb in SAMPLE_MB[size].items():
        tables[tool] = sample(corpus, families(truth), mb)
        pq.write_table(tables[tool], folder / f"{tool}.parquet")
        runs[tool].append(measure(tool, folder / f"{tool}.parquet"))
    speed = {
        tool: megabytes(tables[tool]) / statistics.median(x["cpu_s"] for x in found) for tool, found in runs.items()
    }
    seen = {tool: quality(tool, runs[tool][0], tables[tool], truth) for tool in runs if tool != "buril_kernel"}
    for tool, found in runs.items():
        peak = max(run["rss_mb"] for run in found)
        mb = megabytes(tables[tool])
        print(f"{tool} {found[0]['version']}: {speed[tool]:.2f} MB/s of CPU time, peak {peak:.0f} MB, on {mb:.1f} MB")
    unit, ours, blind = "MB/s of CPU time", seen["buril"], seen["buril_renamed"]
    peers = {tool: f"{tool} {runs[tool][0]['version']}" for tool in PINS}
    return [
        line("dedup: speed", speed["buril"], speed["datatrove"], (f"{peers['datatrove']} defaults", unit, 20)),
        line("dedup: speed, same 5-grams", speed["buril"], speed["rensa"], (peers["rensa"], unit, 3)),
        line("dedup: speed, same banding", speed["buril"], speed["datasketch"], (peers["datasketch"], unit, 3)),
        line("dedup: kernel", speed["buril_kernel"], 270, ("goal", unit, 1)),
        line("dedup: precision", ours["precision"], 0.999, ("target", "share", 1)),
        line("dedup: recall at J >= 0.7", ours["recall"], 0.995, ("target", "share", 1)),
        line("dedup: renamed clones found", blind["renamed"], 0.95, ("target", "share", 1)),
        line("dedup: precision with renamed", blind["precision"], 0.99, ("target", "share", 1)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SAMPLE_MB), default="small")
    parser.add_argument("--corpus", type=Path, help="folder with corpus.parquet and truth.parquet")
    told = parser.parse_args()
    source = folder_of(told.corpus, told.size)
    corpus = pq.read_table(source / "corpus.parquet", columns=["id", "language", "content"])
    truth = pq.read_table(source / "truth.parquet").to_pylist()
    print(f"{len(corpus)} files, {megabytes(corpus):.1f} MB, {len(truth)} injected copies")
    if shutil.which("python3.12") is None:
        print("text-dedup: not run, it needs Python 3.12 and there is none")
    else:
        print("text-dedup: not run, its 0.4 has no way to be called with these 5-grams and a table of pairs as result")
    with tempfile.TemporaryDirectory() as folder:
        lines = compare(Path(folder), corpus, truth, told.size)
        if sys.platform == "linux":
            lines.append(limited(Path(folder), LIMITED_FILES[told.size]))
    print(json.dumps(lines))


if __name__ == "__main__":
    main()
