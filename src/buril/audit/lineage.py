"""Lineage: what happened to a file, what it went into, and what a model or a completion was made from.

Nothing is recorded for this: every row keeps its repository, commit, path and licence, every packed token its row,
every artifact the digests of its inputs. These functions only walk that graph.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from buril.audit.derived import derived_of, derived_rows, origin_of, pairs_of
from buril.core.artifact import Artifact
from buril.core.errors import BurilError, nearest
from buril.core.store import Store

TRAINED = ("train", "align")
"""Stages that make weights, and write which rows these have read."""
SEEN = "seen.parquet"
PLACE = ["row_id", "repo", "commit", "path", "language", "license", "bytes"]


class Moment(NamedTuple):
    """What one stage did with a file. `outcome`: kept, dropped, changed or noted; `detail` says why, in numbers."""

    stage: str
    outcome: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class FileStory:
    """One collected file and all that happened to it, in order. `part` is train, valid or test when it got that far."""

    row_id: str
    repo: str
    commit: str
    path: str
    language: str
    license: str
    bytes: int
    moments: tuple[Moment, ...]
    part: str = ""
    tokens: int = 0

    @property
    def kept(self) -> bool:
        """Whether it is part of the data set."""
        return all(moment.outcome != "dropped" for moment in self.moments)


def stories(chain: Mapping[str, Artifact], file: str, limit: int = 20) -> list[FileStory]:
    """The stories of all collected files that `file` names: a path, its end, `repo/path` or a row id.

    Args:
        chain: artifacts by stage; the story ends where they end.
        file: what to look for.
        limit: at most so many files.

    Raises:
        BurilError: S007 when nothing was collected yet, W101 when no file fits, with the nearest path.
    """
    if "collect" not in chain and "pairs" not in chain:
        raise BurilError("S007", stage="collect")
    asked, file = file, origin_of(chain, file) or file  # a row that was made of a file tells that file's story
    found = [row for table in _collected(chain) for row in _matching(table, file)]
    if not found and (pairs := [_pair_story(row) for row in pairs_of(chain, asked)]):
        return pairs[:limit]
    if not found:
        paths = sorted({path for table in _collected(chain) for path in table.column("path").to_pylist()})
        tails = [path for path in paths if path.rsplit("/", 1)[-1] == file.rsplit("/", 1)[-1]]
        raise BurilError("W101", file=file, suggestion=nearest(file, tails or paths[:20_000]) if paths else "")
    exact = [row for row in found if row["path"] == file or f"{row['repo']}/{row['path']}" == file]
    return [_story(chain, row) for row in (exact or found)[:limit]]


def _collected(chain: Mapping[str, Artifact]) -> Iterator[pa.Table]:
    if "collect" not in chain:
        return
    collect = chain["collect"]
    for path in collect.files("rows/*.parquet"):
        yield pq.read_table(path, columns=PLACE)
    for path in collect.files("dropped.parquet"):
        yield pq.read_table(path, columns=PLACE)


def _matching(table: pa.Table, file: str) -> list[dict[str, Any]]:
    paths = table.column("path")
    whole = pc.binary_join_element_wise(table.column("repo"), paths, "/")
    tail = file.removeprefix("./").lstrip("/")
    mask = pc.or_(pc.or_(pc.equal(paths, file), pc.equal(table.column("row_id"), file)), pc.equal(whole, file))
    mask = pc.or_(mask, pc.or_(pc.equal(paths, tail), pc.ends_with(paths, f"/{tail}")))
    # an absolute or longer path of a file whose repository lies deeper: its end is what was collected
    longer = [path for path in paths.to_pylist() if path and file.endswith(f"/{path}")] if "/" in file else []
    mask = pc.or_(mask, pc.is_in(paths, pa.array(longer, pa.string())))
    rows: list[dict[str, Any]] = table.filter(mask).to_pylist()
    return rows


def _story(chain: Mapping[str, Artifact], row: dict[str, Any]) -> FileStory:
    moments: list[Moment] = []
    part, tokens = "", 0
    dropped = _one(chain["collect"], "dropped.parquet", row["row_id"])
    if dropped:
        moments.append(Moment("collect", "dropped", dropped["reason"], dropped["detail"]))
        return FileStory(**row, moments=tuple(moments))
    moments.append(Moment("collect", "kept", row["license"] or "licence unknown", f"{row['bytes']} bytes"))
    moments += _dedup(chain, row["row_id"])
    moments += _prepare(chain, row["row_id"])
    moments += _select(chain, row["row_id"])
    if "split" in chain and (assigned := _one(chain["split"], "assignment.parquet", row["row_id"])):
        part = assigned["part"]
        moments.append(Moment("split", "kept", part, assigned.get("unit") or ""))
    made = derived_of(chain, row["row_id"])
    moments += [Moment(item["stage"], "noted", f"{item['by']}: {item['row_id']}", item["detail"]) for item in made]
    if "pack" in chain and part:
        row_ids = [row["row_id"], *(item["row_id"] for item in made)]
        tokens, sequences = _packed(chain["pack"], row_ids)
        moments.append(Moment("pack", "kept" if tokens else "noted", f"{tokens} tokens", f"{sequences} sequences"))
    return FileStory(**row, moments=tuple(moments), part=part, tokens=tokens)


def _pair_story(row: dict[str, Any]) -> FileStory:
    """The story of a pair whose file was not collected: it is from a history or a table, or ours."""
    what = " ".join(filter(None, (row["cwe"], row["change"])))
    moment = Moment("pairs", "kept", f"{row['source']}: {row['row_id']}", what)
    return FileStory(**{name: row[name] for name in PLACE}, moments=(moment,), part=row["part"])


def _one(artifact: Artifact, name: str, row_id: str) -> dict[str, Any] | None:
    if not artifact.path(name).exists():
        return None
    rows = pq.read_table(artifact.path(name), filters=[("row_id", "=", row_id)]).to_pylist()
    return rows[0] if rows else None


def _dedup(chain: Mapping[str, Artifact], row_id: str) -> Iterator[Moment]:
    if "dedup" not in chain or not (row := _one(chain["dedup"], "duplicates.parquet", row_id)):
        return
    if row["kept"]:
        yield Moment("dedup", "kept", row["kind"])
        return
    of = next((r for table in _collected(chain) for r in _matching(table, row["of"])), None)
    name = f"{of['repo']}/{of['path']}" if of else row["of"]
    yield Moment("dedup", "dropped", f"{row['kind']} duplicate", f"{name} ({row['similarity']:.2f})")


def _prepare(chain: Mapping[str, Artifact], row_id: str) -> Iterator[Moment]:
    if "prepare" not in chain:
        return
    for path in chain["prepare"].files("rows/*.parquet"):
        columns = ["bytes", "signals", "redactions", "findings", "verdicts"]
        for row in pq.read_table(path, columns=columns, filters=[("row_id", "=", row_id)]).to_pylist():
            for item in row["redactions"]:
                yield Moment("prepare", "changed", f"redacted {item['rule']}", f"line {item['line']}")
            for item in row["findings"]:
                place = f"line {item['line']}" + (f":{item['column']}" if item.get("column") else "")
                what = " ".join(filter(None, (place, item["severity"], item["cwe"], item["message"])))
                yield Moment("prepare", "noted", f"{item['scanner']} {item['rule']}", what)
            for item in row["verdicts"]:
                yield Moment("prepare", "noted", f"{item['step']}: {item['reason']}", item["detail"])
            signals = ", ".join(f"{item['name']} {item['value']:g}" for item in row["signals"])
            yield Moment("prepare", "kept", "signals", signals)


def _select(chain: Mapping[str, Artifact], row_id: str) -> Iterator[Moment]:
    if "select" not in chain:
        return
    if row := _one(chain["select"], "selected.parquet", row_id):
        yield Moment("select", "kept", row["license"] or "licence unknown")
    elif (row := _one(chain["select"], "dropped.parquet", row_id)) and row["stage"] != "dedup":
        yield Moment("select", "dropped", f"{row['step']}: {row['reason']}", row["detail"])


def _packed(pack: Artifact, row_ids: list[str]) -> tuple[int, int]:
    """Tokens and sequences of a row and of what was made of it."""
    tokens = sequences = 0
    for name in ("train.parquet", "valid.parquet"):
        spans = pq.read_table(pack.path(name), columns=["spans"]).column("spans")
        flat = pc.list_flatten(spans)
        parents = pc.list_parent_indices(spans)
        mask = pc.is_in(pc.struct_field(flat, "row_id"), value_set=pa.array(row_ids, pa.string()))
        tokens += pc.sum(pc.struct_field(flat, "length").filter(mask)).as_py() or 0
        sequences += len(pc.unique(parents.filter(mask)))
    return tokens, sequences


@dataclass(frozen=True)
class Node:
    """An artifact in the graph of what something was made from; `inputs` are nodes, `missing` was removed."""

    stage: str
    key: str
    digest: str
    settings: dict[str, Any]
    made: str
    inputs: tuple[Node, ...] = ()
    missing: bool = False


@dataclass(frozen=True)
class Origin:
    """What a model learnt from: counts by licence and repository. `source` says how exactly it is known."""

    files: int
    bytes: int
    licenses: dict[str, int]
    repositories: list[dict[str, Any]] = field(default_factory=list)
    source: str = "split"


def ancestry(store: Store, artifact: Artifact) -> Node:
    """The graph of everything an artifact was made from, down to the collected sources."""
    manifest = artifact.manifest
    inputs = []
    for link in manifest.inputs.values():
        found = store.linked(link)
        inputs.append(
            ancestry(store, found) if found else Node(link.stage, link.key, link.digest, {}, "", missing=True)
        )
    return Node(manifest.stage, manifest.key, manifest.digest, manifest.settings, manifest.started, tuple(inputs))


def ancestors(store: Store, artifact: Artifact) -> dict[str, Artifact]:
    """All artifacts behind one, by stage, itself among them."""
    found = {artifact.manifest.stage: artifact}
    for link in artifact.manifest.inputs.values():
        if behind := store.linked(link):
            found = {**ancestors(store, behind), **found}
    return found


def learnt_rows(chain: Mapping[str, Artifact]) -> tuple[pa.Table, str] | None:
    """The files a model learnt from: row_id, repo, commit, license, bytes, one row a file; and how that is known.

    The source is `train` (rows that the kept weights had read), `pack` (rows in the training sequences) or `split` (the
    whole training part), the most exact that there is; None when there is no split. A pair counts as a row.
    """
    if "split" not in chain and "pairs" not in chain:
        return None
    columns = ["row_id", "repo", "commit", "license", "bytes"]
    shards = chain["split"].files("train/*.parquet") if "split" in chain else []
    tables = [*(pq.read_table(path, columns=columns) for path in shards), *derived_rows(chain, columns)]
    if not tables:
        return None
    table = pa.concat_tables(tables)
    read = [chain[name].path(SEEN) for name in TRAINED if name in chain and chain[name].path(SEEN).exists()]
    if read:
        seen, source = pa.concat_tables(pq.read_table(path, columns=["row_id"]) for path in read).column(0), "train"
    elif "pack" in chain and chain["pack"].path("train.parquet").exists():
        spans = pq.read_table(chain["pack"].path("train.parquet"), columns=["spans"]).column("spans")
        seen, source = pc.struct_field(pc.list_flatten(spans), "row_id"), "pack"
    else:
        return table, "split"
    return table.filter(pc.is_in(table.column("row_id"), value_set=pc.unique(seen).cast(pa.string()))), source


def origin(chain: Mapping[str, Artifact]) -> Origin | None:
    """What a model learnt from, counted by licence and repository; None when there is no split among the artifacts."""
    learnt = learnt_rows(chain)
    if learnt is None:
        return None
    licenses: dict[str, int] = {}
    repositories: dict[str, dict[str, Any]] = {}
    rows = learnt[0].to_pylist()
    for row in rows:
        licenses[row["license"]] = licenses.get(row["license"], 0) + 1
        entry = repositories.setdefault(
            row["repo"], {"repo": row["repo"], "commit": row["commit"], "licenses": set(), "files": 0}
        )
        entry["files"] += 1
        entry["licenses"].add(row["license"])
    listed = [{**entry, "licenses": sorted(entry["licenses"])} for entry in repositories.values()]
    listed.sort(key=lambda entry: (-entry["files"], entry["repo"]))
    by_count = dict(sorted(licenses.items(), key=lambda item: (-item[1], item[0])))
    return Origin(len(rows), sum(row["bytes"] for row in rows), by_count, listed, learnt[1])


@dataclass(frozen=True)
class Contributor:
    """A client of a federated training, whose text is not here. `weight` is its mean share of the rounds' averages."""

    client: str
    dataset: str
    tokens: int
    rounds: int
    weight: float


