"""One tool on one file of texts: `python _dedup_tools.py TOOL TEXTS.parquet RESULT.json`, in whichever Python has it.

TEXTS.parquet has the columns id, language, content. RESULT.json receives the processor time of the work (without
imports and without reading the texts, but for buril and datatrove, which work from files), the peak memory of the
process, the tool's version, and what it would drop: pairs (dropped, kept or null).
"""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pyarrow.parquet as pq

THRESHOLD, NUM_PERM, BANDS, SHINGLE = 0.7, 128, 32, 5
LIMIT_MB = 96
WORD = re.compile(r"\w+", re.ASCII)
Dropped = list[tuple[int, "int | None"]]


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    table = pq.read_table(path, columns=["id", "content"])
    yield from zip(table["id"].to_pylist(), table["content"].to_pylist(), strict=True)


def grams(text: str) -> set[str]:
    words = WORD.findall(text)
    return {" ".join(words[at : at + SHINGLE]) for at in range(max(1, len(words) - SHINGLE + 1))}


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def rows_of(path: Path) -> Path:
    """A folder of collected rows with the texts, and in `tiny` one with a few of them."""
    from buril.code.codefile import CodeFile, write_rows

    rows, count = path.with_suffix(".rows"), 2_000
    if not rows.exists():
        table = pq.read_table(path)
        for start in range(0, len(table), count):
            files = [
                CodeFile("r", f"{row['id']:09d}", row["content"], language=row["language"])
                for row in table.slice(start, count).to_pylist()
            ]
            write_rows(rows / f"rows/{start // count:05d}.parquet", files)
            if not start:
                write_rows(rows / "tiny/rows/00000.parquet", files[:200])
    return rows


def run_stage(rows: Path, folder: Path, *, renamed: bool = False, memory_mb: int = 1024) -> None:
    """The stage dedup on a folder of rows, with one process."""
    import shutil

    from buril.core.artifact import Artifact, FileEntry, Manifest
    from buril.core.events import EventLog
    from buril.core.stage import Output
    from buril.data.dedup import Dedup

    shards = sorted((rows / "rows").glob("*.parquet"))
    files = tuple(FileEntry(f"rows/{shard.name}", shard.stat().st_size, "") for shard in shards)
    manifest = Manifest("collect", 1, "0" * 64, "0" * 64, {}, {}, files)
    shutil.rmtree(folder, ignore_errors=True)
    out = Output(folder, EventLog(folder.with_suffix(".jsonl")), "dedup")
    told = Dedup.Settings(workers=1, renamed=renamed, memory_mb=memory_mb)
    Dedup(told).run({"collect": Artifact(rows, manifest)}, out)


def buril(path: Path, *, renamed: bool = False, memory_mb: int = 1024) -> tuple[float, Dropped]:
    """The stage as it is run, from Parquet rows to `duplicates.parquet` and `clusters.parquet`, one process."""
    rows = rows_of(path)
    run_stage(rows / "tiny", path.with_suffix(".tiny"), renamed=renamed)  # loads the kernels, as imports are for others
    began = cpu()
    run_stage(rows, path.with_suffix(".out"), renamed=renamed, memory_mb=memory_mb)
    seconds = cpu() - began
    found = pq.read_table(path.with_suffix(".out") / "duplicates.parquet", columns=["row_id", "of"])
    number = {}
    for shard in sorted((rows / "rows").glob("*.parquet")):
        names = pq.read_table(shard, columns=["row_id", "path"])
        number.update(zip(names["row_id"].to_pylist(), map(int, names["path"].to_pylist()), strict=True))
    pairs = zip(found["row_id"].to_pylist(), found["of"].to_pylist(), strict=True)
    return seconds, [(number[row], number[of]) for row, of in pairs if row != of]


def buril_renamed(path: Path) -> tuple[float, Dropped]:
    """The same with the pass for renamed copies."""
    return buril(path, renamed=True)


def buril_kernel(path: Path) -> tuple[float, Dropped]:
    """Words, shingles, signatures and digests alone, from texts in memory."""
    from buril.code import minhash

    laid = minhash.Texts.of([text.encode() for _id, text in texts_of(path)])
    minhash.digests(laid.take(0, 1))
    minhash.sketch(laid.take(0, 1))
    seconds = []
    for _run in range(5):
        began = cpu()
        minhash.sketch(laid)
        seconds.append(cpu() - began)
    return sorted(seconds)[2], []


