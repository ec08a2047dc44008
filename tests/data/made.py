"""Inputs for the data stages' tests, made by hand: collected and prepared rows, and what `collect` left out."""

from __future__ import annotations

import json
import random
import sysconfig
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from buril.code.codefile import CodeFile, from_table, write_dropped, write_rows
from buril.core.artifact import Artifact
from tests.conftest import as_artifact


def words(seed: int, count: int = 120) -> list[str]:
    drawn = random.Random(seed)
    return [f"name_{drawn.randrange(10**6)}" for _ in range(count)]


def code(seed: int, *, changed: int = 0, count: int = 120) -> str:
    """A text of `count` words that no other seed shares; `changed` words of it replaced, spread evenly."""
    text = words(seed, count)
    for at in range(changed):
        text[at * count // max(1, changed)] = f"changed_{seed}_{at}"
    return "\n".join(" ".join(text[at : at + 6]) for at in range(0, count, 6)) + "\n"


def collected(folder: Path, files: Iterable[CodeFile], *, shard_files: int = 1000) -> Artifact:
    rows = sorted(files, key=lambda file: (file.repo, file.path))
    for number, start in enumerate(range(0, len(rows), shard_files)):
        write_rows(folder / f"rows/{number:05d}.parquet", rows[start : start + shard_files])
    write_dropped(folder / "dropped.parquet", [])
    return as_artifact(folder, "collect")


def prepared(folder: Path, collect: Artifact, dedup: Artifact) -> Artifact:
    """What `prepare` would write if it changed nothing: the kept rows."""
    kept = {row["row_id"] for row in table(dedup, "duplicates.parquet") if row["kept"]}
    for path in collect.files("rows/*.parquet"):
        rows = [file for file in from_table(pq.read_table(path)) if file.row_id in kept]
        write_rows(folder / "rows" / path.name, rows)
    return as_artifact(folder, "prepare")


def table(artifact: Artifact, name: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(artifact.path(name)).to_pylist()
    return rows


def contents(artifact: Artifact, pattern: str) -> Sequence[CodeFile]:
    return [file for path in artifact.files(pattern) for file in from_table(pq.read_table(path))]


def stdlib(count: int, *, most: int = 40_000) -> list[tuple[str, str]]:
    """Names and texts of real code that is on every machine that runs Python."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    found = sorted(path for path in folder.glob("*.py") if 2_000 < path.stat().st_size < most)
    chosen = random.Random(5).sample(found, count)
    return [(path.name, path.read_text(encoding="utf-8")) for path in chosen]


def event(kind: str, repo_name: str, *, repo: int = 0, login: str = "octo", text: str = "", **payload: Any) -> bytes:
    """A line of a GH Archive dump, its fields in the dump's order."""
    told = {
        "id": "2489651045", "type": kind,
        "actor": {"id": 1, "login": login, "display_login": login, "gravatar_id": "", "url": f"https://api.github.com/users/{login}"},
        "repo": {"id": repo or zlib.crc32(repo_name.encode()), "name": repo_name, "url": f"https://api.github.com/repos/{repo_name}"},
        "payload": {**payload, **({"text": text} if text else {})}, "public": True, "created_at": "2026-01-01T10:00:00Z",
    }  # fmt: skip
    return json.dumps(told, separators=(",", ":")).encode()
