"""Builds the artifacts of a whole chain through the real file formats, small but true to life.

Everything is drawn from one seed, so the numbers in the tests stay what they are.
"""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pyarrow as pa

from buril.code.codefile import CodeFile, Finding, Redaction, Verdict, write_dropped, write_rows, write_table
from buril.core.artifact import Artifact, FileEntry, Link, Manifest, digest_of, sha256_file

REPOSITORIES = [
    ("acme/ledger", "python", "Apache-2.0"), ("acme/orders-api", "typescript", "LicenseRef-internal"),
    ("acme/vault-contracts", "solidity", "MIT"), ("acme/pipelines", "python", "LicenseRef-internal"),
    ("acme/web", "typescript", "MIT"), ("acme/risk-engine", "python", "Apache-2.0"),
    ("acme/mobile-sdk", "typescript", "Apache-2.0"), ("acme/legacy-billing", "java", "LicenseRef-internal"),
    ("acme/infra", "python", "MIT"), ("acme/crypto-utils", "rust", "MIT OR Apache-2.0"),
    ("acme/reports", "python", ""), ("acme/match-engine", "cpp", "BSD-3-Clause"),
    ("acme/token-bridge", "solidity", "MIT"), ("acme/notebooks", "python", "LicenseRef-internal"),
]  # fmt: skip
NEEDS = {
    "collect": (), "dedup": ("collect",), "prepare": ("collect", "dedup"), "select": ("collect", "dedup", "prepare"),
    "split": ("dedup", "prepare", "select"), "base": (), "tokenizer": ("base",), "pack": ("split", "tokenizer"),
    "train": ("base", "pack", "tokenizer"), "evaluate": ("base", "split", "tokenizer", "train"),
}  # fmt: skip
SECONDS = {"collect": 8.4, "dedup": 11.9, "prepare": 64.2, "select": 1.1, "split": 2.3, "base": 3.9, "tokenizer": 0.7,
           "pack": 9.6, "train": 1312.5, "evaluate": 402.8}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "collect": {"sources": [{"name": "folder", "version": 1, "settings": {"path": "~/src"}}], "max_bytes": 1000000},
    "dedup": {"method": "minhash", "threshold": 0.7, "keep": ["stars", "license", "age"]},
    "select": {"languages": ["python", "typescript", "solidity"], "licenses": ["mit", "apache-2.0", "internal"]},
    "train": {
        "token": "hunter2",
        "method": {"name": "lora", "version": 1, "settings": {"rank": 16}},
        "learning_rate": 5e-5,
        "epochs": 3,
    },
}
PROMPT = '''def median(values: list[float]) -> float:
    """The median; of an even number of values the mean of the middle two."""
'''
RIGHT = """    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
"""
WRONG = """    values.sort()
    return values[len(values) // 2]
"""
HOSTILE = '<script>alert("x")</script><img src=http://evil.example/p.png onerror=alert(1)>'


def build(root: Path, *, stages: tuple[str, ...] = tuple(NEEDS), hostile: bool = False) -> dict[str, Artifact]:
    """The artifacts of `stages`; with `hostile`, names, paths and code try to break out of the page."""
    files = _files(hostile)
    writers = {"collect": _collect, "dedup": _dedup, "prepare": _prepare, "select": _select,
               "split": _split, "base": _base, "tokenizer": _tokenizer, "pack": _pack, "train": _train}  # fmt: skip
    made: dict[str, Artifact] = {}
    for name in stages:
        folder = root / name / "0123456789ab"
        folder.mkdir(parents=True, exist_ok=True)
        if name == "evaluate":
            _evaluate(folder, files, hostile=hostile)
        else:
            writers[name](folder, files)
        made[name] = _artifact(name, folder, made)
    return made