def contributors(train: Artifact) -> list[Contributor]:
    """The clients that a model's kept weights have learnt from; none where it was trained at one place."""
    path = train.path("contributions.parquet")
    if not path.exists():
        return []
    kept = train.json("train.json")["federated"]["kept_rounds"]
    rows = pq.read_table(path, filters=[("accepted", "=", True), ("round", "<", kept)]).to_pylist()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["client"], row["dataset"]), []).append(row)
    return [
        Contributor(client, dataset, lines[0]["tokens"], len(lines), sum(line["weight"] for line in lines) / kept)
        for (client, dataset), lines in sorted(found.items())
    ]


def models_with(store: Store, row_id: str) -> list[tuple[Artifact, int]]:
    """Every trained model in the store whose weights had read a row or what was made of it, with the number of tokens.

    Repeats are counted.
    """
    found = []
    for train in (artifact for name in TRAINED for artifact in store.artifacts(name)):
        row_ids = {row_id, *(item["row_id"] for item in derived_of(ancestors(store, train), row_id))}
        rows = [row for name in sorted(row_ids) if (row := _one(train, SEEN, name))]
        if rows:
            found.append((train, sum(int(row["tokens"]) for row in rows)))
    return found


def completion(store: Store, identifier: str) -> dict[str, Any] | None:
    """The record of a completion by the start of its id; None when there is none.

    Raises:
        BurilError: S006 when several start like that.
    """
    folder = store.root / "completions"
    fits = (
        sorted(path for path in folder.glob("*.json") if path.stem.startswith(identifier))
        if len(identifier) >= 4
        else []
    )
    if len(fits) > 1:
        raise BurilError("S006", ref=identifier, matches=", ".join(path.stem for path in fits))
    return _record(fits[0]) if fits else None


def _record(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record
