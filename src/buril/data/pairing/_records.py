"""Records of tables as they stand: JSON lines, CSV and Parquet, plain or compressed, a few at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from buril.core.errors import BurilError
from buril.core.settings import Json
from buril.data.source import Piece
from buril.data.sources import _tables

SHEETS = (".csv", ".csv.gz", ".csv.zst")
ENDINGS = (*_tables.LINES, *SHEETS, *_tables.GROUPS)
_GLOB = frozenset("*?[")
_BATCH = 64

Record = dict[str, Any] | str
"""Column → value; for one that can't be read, a slug that says why."""


def find(paths: Sequence[Path]) -> dict[str, Path]:
    """Name → file, in the order of names, of files, folders (all below, no links) and globs.

    Raises:
        BurilError: D333 for a path that is not there or holds no table.
    """
    found: dict[str, Path] = {}
    for given in paths:
        path = given.expanduser()
        if path.is_dir():
            inside = [item for item in path.rglob("*") if item.is_file() and not item.is_symlink()]
            some = {item.relative_to(path).as_posix(): item for item in inside}
        elif path.is_file():
            some = {path.name: path}
        elif _GLOB & set(str(path)):
            root = Path(path.anchor) if path.is_absolute() else Path()
            pattern = path.relative_to(path.anchor).as_posix()
            some = {item.as_posix().strip("/"): item for item in root.glob(pattern) if item.is_file()}
        else:
            some = {}
        some = {name: item for name, item in some.items() if name.lower().endswith(ENDINGS)}
        if not some:
            raise BurilError("D333", path=given, endings=", ".join(ENDINGS))
        found.update({name: item for name, item in some.items() if name not in found})
    return dict(sorted(found.items()))


def stamps(files: dict[str, Path]) -> Json:
    """Names, sizes and times of files: what a fingerprint needs."""
    return _tables.stamps(files)


def columns(name: str, path: Path) -> set[str]:
    """The names of a file's columns; of JSON lines those of the first objects.

    Raises:
        BurilError: D014 for a Parquet file that is none.
    """
    if name.lower().endswith(_tables.GROUPS):
        with _tables.parquet_file(path, name) as source:
            return set(source.schema_arrow.names)
    if name.lower().endswith(SHEETS):
        with _tables.opened(path) as raw:
            return set(_sheet(cast("io.BufferedReader", raw)).fieldnames or ())
    return _tables.keys(path)


def records(name: str, path: Path, wanted: Sequence[str]) -> Iterator[Record]:
    """The records of a file in order, with the columns that are wanted at least.

    Raises:
        BurilError: D014 for a Parquet file that is none.
    """
    try:
        if name.lower().endswith(_tables.GROUPS):
            yield from _groups(name, path, wanted)
        elif name.lower().endswith(SHEETS):
            yield from _rows(path)
        else:
            yield from _lines(path)
    except _tables.CUT_SHORT:
        yield "truncated"


def _lines(path: Path) -> Iterator[Record]:
    with closing(_tables.lines_of(path, Piece(""))) as lines:
        for _place, line in lines:
            if line is None:
                yield "too_large"
            elif line.strip():
                try:
                    found = json.loads(line)
                except (ValueError, RecursionError):
                    yield "broken_json"
                    continue
                yield found if isinstance(found, dict) else "wrong_type"


def _rows(path: Path) -> Iterator[Record]:
    with _tables.opened(path) as raw:
        rows = _sheet(cast("io.BufferedReader", raw))
        while True:
            try:
                found = next(rows)
            except StopIteration:
                return
            except csv.Error:
                yield "broken_csv"
                continue
            yield "wrong_columns" if None in found or None in found.values() else dict(found)


def _sheet(raw: io.BufferedReader) -> csv.DictReader[str]:
    return csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline=""))


def _groups(name: str, path: Path, wanted: Sequence[str]) -> Iterator[Record]:
    with _tables.parquet_file(path, name) as source:
        top = {column.partition(".")[0] for column in wanted} | set(wanted)
        chosen = [column for column in source.schema_arrow.names if column in top]
        for batch in source.iter_batches(_BATCH, columns=chosen, use_threads=False):
            yield from _tables.records_of(batch)