def events(artifacts: dict[str, Artifact], *, reused: tuple[str, ...] = (), failed: str = "") -> list[dict[str, Any]]:
    """The events of a run that made these artifacts."""
    found: list[dict[str, Any]] = [
        {
            "time": 1000.0,
            "kind": "run_start",
            "name": "acme-coder",
            "run": "20260101-120000-000001",
            "command": "buril run",
        }
    ]
    for name, artifact in artifacts.items():
        found.append({"time": 1001.0, "kind": "stage_start", "stage": name})
        found.append(
            {
                "time": 1002.0,
                "kind": "stage_reuse" if name in reused else "stage_end",
                "stage": name,
                "key": artifact.key,
            }
        )
    if failed:
        found += [{"time": 1003.0, "kind": kind, "stage": failed} for kind in ("stage_start", "stage_failed")]
    return [*found, {"time": 2800.0, "kind": "run_end", "outcome": "failed" if failed else "ok", "seconds": 1800.0}]


def _files(hostile: bool) -> list[CodeFile]:
    draw = random.Random(7)
    found = []
    ends = {"python": "py", "typescript": "ts", "solidity": "sol", "java": "java", "rust": "rs", "cpp": "cc"}
    for number, (repo, language, license_) in enumerate(REPOSITORIES):
        for index in range(draw.randint(20, 90)):
            folder, name = (
                draw.choice(["core", "api", "store", "rules"]),
                draw.choice(["load", "check", "price", "sync"]),
            )
            text = f"# {repo} {index}\n" + "x = 1\n" * draw.randint(5, 900)
            where = (repo, f"src/{folder}/{name}_{index}.{ends[language]}")
            if hostile and index == 0:
                where = (f"{repo}{HOSTILE}", f"src/{HOSTILE}.py")
            found.append(CodeFile(*where, text, commit=f"{number:02x}" * 20, language=language, license=license_))
    return sorted(found, key=lambda file: (file.repo, file.path))


def fates(files: list[CodeFile]) -> list[tuple[str, str, str, str]]:
    """For each file, (stage, step, reason, detail) of why it was dropped; an empty stage for what is kept."""
    draw = random.Random(11)
    found = []
    for file in files:
        chance = draw.random()
        if chance < 0.12:
            found.append(("dedup", "minhash", "near_duplicate", "0.86 like src/core/load_3.py"))
        elif chance < 0.18:
            found.append(("dedup", "exact", "exact_duplicate", ""))
        elif chance < 0.21:
            found.append(("prepare", "heuristics", "generated", "marked as generated in line 1"))
        elif chance < 0.22:
            found.append(("prepare", "parse", "parse_errors", "41 % of the file"))
        elif not file.license:
            found.append(("select", "licenses", "unknown_license", ""))
        elif file.language in ("java", "cpp"):
            found.append(("select", "languages", "language", file.language))
        elif chance < 0.25:
            found.append(("select", "findings", "high_finding", "bandit B602"))
        else:
            found.append(("", "", "", ""))
    return found


def kept(files: list[CodeFile]) -> list[CodeFile]:
    """The files that the selection keeps."""
    return [file for file, fate in zip(files, fates(files), strict=True) if not fate[0]]


def part(index: int) -> str:
    """The part of the split that the kept file number `index` goes to."""
    return "valid" if index % 10 == 8 else "test" if index % 10 == 9 else "train"


def learnt(files: list[CodeFile]) -> list[CodeFile]:
    """The files that the packed sequences hold: the training part but for its last file."""
    return [file for index, file in enumerate(kept(files)) if part(index) == "train"][:-1]


def all_files(*, hostile: bool = False) -> list[CodeFile]:
    """The files that `build` collects."""
    return _files(hostile)


def _collect(folder: Path, files: list[CodeFile]) -> None:
    (folder / "rows").mkdir(exist_ok=True)
    write_rows(folder / "rows/00000.parquet", files)
    write_dropped(folder / "dropped.parquet", _collect_drops())
    (folder / "repositories.json").write_text(json.dumps([{"repo": name} for name, _l, _x in REPOSITORIES]))


