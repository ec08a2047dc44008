"""Inputs for the sources of pairs: weak and mended code, a repository with a history, a split with files set aside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from buril.code.codefile import CodeFile, Finding, write_rows
from buril.core.artifact import Artifact
from buril.core.events import EventLog
from buril.core.plugins import plugin
from buril.core.stage import Output
from buril.data._candidates import Placed, write_pairs
from buril.data.pair import Pairing
from tests.conftest import as_artifact

QUERY = (
    "import sqlite3\n\n\ndef find(db, name):\n    db.row_factory = sqlite3.Row\n    rows = db.execute({}).fetchall()\n"
    "    found = [dict(row) for row in rows]\n    found.sort(key=str)\n    return found\n"
)
WEAK = QUERY.format("f\"SELECT * FROM people WHERE name = '{name}'\"")
MENDED = QUERY.format('"SELECT * FROM people WHERE name = ?", (name,)')
SHELL = (
    "import subprocess\n\n\ndef archive(name, target):\n    print(target)\n    done = subprocess.run({})\n"
    "    print(done.returncode)\n    return done.returncode == 0\n"
)
WEAK_SHELL = SHELL.format('f"tar cf {target} {name}", shell=True')
MENDED_SHELL = SHELL.format('["tar", "cf", target, name]')
PLAIN = "def total(prices):\n    result = 0\n    for price in prices:\n        result += price\n    return result\n"

Files = Mapping[str, str | bytes]


def repository(folder: Path, versions: Sequence[tuple[str, Files]], *, merge_at: int = -1) -> Path:
    """A bare repository whose commits hold, one after the other, the messages and files; fast for hundreds of them.

    The commit `merge_at` is made a merge of the one before and the first.
    """
    stream = bytearray()
    for number, (message, files) in enumerate(versions, 1):
        told = message.encode()
        stream += b"commit refs/heads/main\nmark :%d\n" % number
        stream += b"committer a <a@b.c> %d +0000\ndata %d\n%s\n" % (1_700_000_000 + number * 86_400, len(told), told)
        if number > 1:
            stream += b"from :%d\n" % (number - 1)
        if number == merge_at:
            stream += b"merge :1\n"
        stream += b"deleteall\n"
        for path, content in files.items():
            raw = content if isinstance(content, bytes) else content.encode()
            stream += b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(raw), raw)
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", "."], cwd=folder, check=True)
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, check=True, input=bytes(stream))
    return folder


def inputs(
    folder: Path, train: Sequence[CodeFile] = (), *, aside: Sequence[CodeFile] = (), held_out: Sequence[CodeFile] = ()
) -> dict[str, Artifact]:
    """The artifacts `prepare`, `select` and `split`: files set aside stand in the second shard of `prepare`."""
    plain = CodeFile("acme/x", "plain.py", PLAIN, language="python", license="MIT")
    write_rows(folder / "prepare/rows/00000.parquet", [*train, *held_out])
    write_rows(folder / "prepare/rows/00001.parquet", [plain, *aside])
    out = Output(folder / "select", EventLog(folder / "events.jsonl"), "select")
    write_pairs(out, [Placed(file, 1, place) for place, file in enumerate(aside, 1)])
    write_rows(folder / "split/train/00000.parquet", list(train))
    write_rows(folder / "split/valid/00000.parquet", list(held_out))
    write_rows(folder / "split/test/00000.parquet", [])
    return {name: as_artifact(folder / name, name) for name in ("prepare", "select", "split")}


def python(path: str, content: str, **given: Any) -> CodeFile:
    told: dict[str, Any] = {"commit": "c0ffee", "language": "python", "license": "MIT", **given}
    return CodeFile("acme/shop", path, content, **told)


def noted(file: CodeFile, line: int) -> CodeFile:
    """A file with a finding of `prepare` on a line."""
    file.findings.append(Finding("bandit", "B608", line, "medium", "a query put together", "CWE-89"))
    return file


def source(name: str, folder: Path) -> tuple[Pairing, dict[str, Artifact]]:
    """A source of pairs of this repository that has something to give, and what it reads."""
    found = plugin("pairing", name)
    told: dict[str, Any] = {}
    if name == "history":
        told = {"paths": repository(folder / "shop", [("Add", {"a.py": WEAK}), ("Mend", {"a.py": MENDED})])}
    if name == "table":
        row = {"good": MENDED, "bad": WEAK, "kind": "cwe-089", "file": "a.py"}
        (folder / "pairs.jsonl").write_text(json.dumps(row) + "\n")
        told = {
            "path": folder / "pairs.jsonl", "secure": "good", "vulnerable": "bad", "cwe": "kind", "file": "file",
            "license": "MIT",
        }  # fmt: skip
    made: Pairing = found(found.Settings(**told))
    safe = python("c.py", MENDED.replace("find", "look_up") + "\n\n" + MENDED_SHELL.replace("archive", "pack"))
    given = inputs(folder / "made", [python("a.py", WEAK), safe], aside=[noted(python("b.py", WEAK_SHELL), 6)])
    return made, {need: given[need] for need in made.needs()}
