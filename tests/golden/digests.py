"""What the stages make of the corpus, as digests of contents: the same for every version of the libraries that write.

A Parquet file's bytes depend on the pyarrow that wrote it, its rows do not; so tables count by their rows and JSON by
its values. Anything else counts by its bytes. `logs/` is evidence, not identity, and is left out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from buril.chain import Chain
from buril.core.artifact import MANIFEST, Artifact, canonical, sha256_file
from buril.core.plan import run
from buril.core.plugins import KINDS, names
from buril.core.store import Store

from .corpus import build

NEEDS = {
    "collect": (),
    "dedup": ("collect",),
    "prepare": ("collect", "dedup"),
    "select": ("collect", "dedup", "prepare"),
    "split": ("prepare", "select", "dedup"),
    "tokenizer": ("split",),
    "base": ("tokenizer",),
    "pack": ("split", "tokenizer"),
}
"""The stages that are made, and what each reads."""
STAGES = tuple(NEEDS)
FILE = Path(__file__).with_name("golden.json")

Golden = dict[str, dict[str, Any]]


def make(folder: Path) -> dict[str, Artifact]:
    """Run the stages on the corpus in an empty folder; gives their artifacts."""
    chain = Chain.from_values(build(folder / "corpus"), folder / "corpus")
    stages = [stage for stage in chain.stages() if stage.name in STAGES]
    assert {stage.name for stage in stages} == set(STAGES)
    return run(stages, Store(folder / "store"), name="golden").artifacts


def golden(artifacts: dict[str, Artifact]) -> Golden:
    """What golden.json holds for these artifacts: version, parts and the digest of every file's content."""
    return {
        name: {
            "version": artifacts[name].manifest.version,
            "parts": own_parts(artifacts[name].manifest.identity["parts"]),
            "files": {path: content_digest(artifacts[name].path(path)) for path in identity_files(artifacts[name])},
        }
        for name in STAGES
    }


def own_parts(parts: dict[str, int]) -> dict[str, int]:
    """The parts that stand in this repository: a plugin that some package on this machine offers is left out."""
    kept = {}
    for part, version in parts.items():
        kind, _separator, plugin = re.sub(r"[.: ]", "\0", part, count=1).partition("\0")
        if kind not in KINDS or names(kind).get(plugin) == "buril":
            kept[part] = version
    return kept


def places_of(value: Any, text: str, place: str = "") -> Iterator[str]:
    """Where a text stands in JSON, as dotted places."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places_of(item, text, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places_of(item, text, f"{place}[{index}]")
    elif isinstance(value, str) and text in value:
        yield place


def identity_files(artifact: Artifact) -> list[str]:
    """Its files by relative path, without evidence and the manifest."""
    paths = (str(path.relative_to(artifact.folder)) for path in sorted(artifact.folder.rglob("*")) if path.is_file())
    return [path for path in paths if path != MANIFEST and not path.startswith("logs/")]


def content_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    if path.suffix not in (".parquet", ".json", ".jsonl"):
        return sha256_file(path)
    return hashlib.sha256(canonical(content(path))).hexdigest()


def content(path: Path) -> Any:
    """The rows of a table, with its column names and types; the values of JSON."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return {"schema": [[field.name, str(field.type)] for field in table.schema], "rows": plain(table.to_pylist())}
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return json.loads(path.read_text(encoding="utf-8"))


def plain(value: Any) -> Any:
    """A value of a table as JSON."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def read() -> Golden:
    """What golden.json holds; nothing when it is not there."""
    found: Golden = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return found


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The files of a stage whose content differs, was added or is gone, one line each."""
    before, after = old.get("files", {}), new["files"]
    words = {(True, True): "changed", (False, True): "new", (True, False): "gone"}
    return [
        f"{path} ({words[path in before, path in after]})"
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]


def verdict(name: str, old: dict[str, Any] | None, new: dict[str, Any], above: Sequence[str] = ()) -> str:
    """What is wrong with a stage against golden.json and what mends it; "" when nothing is.

    `above`: stages it reads whose bytes changed as well, so that its own changed without its doing.
    """
    update = "run `python -m tests.golden.update`"
    if old is None:
        return f"{name} is not in golden.json: {update}"
    changed, version, was = changes(old, new), new["version"], old["version"]
    same_versions = (version, new["parts"]) == (was, old["parts"])
    if not changed:
        return "" if same_versions else f"{name}: version or parts changed, the bytes did not: {update}"
    listed = ", ".join(changed)
    if same_versions and above:
        return f"bytes of {name} changed with those of {', '.join(above)}: mend that first; {listed}"
    if same_versions:
        return f"bytes of {name} changed: bump `version` (was {was}) and {update}; {listed}"
    moved = [f"version {was} → {version}"] if version != was else []
    moved += [
        f"{part} {old['parts'].get(part)} → {new['parts'].get(part)}"
        for part in sorted(old["parts"].keys() | new["parts"].keys())
        if old["parts"].get(part) != new["parts"].get(part)
    ]
    return f"bytes of {name} changed and its version was bumped ({', '.join(moved)}), but golden.json is old: {update}"
