"""The data section: what was found, what was kept and dropped and why, what scanners saw, and the parts of the split.

Tables are read column by column and counted by Arrow; the text of the files is never loaded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from buril.core.artifact import Artifact

MAX_VALUES = 12
"""Rows of a facet; the others are summed up below them."""
MAX_REASONS = 40
MAX_RULES = 25
MAX_SAMPLES = 24
"""Dropped files shown, spread over the reasons."""
PARTS = ("train", "valid", "test")


class Count(NamedTuple):
    """Files and their bytes."""

    files: int = 0
    bytes: int = 0


class Value(NamedTuple):
    """One value of a facet: how much of it was found and how much was kept."""

    name: str
    found: Count
    kept: Count


@dataclass(frozen=True)
class Facet:
    """The values of one column, largest first; `others` sums the `num_others` that did not fit."""

    by: str
    values: tuple[Value, ...]
    num_others: int = 0
    others: Value = Value("", Count(), Count())

    @property
    def most(self) -> int:
        """Files of the largest value, found or kept, at least one: what a whole bar stands for."""
        return max((1, *(max(value.found.files, value.kept.files) for value in self.values)))


class Reason(NamedTuple):
    """Why files were dropped: the stage and step that said so, and how much it was."""

    stage: str
    step: str
    reason: str
    files: int
    bytes: int


class Dropped(NamedTuple):
    """One dropped file, as an example of its reason."""

    repo: str
    path: str
    stage: str
    step: str
    reason: str
    detail: str
    bytes: int


class Rule(NamedTuple):
    """How often a rule of a scanner fired (`severity` is empty for redactions) and in how many files."""

    source: str
    rule: str
    severity: str
    times: int
    files: int


class PartRow(NamedTuple):
    """One language's files and bytes in the parts of the split, in the order of `PARTS`."""

    language: str
    parts: tuple[Count, ...]


@dataclass(frozen=True)
class DataFacets:
    """All of the data section. Empty where the stage that would tell has not been run (`has` names those that have).

    `found` counts every file that was looked at, `read` those that became rows, `kept` those that were selected.
    """

    has: tuple[str, ...]
    found: Count
    read: Count
    kept: Count
    num_repositories: int
    facets: tuple[Facet, ...]
    drops_by_stage: tuple[tuple[str, Count], ...]
    reasons: tuple[Reason, ...]
    num_more_reasons: int
    samples: tuple[Dropped, ...]
    redactions: tuple[Rule, ...]
    findings: tuple[Rule, ...]
    num_more_rules: int
    split: tuple[PartRow, ...]
    split_total: tuple[Count, ...]


def gather_data(artifacts: Mapping[str, Artifact]) -> DataFacets | None:
    """The data section from the artifacts of the data stages; None when none of them has been run."""
    has = tuple(name for name in ("collect", "dedup", "prepare", "select", "split") if name in artifacts)
    if not has:
        return None
    columns = ["repo", "language", "license", "bytes"]
    found = _read(_shards(artifacts, "collect", "rows/*.parquet"), columns)
    kept = _read(_kept_files(artifacts), columns)
    dropped = _read(_dropped_files(artifacts), ["repo", "path", "stage", "step", "reason", "detail", "bytes"])
    reasons = _reasons(dropped)
    redactions, findings, more = _rules(_shards(artifacts, "prepare", "rows/*.parquet"))
    split, total = _split(_shards(artifacts, "split", "assignment.parquet"))
    read = Count(found.num_rows, _sum(found))
    unread = dict(_by_stage(reasons)).get("collect", Count())
    return DataFacets(
        has=has, found=_total((read, unread)), read=read, kept=Count(kept.num_rows, _sum(kept)),
        num_repositories=pc.count_distinct((found if found.num_rows else kept)["repo"]).as_py(),
        facets=tuple(_facet(by, found, kept) for by in ("language", "license", "repo")),
        drops_by_stage=_by_stage(reasons),
        reasons=reasons[:MAX_REASONS], num_more_reasons=max(0, len(reasons) - MAX_REASONS),
        samples=_samples(dropped, reasons), redactions=redactions, findings=findings, num_more_rules=more,
        split=split, split_total=total,
    )  # fmt: skip


def _shards(artifacts: Mapping[str, Artifact], stage: str, pattern: str) -> list[Path]:
    return artifacts[stage].files(pattern) if stage in artifacts else []


def _kept_files(artifacts: Mapping[str, Artifact]) -> list[Path]:
    """What tells of kept files: the selection where there is one, else the rows of the last data stage before it."""
    return (
        _shards(artifacts, "select", "selected.parquet")
        or _shards(artifacts, "prepare", "rows/*.parquet")
        or _shards(artifacts, "collect", "rows/*.parquet")
    )


def _dropped_files(artifacts: Mapping[str, Artifact]) -> list[Path]:
    """`select` keeps the drops of every stage before it; without it only those of `collect` are known."""
    return _shards(artifacts, "select", "dropped.parquet") or _shards(artifacts, "collect", "dropped.parquet")


def _read(paths: Sequence[Path], columns: Sequence[str]) -> pa.Table:
    """Some columns of some Parquet files as one table; a column that a file lacks is filled with nothing."""
    tables = []
    for path in paths:
        with pq.ParquetFile(path) as source:
            there = [name for name in columns if name in source.schema_arrow.names]
            table = source.read(columns=there)
        missing = [name for name in columns if name not in there]
        for name in missing:
            table = table.append_column(name, pa.nulls(table.num_rows, _kind(name)))
        tables.append(table.select(list(columns)).cast(pa.schema([(name, _kind(name)) for name in columns])))
    return pa.concat_tables(tables) if tables else pa.schema([(name, _kind(name)) for name in columns]).empty_table()


