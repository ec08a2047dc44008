"""How fast `prepare` is on one core, against the bare parse of the same bytes, which is its physical floor.

python benchmarks/prepare.py --size small|full

The code is what this Python's installed packages hold. Each round parses every file once (the peer), then does the
steps of each profile, then the whole stage on one shard with Parquet in and out (ours); medians over the rounds,
processor time.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sysconfig
import tempfile
import time
from collections import Counter
from pathlib import Path

from all import machine

from buril.code.codefile import CodeFile, write_rows, write_table
from buril.code.language import HEAD_CHARS, detect
from buril.code.parse import parse
from buril.core.plugins import Ref
from buril.data._pass import Job, prepare_shard
from buril.data.prepare import Prepare
from buril.data.step import Numbers, Shared, Step
from buril.scanners.secrets import Secrets

SIZES_MB = {"small": 8, "full": 80}
TARGET = 0.4
PROFILES = {
    "parse and judge only": {"comments": "none", "indent": "keep", "redact": []},
    "+ redaction": {"comments": "none", "indent": "keep"},
    "+ indentation": {"comments": "none"},
    "+ comments: all": {"comments": "all"},
    "default": {},
}


def corpus(size_mb: float) -> list[CodeFile]:
    """Source files of installed packages that `prepare` would parse, up to a size, in a fixed random order."""
    root = Path(sysconfig.get_paths()["purelib"])
    paths = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".js", ".h", ".c", ".cpp", ".css", ".sh"))
    random.Random(1).shuffle(paths)
    judge = Prepare(Prepare.Settings(comments="none", indent="keep", redact=()))
    steps: list[Step] = [ref.make() for ref in judge.chain()]
    files: list[CodeFile] = []
    total = 0
    for path in paths:
        try:
            text = path.read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            continue
        name = path.relative_to(root).as_posix().replace("_vendor/", "").replace("vendor/", "")
        file = CodeFile(name.split("/", 1)[0], name, text, language=detect(name, text[:HEAD_CHARS]))
        shared = Shared(file)
        for step in steps:
            step.apply(file, shared)
        if not file.verdicts:
            files.append(CodeFile(file.repo, file.path, text, language=file.language))
            total += len(text.encode())
        if total >= size_mb * 1e6:
            break
    return sorted(files, key=lambda file: (file.repo, file.path))


def fresh(files: list[CodeFile]) -> list[CodeFile]:
    return [CodeFile(file.repo, file.path, file.content, sha256=file.sha256, language=file.language) for file in files]


def seconds_of_parse(files: list[CodeFile]) -> float:
    sources = [(file.language, file.content.encode()) for file in files]
    began = time.process_time()
    for language, source in sources:
        parse(language, source)
    return time.process_time() - began


def seconds_of_steps(files: list[CodeFile], refs: tuple[Ref, ...], spent: Counter[str] | None = None) -> float:
    steps = [ref.make() for ref in refs]
    numbers, rows = Numbers(), fresh(files)
    began = time.process_time()
    for file in rows:
        shared = Shared(file, numbers)
        for step in steps:
            before = time.process_time() if spent is not None else 0.0
            step.apply(file, shared)
            if spent is not None:
                spent[type(step).__name__] += time.process_time() - before
        shared.finish()
    return time.process_time() - began


def seconds_of_scan(files: list[CodeFile]) -> float:
    scanner = Secrets()
    sources = [(file.language, file.content.encode()) for file in files]
    began = time.process_time()
    for language, source in sources:
        scanner.spans(source, language)
    return time.process_time() - began


def seconds_of_stage(files: list[CodeFile], folder: Path) -> float:
    """One shard as the stage does it, Parquet in and out."""
    import pyarrow as pa

    write_rows(folder / "in.parquet", files)
    judged = {"row_id": [file.row_id for file in files], "kept": [True] * len(files)}
    write_table(folder / "duplicates.parquet", pa.table(judged))
    chain = Prepare(Prepare.Settings()).chain()
    job = Job(
        folder / "in.parquet", folder / "duplicates.parquet", 0, chain, (), {}, folder / "out.parquet", folder / "at"
    )
    began = time.process_time()
    prepare_shard(job)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=tuple(SIZES_MB), default="small")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    files = corpus(SIZES_MB[options.size])
    megabytes = sum(len(file.content.encode()) for file in files) / 1e6
    languages = Counter(file.language for file in files)
    print(f"{len(files)} files, {megabytes:.1f} MB: {dict(languages.most_common())}")

    chains = {name: Prepare(Prepare.Settings(**values)).chain() for name, values in PROFILES.items()}  # type: ignore[arg-type]  # plain literals
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            times.setdefault("bare parse", []).append(seconds_of_parse(files))
            for name, chain in chains.items():
                times.setdefault(name, []).append(seconds_of_steps(files, chain))
            times.setdefault("default, with Parquet in and out", []).append(seconds_of_stage(files, Path(folder)))
            times.setdefault("secrets scanner alone", []).append(seconds_of_scan(files))
    rates = {name: megabytes / statistics.median(taken) for name, taken in times.items()}
    for name, rate in rates.items():
        print(f"{name:34} {rate:7.1f} MB/s/core")

    spent: Counter[str] = Counter()
    seconds_of_steps(files, chains["default"], spent)
    print("where the time of `default` goes, ms/MB (the parse is made in Syntax):")
    for name, taken in spent.most_common():
        print(f"    {name:12} {taken * 1e3 / megabytes:6.1f}")

    ours, peer = rates["default, with Parquet in and out"], rates["bare parse"]
    print(
        json.dumps(
            {
                "name": "prepare",
                "ours": round(ours, 2),
                "peer": round(peer, 2),
                "peer_name": "bare tree-sitter parse of the same bytes (physical floor)",
                "unit": "MB/s per core",
                "ratio": round(ours / peer, 3),
                "target": f">= {TARGET}",
                "met": ours / peer >= TARGET,
                "machine": machine(),
            }
        )
    )


if __name__ == "__main__":
    main()