def _collect_drops() -> list[dict[str, Any]]:
    big = [CodeFile("acme/web", f"dist/bundle_{index}.js", "y" * 40_000, language="javascript") for index in range(23)]
    return [file.dropped("collect", Verdict("read", "too_large", "4.1 MB")) for file in big]


def _dedup(folder: Path, files: list[CodeFile]) -> None:
    write_table(folder / "duplicates.parquet", pa.table({"row_id": [file.row_id for file in files]}))


def _prepare(folder: Path, files: list[CodeFile]) -> None:
    rows = [file for file, fate in zip(_files_again(files), fates(files), strict=True) if fate[0] != "dedup"]
    for index, file in enumerate(rows):
        if index % 13 == 0:
            file.redactions.extend([Redaction("email", 3, "<EMAIL>")] * 2)
        if index % 37 == 0:
            file.redactions.append(Redaction("aws_key", 9, "<AWS_KEY>"))
        if index % 19 == 0 and file.language == "python":
            file.findings.append(Finding("bandit", "B602", 7, "high", "shell=True"))
        if index % 7 == 0:
            file.findings.append(Finding("ruff", "S113", 12, "medium", "no timeout"))
        if index % 5 == 0:
            file.findings.append(Finding("unicode", "bidi", 1, "low", ""))
    (folder / "rows").mkdir(exist_ok=True)
    write_rows(folder / "rows/00000.parquet", rows)


def _files_again(files: list[CodeFile]) -> list[CodeFile]:
    return [CodeFile(f.repo, f.path, f.content, commit=f.commit, language=f.language, license=f.license) for f in files]


def _select(folder: Path, files: list[CodeFile]) -> None:
    chosen = kept(files)
    columns: dict[str, list[Any]] = {
        name: [getattr(f, name) for f in chosen] for name in ("row_id", "repo", "path", "language", "license", "bytes")
    }
    write_table(folder / "selected.parquet", pa.table(columns))
    drops = [
        file.dropped(fate[0], Verdict(*fate[1:])) for file, fate in zip(files, fates(files), strict=True) if fate[0]
    ]
    write_dropped(folder / "dropped.parquet", _collect_drops() + drops)
    (folder / "summary.json").write_text("{}")


def _split(folder: Path, files: list[CodeFile]) -> None:
    chosen = kept(files)
    for name in ("train", "valid", "test"):
        (folder / name).mkdir(exist_ok=True)
        write_rows(folder / name / "00000.parquet", [f for index, f in enumerate(chosen) if part(index) == name])
    columns: dict[str, list[Any]] = {
        name: [getattr(f, name) for f in chosen] for name in ("row_id", "repo", "path", "language", "bytes")
    }
    write_table(
        folder / "assignment.parquet", pa.table({**columns, "part": [part(index) for index in range(len(chosen))]})
    )


def _base(folder: Path, _files: list[CodeFile]) -> None:
    said = {
        "name": "SmolLM2-135M-Instruct",
        "kind": "wheel",
        "license": "Apache-2.0",
        "parameters": 134515008,
        "fim": False,
    }
    (folder / "base.json").write_text(json.dumps(said))


def _tokenizer(folder: Path, _files: list[CodeFile]) -> None:
    (folder / "fertility.json").write_text("{}")


def _pack(folder: Path, files: list[CodeFile]) -> None:
    rows = [
        {"input_ids": [1, 2, 3], "spans": [{"row_id": file.row_id, "start": 0, "length": 3, "fim": "none"}]}
        for file in learnt(files)
    ]
    span = pa.struct([("row_id", pa.string()), ("start", pa.int32()), ("length", pa.int32()), ("fim", pa.string())])
    schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("spans", pa.list_(span))])
    write_table(folder / "train.parquet", pa.Table.from_pylist(rows, schema=schema))
    write_table(folder / "valid.parquet", schema.empty_table())


