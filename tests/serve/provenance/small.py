"""Small training sets of real form, and the index of each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from buril.code.codefile import CodeFile, write_rows
from buril.core.artifact import Artifact
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.serve.provenance import ProvenanceIndex
from buril.serve.provenance.stage import Index
from tests.conftest import as_artifact

NAMES = ("total", "value", "items", "left", "right", "count", "node", "path", "key", "limit", "rows", "cache", "step")
STATEMENTS = (
    "{a} = {b} + {n}", "if {a} > {n}:\n        {b} = {a} - {n}", "for {a} in {b}:\n        {c}.append({a} * {n})",
    "{a}.{b}({c}, {n})", "return {a} if {b} else {c}[{n}]", "{a} = [{b} for {b} in {c} if {b} != {n}]",
    "while {a} < {n}:\n        {a} = {b}({a}, {c})", "assert {a} is not {b}, '{c} {n}'",
)  # fmt: skip


def function(seed: int, *, statements: int = 8) -> str:
    """A function of some 100 tokens that no other seed gives."""
    draw = random.Random(seed)
    body = []
    for _ in range(statements):
        names = dict(zip("abc", draw.sample(NAMES, 3), strict=True))
        body.append("    " + draw.choice(STATEMENTS).format(**names, n=draw.randrange(10_000)))
    return f"def made_{seed}({', '.join(draw.sample(NAMES, 3))}):\n" + "\n".join(body) + "\n"


def file(number: int, content: str, **told: Any) -> CodeFile:
    """A row of the training part."""
    repo, path = told.pop("repo", f"acme/r{number}"), told.pop("path", f"src/m{number}.py")
    told = {"language": "python", "license": "MIT", "commit": f"{number:040x}"} | told
    return CodeFile(repo, path, content, **told)


def split_of(folder: Path, files: Sequence[CodeFile], *, shard: int = 7) -> Artifact:
    """A split whose training part are these rows."""
    for first in range(0, max(len(files), 1), shard):
        path = folder / f"train/{first // shard:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, files[first : first + shard])
    return as_artifact(folder, "split")


def build(folder: Path, inputs: dict[str, Artifact], **told: Any) -> Path:
    """Run the stage; gives the folder of the index."""
    out = Output(folder, EventLog(folder.parent / "events.jsonl"), "index")
    Index(Index.Settings(**told)).run(inputs, out)
    out.finish()
    return folder


def index_of(folder: Path, files: Sequence[CodeFile], **told: Any) -> ProvenanceIndex:
    """The index of some rows."""
    split = split_of(folder / "split", files)
    return ProvenanceIndex.open(build(folder / "index", {"split": split}, **told))
