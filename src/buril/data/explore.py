"""Looking at the data: facets, reasons, findings, redactions and example rows, counted over the artifacts of a run.

Only the columns that are counted are read, with their repeated values as numbers (Arrow dictionaries); the texts are
never loaded, and no column is turned into Python objects before it has been grouped. A million rows take seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from buril.core.artifact import Artifact
from buril.core.errors import BurilError, nearest
from buril.core.store import Store

STAGES = ("collect", "dedup", "prepare", "select", "split")
FACETS = ("language", "license", "repo")
RULES = {"findings": ("scanner", "rule", "severity"), "redactions": ("rule",)}
ROWS = ("row_id", "repo", "path", "language", "license", "bytes")
DROPS = ("repo", "path", "language", "license", "bytes", "stage", "step", "reason", "detail")
_REPEATED = ("repo", "language", "license", "stage", "step", "reason", "part")


class Filters(NamedTuple):
    """What to look at; "" is everything. `reason` is a reason, `step.reason` or `stage.step.reason`."""

    language: str = ""
    license: str = ""
    repo: str = ""
    reason: str = ""
    part: str = ""


EVERYTHING = Filters()


class Explored(NamedTuple):
    """What was found. Rows of the lists are plain JSON objects with `files` and `bytes`, the largest first."""

    stages: tuple[str, ...]
    """The stages that have been run and were looked at."""
    totals: dict[str, dict[str, int]]
    """`found` (all that was looked at), `kept`, `dropped`: files and bytes. After `select` these two add up to it."""
    facets: dict[str, list[dict[str, Any]]]
    """`language`, `license`, `repo`, `part`: what is kept of each value; with a reason, what was dropped for it."""
    dropped: list[dict[str, Any]]
    """By stage, step and reason."""
    findings: list[dict[str, Any]]
    """By scanner, rule and severity: `times` and `files`."""
    redactions: list[dict[str, Any]]
    """By rule: `times` and `files`."""
    kept_rows: list[dict[str, Any]]
    """Examples of what is kept, by repository and path."""
    dropped_rows: list[dict[str, Any]]
    """Examples of what was dropped, with its reason."""


def reached(store: Store, ref: str | None) -> dict[str, Artifact]:
    """The data artifacts of a run (`NAME`, `NAME@RUN`, None for the latest), or those that one artifact was made from.

    Raises:
        BurilError: S001 or S006 when the reference names none or several, D323 when no stage of the data is there.
    """
    refs = store.refs()
    if ref is None or ref in refs or f"{ref}@latest" in refs:
        found = store.chain(ref)
    else:
        found, todo = {}, [store.resolve(ref)]
        while todo:
            artifact = todo.pop()
            if artifact.manifest.stage not in found:
                found[artifact.manifest.stage] = artifact
                todo += [made for link in artifact.manifest.inputs.values() if (made := store.linked(link))]
    if not any(name in found for name in STAGES):
        raise BurilError("D323", ref=ref or "latest")
    return found


def explore(artifacts: Mapping[str, Artifact], filters: Filters = EVERYTHING, *, limit: int = 20) -> Explored:
    """Count what the filters let through; at most `limit` values of each list and `limit` rows of each kind.

    Raises:
        BurilError: D324 for a value of a filter that no row has.
    """
    found = _table(_files(artifacts, "collect", "rows/*.parquet"), ROWS)
    kept = _kept(artifacts)
    dropped = _table(_dropped_files(artifacts), DROPS)
    _check(filters, (found, kept, dropped))
    whole = filters._replace(reason="", part="")  # what was found has neither
    unread = _filtered(dropped, whole).filter(pc.field("stage") == "collect").select(["bytes"])
    found = pa.concat_tables([_filtered(found, whole).select(["bytes"]), unread])
    kept, dropped = _filtered(kept, filters), _filtered(dropped, filters)
    if filters.reason:  # a reason is why a row was dropped
        kept = kept.slice(0, 0)
    if filters.part:  # only what is kept has one
        dropped = dropped.slice(0, 0)
    shown = dropped if filters.reason else kept
    facets = {by: _counts(shown, [by], limit) for by in (*FACETS, "part") if by in shown.column_names}
    rules = _rules(_files(artifacts, "prepare", "rows/*.parquet"), filters, kept if filters.part else None, limit)
    return Explored(
        stages=tuple(name for name in STAGES if name in artifacts),
        totals={"found": _total(found), "kept": _total(kept), "dropped": _total(dropped)},
        facets=facets, dropped=_counts(dropped, ["stage", "step", "reason"], limit),
        findings=rules["findings"], redactions=rules["redactions"],
        kept_rows=_examples(kept, limit), dropped_rows=_examples(dropped, limit),
    )  # fmt: skip


def _files(artifacts: Mapping[str, Artifact], stage: str, pattern: str) -> list[Path]:
    return artifacts[stage].files(pattern) if stage in artifacts else []


def _dropped_files(artifacts: Mapping[str, Artifact]) -> list[Path]:
    """`select` tells the drops of every stage before it; without it only those of `collect` are known."""
    return _files(artifacts, "select", "dropped.parquet") or _files(artifacts, "collect", "dropped.parquet")


def _kept(artifacts: Mapping[str, Artifact]) -> pa.Table:
    """The selected rows with their part; without a selection, the rows of the last stage there is."""
    selected = _files(artifacts, "select", "selected.parquet")
    if not selected:
        rows = _files(artifacts, "prepare", "rows/*.parquet") or _files(artifacts, "collect", "rows/*.parquet")
        return _table(rows, ROWS)
    kept = _table(selected, ROWS)
    dealt = _files(artifacts, "split", "assignment.parquet")
    if dealt:
        parts = _table(dealt, ("row_id", "part"))
        place = pc.index_in(kept["row_id"], value_set=parts["row_id"].combine_chunks())
        kept = kept.append_column("part", parts["part"].combine_chunks().take(place))
    return kept


def _table(paths: Sequence[Path], columns: Sequence[str]) -> pa.Table:
    """Some columns of Parquet files as one table; repeated values as dictionaries."""
    wanted = [name for name in columns if name in _REPEATED]
    schema = pa.schema([(name, _type(name)) for name in columns])
    tables = [pq.read_table(path, columns=list(columns), read_dictionary=wanted).cast(schema) for path in paths]
    return pa.concat_tables(tables).unify_dictionaries() if tables else schema.empty_table()


def _type(name: str) -> pa.DataType:
    if name == "bytes":
        return pa.int64()
    return pa.dictionary(pa.int32(), pa.string()) if name in _REPEATED else pa.string()


def _check(filters: Filters, tables: Sequence[pa.Table]) -> None:
    """A value that no row has is a mistake, and the nearest one is named."""
    for name, value in filters._asdict().items():
        there = [table for table in tables if name in table.column_names]
        values = {str(item) for table in there for item in pc.unique(table[name]).to_pylist() if item is not None}
        if value and (value.rpartition(".")[2] if name == "reason" else value) not in values:
            raise BurilError("D324", name=name, value=value, suggestion=nearest(value, sorted(values - {""})))


def _filtered(table: pa.Table, filters: Filters) -> pa.Table:
    for name, value in filters._asdict().items():
        if not value:
            continue
        stage, _dot, step_reason = value.partition(".")
        pairs = [(name, value)]
        if name == "reason" and step_reason:
            step, _dot, reason = step_reason.partition(".")
            pairs = [("stage", stage), ("step", step), ("reason", reason)] if reason else [
                ("step", stage), ("reason", step)
            ]  # fmt: skip
        for column, wanted in pairs:
            if column in table.column_names:
                table = table.filter(pc.equal(table[column], wanted))
    return table


def _total(table: pa.Table) -> dict[str, int]:
    return {"files": table.num_rows, "bytes": int(pc.sum(table["bytes"]).as_py() or 0)}


def _counts(table: pa.Table, by: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """Files and bytes of each combination of the columns `by`, most bytes first."""
    grouped = table.group_by(list(by)).aggregate([([], "count_all"), ("bytes", "sum")])
    rows: list[dict[str, Any]] = [
        {**{name: row[name] or "" for name in by}, "files": int(row["count_all"]), "bytes": int(row["bytes_sum"] or 0)}
        for row in grouped.to_pylist()
    ]
    return sorted(rows, key=lambda row: (-row["bytes"], -row["files"], *(row[name] for name in by)))[:limit]


def _examples(table: pa.Table, limit: int) -> list[dict[str, Any]]:
    """The first rows by repository and path."""
    if not table.num_rows or limit < 1:
        return []
    keys = table.select(["repo", "path"])
    keys = keys.set_column(0, "repo", pc.cast(keys["repo"], pa.string()))
    places = pc.select_k_unstable(keys, k=limit, sort_keys=[("repo", "ascending"), ("path", "ascending")])
    rows: list[dict[str, Any]] = table.take(places).to_pylist()
    return rows


def _rules(
    paths: Sequence[Path], filters: Filters, only: pa.Table | None, limit: int
) -> dict[str, list[dict[str, Any]]]:
    """Findings and redactions by rule over the prepared rows, or over those of them in the table `only`."""
    columns = ["row_id", *FACETS, *(f"{name}.list.element.{key}" for name in RULES for key in RULES[name])]
    tables = []
    for path in [] if filters.reason else paths:
        with pq.ParquetFile(path, read_dictionary=list(FACETS)) as source:  # only this reader takes single leaves
            table = _filtered(source.read(columns=columns), filters)
        some = pc.or_(*(pc.greater(pc.list_value_length(table[name]), 0) for name in RULES))
        tables.append(table.filter(some).select(["row_id", *RULES]))
    if not tables:
        return {name: [] for name in RULES}
    table = pa.concat_tables(tables)
    if only is not None:
        table = table.filter(pc.is_in(table["row_id"], value_set=only["row_id"].combine_chunks()))
    return {name: _ranked(table[name].combine_chunks(), RULES[name], limit) for name in RULES}


def _ranked(column: pa.ListArray, keys: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """The structures of a column of lists, counted: how often each combination of `keys` occurs, in how many rows."""
    items = pc.list_flatten(column)
    flat = pa.table({**{key: pc.struct_field(items, key) for key in keys}, "row": pc.list_parent_indices(column)})
    grouped = flat.group_by(list(keys)).aggregate([([], "count_all"), ("row", "count_distinct")])
    rows: list[dict[str, Any]] = [
        {**{key: row[key] or "" for key in keys}, "times": row["count_all"], "files": row["row_count_distinct"]}
        for row in grouped.to_pylist()
    ]
    level = {"high": 0, "medium": 1, "low": 2}
    rows.sort(key=lambda row: (level.get(row.get("severity", ""), 3), -row["times"], *(row[key] for key in keys)))
    return rows[:limit]
