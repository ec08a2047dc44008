"""One tool's whole pass over a corpus: `python _pass_tools.py TOOL CORPUS.parquet RESULT.json`, in its own Python.

RESULT.json receives the processor time by part (imports and compiled kernels loaded before, for every tool), the peak
memory and what was kept.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

PROFILES: dict[str, dict[str, Any]] = {
    "buril": {"comments": "none"},
    "buril_comments": {"comments": "noise"},
    "buril_all": {"comments": "all"},
}
STAGES = ("collect", "dedup", "prepare", "select")


def cpu() -> float:
    own, children = os.times(), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.user + own.system + children.ru_utime + children.ru_stime


def buril(path: Path, profile: str) -> dict[str, float]:
    """The stages as users run them, from Parquet to Parquet, with one process; each stage's processor time."""
    from buril.chain import Chain
    from buril.core.store import Store

    values = {
        "collect": {"sources": [{"parquet": {"paths": str(path)}}], "workers": 1},
        "dedup": {"workers": 1},
        "prepare": {**PROFILES[profile], "workers": 1},
        "select": {"licenses": None, "unknown_license": "keep"},
    }
    folder = path.with_suffix(f".{profile}")
    shutil.rmtree(folder, ignore_errors=True)
    spent = {}
    for stage in STAGES:
        began = cpu()
        Chain.from_values(values, path.parent).run(Store(folder), stage)
        spent[stage] = cpu() - began
    return spent


def parse(path: Path, _profile: str) -> dict[str, float]:
    """Nothing but the trees of the same texts, already in memory."""
    from buril.code.language import languages
    from buril.code.parse import HardParse
    from buril.code.parse import parse as tree_of

    table = pq.read_table(path, columns=["language", "content"]).to_pylist()
    texts = [(row["language"], row["content"].encode()) for row in table if row["language"] in languages()]
    for language in {language for language, _text in texts}:
        tree_of(language, b"")
    began = cpu()
    for language, text in texts:
        try:
            tree_of(language, text)
        except HardParse:
            continue
    return {"parse": cpu() - began}


def datatrove(path: Path, _profile: str) -> dict[str, float]:
    """Its nearest: line and letter filters, e-mail and IP addresses, MinHash in four stages; no parse, no secrets."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.filters import LambdaFilter
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import ParquetWriter

    folder = path.with_suffix(".datatrove")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    with (folder / "in/texts.jsonl").open("w", encoding="utf-8") as stream:
        for row in pq.read_table(path, columns=["id", "content"]).to_pylist():
            stream.write(json.dumps({"id": str(row["id"]), "text": row["content"]}) + "\n")
    config = MinhashConfig()
    names = {name: str(folder / name) for name in ("clean", "signatures", "buckets", "remove", "kept")}
    clean = [JsonlReader(str(folder / "in")), LambdaFilter(_is_code), PIIFormatter(), ParquetWriter(names["clean"])]
    from datatrove.pipeline.readers import ParquetReader

    reader = ParquetReader(names["clean"])
    signed = MinhashDedupSignature(output_folder=names["signatures"], config=config)
    buckets = MinhashDedupBuckets(input_folder=names["signatures"], output_folder=names["buckets"], config=config)
    clusters = MinhashDedupCluster(input_folder=names["buckets"], output_folder=names["remove"], config=config)
    kept = [reader, MinhashDedupFilter(input_folder=names["remove"]), ParquetWriter(names["kept"])]
    stages = {
        "filter": (1, clean), "signatures": (1, [reader, signed]), "buckets": (config.num_buckets, [buckets]),
        "cluster": (1, [clusters]), "keep": (1, kept),
    }  # fmt: skip
    spent = {}
    for name, (tasks, pipeline) in stages.items():
        began = cpu()
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(folder / f"log-{name}")).run()
        spent[name] = cpu() - began
    return spent


def _is_code(document: Any) -> bool:
    """The Stack's filters: longest line 1,000, mean line 100, a quarter of letters and digits."""
    lines = document.text.split("\n")
    lengths = [len(line) for line in lines]
    if max(lengths) > 1_000 or sum(lengths) / len(lengths) > 100:
        return False
    return sum(map(str.isalnum, document.text)) >= 0.25 * max(1, len(document.text))


def tiny(path: Path) -> Path:
    """A few rows: running them loads everything that a tool loads once."""
    small = path.with_name("tiny.parquet")
    table = pq.read_table(path)
    pq.write_table(table.slice(0, 150), small)
    return small


def main() -> None:
    tool, texts, result = sys.argv[1:]
    path = Path(texts)
    work = {"parse": parse, "datatrove": datatrove}.get(tool, buril)
    work(tiny(path), tool)
    spent = work(path, tool)
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    found: dict[str, Any] = {"spent": spent, "rss_mb": peak / 1e3}
    if work is buril:
        folder = path.with_suffix(f".{tool}")
        (kept,) = folder.glob("select/*/selected.parquet")
        (dropped,) = folder.glob("select/*/dropped.parquet")
        (copies,) = folder.glob("dedup/*/duplicates.parquet")
        found["kept"], found["dropped"] = pq.read_metadata(kept).num_rows, pq.read_metadata(dropped).num_rows
        found["unique"] = int(pa.compute.sum(pq.read_table(copies, columns=["kept"])["kept"]).as_py())
    Path(result).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