def _kind(name: str) -> pa.DataType:
    return pa.int64() if name == "bytes" else pa.string()


def _sum(table: pa.Table) -> int:
    return int(pc.sum(table["bytes"]).as_py() or 0)


def _counts(table: pa.Table, by: Sequence[str]) -> dict[tuple[str, ...], Count]:
    """Files and bytes of each combination of the columns `by`."""
    grouped = table.group_by(list(by)).aggregate([([], "count_all"), ("bytes", "sum")])
    return {
        tuple(str(row[name] or "") for name in by): Count(int(row["count_all"]), int(row["bytes_sum"] or 0))
        for row in grouped.to_pylist()
    }


def _facet(by: str, found: pa.Table, kept: pa.Table) -> Facet:
    before, after = _counts(found, [by]), _counts(kept, [by])
    values = [
        Value(name[0], before.get(name, Count()), after.get(name, Count())) for name in before.keys() | after.keys()
    ]
    values.sort(key=lambda value: (-value.kept.bytes, -value.found.bytes, value.name))
    rest = values[MAX_VALUES:]
    others = Value("", _total(value.found for value in rest), _total(value.kept for value in rest))
    return Facet(by, tuple(values[:MAX_VALUES]), len(rest), others)


def _total(counts: Any) -> Count:
    found = list(counts)
    return Count(sum(count.files for count in found), sum(count.bytes for count in found))


def _reasons(dropped: pa.Table) -> tuple[Reason, ...]:
    counts = _counts(dropped, ["stage", "step", "reason"])
    rows = [Reason._make((*names, count.files, count.bytes)) for names, count in counts.items()]
    return tuple(sorted(rows, key=lambda row: (-row.files, -row.bytes, row[:3])))


def _by_stage(reasons: Sequence[Reason]) -> tuple[tuple[str, Count], ...]:
    order = {"collect": 0, "dedup": 1, "prepare": 2, "select": 3}
    names = sorted({row.stage for row in reasons}, key=lambda name: (order.get(name, 9), name))
    return tuple((name, _total(Count(row.files, row.bytes) for row in reasons if row.stage == name)) for name in names)


def _samples(dropped: pa.Table, reasons: Sequence[Reason]) -> tuple[Dropped, ...]:
    """A few files of every reason, the commonest reasons first, as many of each as fit."""
    if not reasons:
        return ()
    each = max(1, MAX_SAMPLES // len(reasons))
    samples: list[Dropped] = []
    for reason in reasons[:MAX_SAMPLES]:
        mask = pc.and_(
            pc.and_(_is(dropped["stage"], reason.stage), _is(dropped["step"], reason.step)),
            _is(dropped["reason"], reason.reason),
        )
        rows = dropped.filter(mask).sort_by([("repo", "ascending"), ("path", "ascending")]).slice(0, each).to_pylist()
        for row in rows:
            texts = [str(row[name] or "") for name in Dropped._fields[:6]]
            samples.append(Dropped._make((*texts, int(row["bytes"] or 0))))
    return tuple(samples[:MAX_SAMPLES])


def _is(column: pa.ChunkedArray, value: str) -> pa.ChunkedArray:
    return pc.equal(pc.fill_null(column, ""), value)


def _rules(shards: Sequence[Path]) -> tuple[tuple[Rule, ...], tuple[Rule, ...], int]:
    """Redactions and findings by rule over the prepared rows, and how many rules did not fit."""
    seen = {"redactions": _RuleCounts(), "findings": _RuleCounts()}
    for path in shards:
        with pq.ParquetFile(path) as source:
            table = source.read(columns=[name for name in seen if name in source.schema_arrow.names])
        for name in table.column_names:
            seen[name].add(table[name])
    ranked = {name: counts.ranked() for name, counts in seen.items()}
    more = sum(max(0, len(rules) - MAX_RULES) for rules in ranked.values())
    return ranked["redactions"][:MAX_RULES], ranked["findings"][:MAX_RULES], more


class _RuleCounts:
    """How often each (source, rule, severity) occurs, and in how many rows."""

    def __init__(self) -> None:
        self.times: Counter[tuple[str, str, str]] = Counter()
        self.files: Counter[tuple[str, str, str]] = Counter()

    def add(self, column: pa.ChunkedArray) -> None:
        """Count one column of lists of rules."""
        rows = pc.list_parent_indices(column).to_pylist()
        names = [
            tuple(str(item.get(key) or "") for key in ("scanner", "rule", "severity"))
            for item in pc.list_flatten(column).to_pylist()
        ]
        self.times.update((name[0], name[1], name[2]) for name in names)
        self.files.update((name[0], name[1], name[2]) for _row, name in set(zip(rows, names, strict=True)))

    def ranked(self) -> tuple[Rule, ...]:
        """The rules, gravest and commonest first."""
        level = {"high": 0, "medium": 1, "low": 2}
        rules = [Rule(*name, times, self.files[name]) for name, times in self.times.items()]
        return tuple(sorted(rules, key=lambda rule: (level.get(rule.severity, 3), -rule.times, rule.source, rule.rule)))


def _split(shards: Sequence[Path]) -> tuple[tuple[PartRow, ...], tuple[Count, ...]]:
    table = _read(shards, ["language", "part", "bytes"])
    if not table.num_rows:
        return (), ()
    counts = _counts(table, ["language", "part"])
    languages = sorted({language for language, _part in counts})
    rows = [PartRow(name, tuple(counts.get((name, part), Count()) for part in PARTS)) for name in languages]
    rows.sort(key=lambda row: (-row.parts[0].bytes, row.language))
    return tuple(rows), tuple(_total(row.parts[index] for row in rows) for index in range(len(PARTS)))
