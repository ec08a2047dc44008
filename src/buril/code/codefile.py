"""CodeFile: the one row schema. Every data stage reads and writes these rows, as zstd Parquet.

A row keeps where it came from (`repo`, `commit`, `path`, `license`) through the whole chain, so that whatever is
made from it can say so. Steps never delete a row: they add signals and a verdict with its reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from buril.core.artifact import atomic


class Verdict(NamedTuple):
    """A reason to leave a row out. `step` gave it; `reason` is a stable slug; `detail` says more."""

    step: str
    reason: str
    detail: str = ""


class Finding(NamedTuple):
    """Something a scanner saw, or that it could not see (`rule` is then `inconclusive` or `partial`).

    `line` and `end_line` count from 1 (`end_line` 0: the same line). `column` is where it begins on `line`, and
    `end_column` the one behind its last character on the last line; both count characters (code points; a tab is one)
    from 1, and are 0 where the scanner does not say. `severity` is `low`, `medium` or `high`: how bad it would be;
    `confidence` is on the same scale or "": how sure the scanner is. `cwe` is an identifier such as `CWE-89`, `owasp` a
    category of its Top Ten such as `A03:2021`; both "" where none fits. `message` never holds a secret.
    """

    scanner: str
    rule: str
    line: int
    severity: str
    message: str = ""
    cwe: str = ""
    owasp: str = ""
    confidence: str = ""
    end_line: int = 0
    column: int = 0
    end_column: int = 0


class Redaction(NamedTuple):
    """A span that was replaced. `line` counts from 1 in the text before the change; the secret itself is never kept."""

    rule: str
    line: int
    placeholder: str


_VERDICT = pa.struct([("step", pa.string()), ("reason", pa.string()), ("detail", pa.string())])
_FINDING = pa.struct(
    [
        ("scanner", pa.string()),
        ("rule", pa.string()),
        ("line", pa.int32()),
        ("severity", pa.string()),
        ("message", pa.string()),
        ("cwe", pa.string()),
        ("owasp", pa.string()),
        ("confidence", pa.string()),
        ("end_line", pa.int32()),
        ("column", pa.int32()),
        ("end_column", pa.int32()),
    ]
)
_REDACTION = pa.struct([("rule", pa.string()), ("line", pa.int32()), ("placeholder", pa.string())])
_SIGNAL = pa.struct([("name", pa.string()), ("value", pa.float64())])

SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),
        ("sha256", pa.string()),
        ("repo", pa.string()),
        ("commit", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("license", pa.string()),
        ("content", pa.large_string()),
        ("bytes", pa.int64()),
        ("signals", pa.list_(_SIGNAL)),
        ("redactions", pa.list_(_REDACTION)),
        ("findings", pa.list_(_FINDING)),
        ("verdicts", pa.list_(_VERDICT)),
    ]
)
DROPPED_SCHEMA = pa.schema(
    [
        ("row_id", pa.string()),
        ("repo", pa.string()),
        ("commit", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("license", pa.string()),
        ("bytes", pa.int64()),
        ("stage", pa.string()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
    ]
)


@dataclass
class CodeFile:
    """One source file. `content` is the text in force; `sha256` is of the bytes as collected, and never changes.

    `license` is an SPDX expression or "" for unknown; `commit` is "" outside git (for packages, their version).
    `signals` are numbers by name (`lines`, `parse_errors`, `stars`, …).
    """

    repo: str
    path: str
    content: str
    sha256: str = ""
    commit: str = ""
    language: str = ""
    license: str = ""
    bytes: int = 0
    signals: dict[str, float] = field(default_factory=dict)
    redactions: list[Redaction] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    row_id: str = ""

    def __post_init__(self) -> None:
        if not self.sha256:
            raw = self.content.encode("utf-8", "surrogatepass")
            self.sha256, self.bytes = hashlib.sha256(raw).hexdigest(), len(raw)
        if not self.row_id:
            self.row_id = row_id(self.repo, self.path, self.sha256)

    def dropped(self, stage: str, verdict: Verdict) -> dict[str, Any]:
        """The row of `dropped.parquet` that says why this file was left out."""
        return {
            "row_id": self.row_id,
            "repo": self.repo,
            "commit": self.commit,
            "path": self.path,
            "language": self.language,
            "license": self.license,
            "bytes": self.bytes,
            "stage": stage,
            "step": verdict.step,
            "reason": verdict.reason,
            "detail": verdict.detail,
        }


def row_id(repo: str, path: str, sha256: str) -> str:
    """The name of a row for good: 16 hex digits of a hash of repository, path and content."""
    return hashlib.blake2b(f"{repo}\0{path}\0{sha256}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def to_table(files: Sequence[CodeFile]) -> pa.Table:
    """Rows as an Arrow table of `SCHEMA`."""
    rows = [
        {
            **{name: getattr(file, name) for name in SCHEMA.names[:9]},
            "signals": [{"name": name, "value": float(value)} for name, value in sorted(file.signals.items())],
            "redactions": [item._asdict() for item in file.redactions],
            "findings": [item._asdict() for item in file.findings],
            "verdicts": [item._asdict() for item in file.verdicts],
        }
        for file in files
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def from_table(table: pa.Table) -> Iterator[CodeFile]:
    """The rows of a table of `SCHEMA`; findings of an older one, without columns, have unknown ones."""
    for row in table.to_pylist():
        yield CodeFile(
            **{name: row[name] for name in SCHEMA.names[:9]},
            signals={item["name"]: item["value"] for item in row["signals"]},
            redactions=[Redaction(**item) for item in row["redactions"]],
            findings=[_finding(item) for item in row["findings"]],
            verdicts=[Verdict(**item) for item in row["verdicts"]],
        )


def _finding(item: dict[str, Any]) -> Finding:
    """A finding of a row; what an older version did not write has its default."""
    return Finding(**{name: value for name, value in item.items() if value is not None})


def write_rows(path: Path, files: Sequence[CodeFile]) -> None:
    """Write rows as zstd Parquet, whole or not at all; the same rows always give the same bytes."""
    write_table(path, to_table(files))


def write_table(path: Path, table: pa.Table) -> None:
    """Write any table as zstd Parquet, whole or not at all; the same table always gives the same bytes."""
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=3, write_statistics=True)


def read_rows(path: Path) -> Iterator[CodeFile]:
    """The rows of one Parquet file of `SCHEMA`, a row group at a time."""
    with pq.ParquetFile(path) as source:
        for group in range(source.num_row_groups):
            yield from from_table(source.read_row_group(group))


def write_dropped(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write `dropped.parquet`: every row that was left out, with the step and the reason."""
    write_table(path, pa.Table.from_pylist(list(rows), schema=DROPPED_SCHEMA))