def _train(folder: Path, _files: list[CodeFile]) -> None:
    draw = random.Random(3)
    curve: list[dict[str, float]] = []
    for step in range(1, 421):
        loss = 1.32 + 0.75 * math.exp(-step / 90) + draw.gauss(0, 0.035)
        rate = 5e-5 * min(1, step / 20) * 0.5 * (1 + math.cos(math.pi * step / 420))
        curve.append({"step": step, "tokens": step * 8192, "loss": loss, "lr": rate, "grad_norm": 0.4})
        if step % 60 == 0:
            curve.append({"step": step, "tokens": step * 8192, "valid_loss": 1.41 + 0.7 * math.exp(-step / 95)})
    (folder / "curve.json").write_text(json.dumps(curve))
    said = {"method": "lora", "steps": 420, "tokens": 420 * 8192, "best_valid_loss": 1.418, "best_step": 420,
            "stopped_early": False, "trainable_share": 0.0362, "trainable_parameters": 4884480}  # fmt: skip
    (folder / "train.json").write_text(json.dumps(said))
    (folder / "logs").mkdir(exist_ok=True)
    speed = [
        {
            "step": step,
            "tokens_per_s": 2600 + draw.gauss(0, 60),
            "grad_norms": {"attention": 0.4, "mlp": 0.7 - step / 1e3},
        }
        for step in range(10, 421, 10)
    ]
    (folder / "logs/speed.jsonl").write_text("".join(json.dumps(item) + "\n" for item in speed))
    scores = [{"step": step, "valid_bleu": 0.3 + step / 2e3, "valid_exact_match": 0.25} for step in (0, 210, 420)]
    (folder / "logs/evaluations.jsonl").write_text("".join(json.dumps(item) + "\n" for item in scores))


def _side(value: float, half: float, n: int) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def _metric(base: float, tuned: float, half: float, change: float, n: int = 164) -> dict[str, Any]:
    difference = {"value": tuned - base, "low": tuned - base - change, "high": tuned - base + change, "p": 0.01}
    return {"base": _side(base, half, n), "tuned": _side(tuned, half, n), "difference": difference}


def results() -> dict[str, Any]:
    """The results of the evaluation."""
    return {
        "suites": {
            "perplexity": {"metrics": {"perplexity": _metric(8.412, 6.127, 0.31, 0.22, 214),
                                       "bits_per_byte": _metric(0.871, 0.742, 0.02, 0.015, 214)},
                           "by_language": {"python": {"perplexity": _metric(7.9, 5.8, 0.4, 0.3, 120)},
                                           "solidity": {"perplexity": _metric(9.8, 9.6, 0.9, 0.5, 40)}},
                           "by": {"repo": {"acme/ledger": {"perplexity": _metric(7.5, 5.5, 0.4, 0.3, 20)},
                                           "acme/tool": {"perplexity": _metric(9.1, 6.4, 0.5, 0.4, 194)}}}},
            "completion": {"metrics": {"exact_match": _metric(0.212, 0.291, 0.038, 0.031, 400),
                                "edit_similarity": _metric(0.548, 0.621, 0.024, 0.018, 400)}},
            "basics": {
                "metrics": {"pass@1": _metric(0.122, 0.134, 0.05, 0.042)},
                "seen": {"asked": 164, "seen": 2, "metrics_without": {"pass@1": _metric(0.119, 0.121, 0.05, 0.042, 162)},
                         "tasks": {"basics/median": {"share": 1.0, "row": "ab12", "repo": "acme/ledger",
                                                     "path": "src/core/median.py", "license": "MIT"},
                                   "basics/mode": {"share": 0.61, "row": "ab13", "repo": "acme/ledger",
                                                   "path": "src/core/mode.py", "license": ""}}},
            },
            "security": {"metrics": {"insecure_rate": _metric(0.093, 0.121, 0.03, 0.021, 300)}},
            "robustness": {"metrics": {"robust_pass": {
                "base": _side(0.084, 0.04, 164), "tuned": _side(0.096, 0.04, 164), "difference": None}}},
        },
        "gates": [{"gate": "pass@1", "wanted": ">= 0.10", "model": "tuned", "value": 0.134, "held": True},
                  {"gate": "insecure_rate", "wanted": "<= 0.05", "model": "tuned", "value": 0.121, "held": False}],
        "targets": [
            {"target": "perplexity.perplexity", "wanted": "< 4", "suite": "perplexity", "metric": "perplexity",
             "model": "tuned", "value": 6.13, "low": 5.9, "high": 6.4, "n": 400, "met": False, "sure": False},
            {"target": "basics.pass@1", "wanted": "> 0.1", "suite": "basics", "metric": "pass@1", "model": "tuned",
             "value": 0.134, "low": 0.09, "high": 0.19, "n": 164, "met": True, "sure": False},
            {"target": "basics.pass@10", "wanted": "> 0.6", "suite": "basics", "metric": "pass@10", "model": "tuned",
             "value": None, "low": None, "high": None, "n": None, "met": None, "sure": None},
        ],
        "models": {"base": "SmolLM2-135M-Instruct", "tuned": "acme-coder"},
    }  # fmt: skip