def rensa(path: Path) -> tuple[float, Dropped]:
    """Signatures in bulk from word 5-grams, banding, estimated similarity of what it proposes."""
    from rensa import RMinHash, RMinHashLSH

    texts = list(texts_of(path))
    began = cpu()
    signed: dict[int, object] = {}
    index = RMinHashLSH(threshold=THRESHOLD, num_perm=NUM_PERM, num_bands=BANDS)
    dropped: Dropped = []
    for number, text in texts:
        (signature,) = RMinHash.from_token_sets([list(grams(text))], NUM_PERM, 42)
        best = max(index.query(signature), key=lambda other: signed[other].jaccard(signature), default=None)
        if best is not None and signed[best].jaccard(signature) >= THRESHOLD:
            dropped.append((number, best))
        else:
            index.insert(number, signature)
            signed[number] = signature
    return cpu() - began, dropped


def datasketch(path: Path) -> tuple[float, Dropped]:
    """The usual way: drop a text when the index knows one whose estimate is high enough."""
    from datasketch import MinHash, MinHashLSH

    texts = list(texts_of(path))
    began = cpu()
    index = MinHashLSH(num_perm=NUM_PERM, params=(BANDS, NUM_PERM // BANDS))
    signed: dict[int, MinHash] = {}
    dropped: Dropped = []
    for number, text in texts:
        signature = MinHash(num_perm=NUM_PERM)
        signature.update_batch([gram.encode() for gram in grams(text)])
        best = max(index.query(signature), key=lambda other: signed[other].jaccard(signature), default=None)
        if best is not None and signed[best].jaccard(signature) >= THRESHOLD:
            dropped.append((number, best))
        else:
            index.insert(number, signature)
            signed[number] = signature
    return cpu() - began, dropped


def datatrove(path: Path) -> tuple[float, Dropped]:
    """Its four stages with its defaults (word 5-grams of its spaCy tokenizer, 14 buckets of 8), from JSON lines."""
    import shutil

    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    folder = path.with_suffix(".datatrove")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    with (folder / "in/texts.jsonl").open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"id": str(number), "text": text}) + "\n" for number, text in texts_of(path))
    config = MinhashConfig()
    reader = JsonlReader(str(folder / "in"))
    names = {name: str(folder / name) for name in ("signatures", "buckets", "remove")}
    stages = (
        (1, [reader, MinhashDedupSignature(output_folder=names["signatures"], config=config)]),
        (
            config.num_buckets,
            [MinhashDedupBuckets(input_folder=names["signatures"], output_folder=names["buckets"], config=config)],
        ),
        (1, [MinhashDedupCluster(input_folder=names["buckets"], output_folder=names["remove"], config=config)]),
        (1, [reader, MinhashDedupFilter(input_folder=names["remove"]), JsonlWriter(str(folder / "kept"))]),
    )
    began = cpu()
    for number, (tasks, pipeline) in enumerate(stages):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(folder / f"log{number}")).run()
    seconds = cpu() - began
    import gzip

    kept = set()
    for name in (folder / "kept").rglob("*.gz"):
        with gzip.open(name, "rt", encoding="utf-8") as stream:
            kept.update(int(json.loads(line)["id"]) for line in stream)
    return seconds, [(number, None) for number, _text in texts_of(path) if number not in kept]


def buril_limited(path: Path) -> tuple[float, Dropped]:
    """The stage with `memory_mb: 32` in a process that may allocate `LIMIT_MB` beside what it holds once loaded."""
    rows = rows_of(path)
    run_stage(rows / "tiny", path.with_suffix(".tiny"))
    status = Path("/proc/self/status").read_text(encoding="ascii")
    held = int(status.split("VmData:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (held + LIMIT_MB * 1_000_000,) * 2)
    began = cpu()
    run_stage(rows, path.with_suffix(".limited"), memory_mb=32)
    return cpu() - began, []


TOOLS = {
    "buril": (buril, "buril"), "buril_renamed": (buril_renamed, "buril"), "buril_kernel": (buril_kernel, "buril"),
    "buril_limited": (buril_limited, "buril"),
    "rensa": (rensa, "rensa"), "datasketch": (datasketch, "datasketch"), "datatrove": (datatrove, "datatrove"),
}  # fmt: skip


def main() -> None:
    tool, texts, result = sys.argv[1:]
    work, package = TOOLS[tool]
    seconds, dropped = work(Path(texts))
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    found = {"cpu_s": seconds, "rss_mb": peak / 1e3, "version": version(package), "dropped": dropped}
    Path(result).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