def _evaluate(folder: Path, _files: list[CodeFile], *, hostile: bool = False) -> None:
    (folder / "results.json").write_text(json.dumps(results()))
    (folder / "samples").mkdir(exist_ok=True)
    prompt, right, wrong = PROMPT, RIGHT, WRONG
    if hostile:
        prompt, wrong = f"# {HOSTILE}\n", f"</code></pre>{HOSTILE}"
    for model in ("base", "tuned"):
        rows, taken = [], []
        for index in range(12):
            passed = (index % 4 == 1 or model == "tuned" and index % 4 != 3) and not (model == "tuned" and index == 5)
            status = "pass" if passed else "wrong"
            call = {"args": "[1, 2, 3, 4]", "expected": "2.5", "status": status, "got": "3"}
            row = {"id": f"task/{index}", "sample": "greedy-0", "prompt": prompt, "status": status, "calls": [call]}
            rows.append(
                {**row, "completion": right if passed else wrong, "form": "plain", "output": "" if passed else "3"}
            )
            taken.append({"id": f"task/{index}", "form": "plain", "cpu_ms": 12, "wall_ms": 20, "rss_kb": 23040})
            rows.append({**row, "form": "plain", "sample": "sampled-0", "status": "wrong", "completion": "    pass\n"})
        (folder / f"samples/basics.{model}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "logs/resources").mkdir(parents=True, exist_ok=True)
        (folder / f"logs/resources/basics.{model}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in taken))
        near = 0.81 if model == "tuned" else 0.42
        row = {"id": "ab12:40", "repo": "acme/ledger", "path": "src/core/price_3.py", "function": "median"}
        row |= {"prompt": prompt, "completion": right if model == "tuned" else wrong, "reference": RIGHT}
        row |= {
            "edit_similarity": near,
            "findings": [{"rule": "S608", "cwe": "CWE-89", "severity": "medium", "line": 2}],
        }
        (folder / f"samples/completion.{model}.jsonl").write_text(json.dumps(row) + "\n")


def _artifact(stage: str, folder: Path, made: dict[str, Artifact]) -> Artifact:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    entries = tuple(FileEntry(str(path.relative_to(folder)), path.stat().st_size, sha256_file(path)) for path in paths)
    digest = digest_of({entry.path: entry.sha256 for entry in entries})
    inputs = {name: Link(name, made[name].key, made[name].digest) for name in NEEDS[stage] if name in made}
    environment = {"python": "3.11.9", "system": "Linux x86_64", "buril": "0.1.0", "torch": "2.7.1", "cpus": "2"}
    manifest = Manifest(
        stage, 1, sha256_file(paths[0]), digest, {"settings": SETTINGS.get(stage, {})}, inputs, entries,
        environment=environment, started="2026-01-01T12:00:00Z", seconds=SECONDS[stage], peak_ram_mb=412.0,
    )  # fmt: skip
    return Artifact(folder, manifest)
