"""Reading JSON lines and Parquet piece by piece, in memory that does not grow with the file."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

from buril.code.codefile import CodeFile
from buril.core.errors import BurilError
from buril.core.settings import Json
from buril.data.source import Dropped, Piece, open_regular
from buril.data.sources._columns import Table

LINES = (".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz", ".jsonl.zst", ".ndjson.zst", ".json.zst")
GROUPS = (".parquet",)
PIECE_BYTES = 64_000_000
LINE_BYTES = 64_000_000
"""Longer lines are skipped without being held: no file of source code needs one."""
COUNT_BYTES = 1_000_000_000
"""How far into a file lines are counted to tell where a broken one stands; beyond, its byte is told."""
_READ = 1 << 20
_BATCH = 256
_GLOB = frozenset("*?[")
CUT_SHORT = (OSError, EOFError, zlib.error)
"""What a compressed file raises that was cut short or damaged; zstd's is an OSError."""


def kind_of(name: str) -> str:
    """`lines`, `groups` or "" for a file's name."""
    lowered = name.lower()
    return "lines" if lowered.endswith(LINES) else "groups" if lowered.endswith(GROUPS) else ""


def find(paths: Sequence[Path], kind: str) -> dict[str, Path]:
    """Name → file, in the order of names, of files, folders (all below, no links) and globs of one kind.

    Raises:
        BurilError: D001 for a path that is not there, D014 when it holds no such file.
    """
    found: dict[str, Path] = {}
    for given in paths:
        path = given.expanduser()
        if not path.exists() and _GLOB & set(str(given)):
            root = Path(path.anchor) if path.is_absolute() else Path()
            pattern = path.relative_to(path.anchor).as_posix() if path.is_absolute() else path.as_posix()
            matches = sorted(item for item in root.glob(pattern) if item.is_file())
            some = {item.name: item for item in matches if kind_of(item.name) == kind}
            if len(some) != len([item for item in matches if kind_of(item.name) == kind]):
                some = {item.as_posix().strip("/"): item for item in matches if kind_of(item.name) == kind}
        elif path.is_dir():
            inside = [item for item in path.rglob("*") if item.is_file() and not item.is_symlink()]
            some = {item.relative_to(path).as_posix(): item for item in inside if kind_of(item.name) == kind}
        elif path.is_file():
            some = {path.name: path}
        else:
            raise BurilError("D001", path=given)
        if not some:
            raise BurilError("D014", path=given, endings=", ".join(LINES if kind == "lines" else GROUPS))
        found.update({name: item for name, item in some.items() if name not in found})
    return dict(sorted(found.items()))


def name_of(paths: Sequence[Path]) -> str:
    """What to call the repositories of rows that name none: the first path's last part, without endings."""
    return re.sub(r"[^\w-]+", "", paths[0].name.split(".")[0]) or "rows"


def stamps(files: dict[str, Path]) -> Json:
    """Names, sizes and times of files: what a fingerprint needs."""
    return [[name, path.stat().st_size, path.stat().st_mtime_ns] for name, path in files.items()]


# --- JSON lines


def line_pieces(name: str, path: Path) -> Iterator[Piece]:
    """Byte ranges of a plain file; a compressed one can't be cut."""
    size = path.stat().st_size
    if path.suffix in (".gz", ".zst"):
        yield Piece(name, 0, 0, size * 4)
        return
    for first in range(0, size, PIECE_BYTES):
        end = min(size, first + PIECE_BYTES)
        yield Piece(name, first, end, end - first)


def keys(path: Path, lines: int = 100) -> set[str]:
    """All names in the first objects of a file."""
    found: set[str] = set()
    with closing(lines_of(path, Piece(""))) as some, contextlib.suppress(*CUT_SHORT):
        for _place, line in islice(some, lines):
            with contextlib.suppress(ValueError, RecursionError):
                record = json.loads(line or b"")
                found.update(record if isinstance(record, dict) else ())
    return found


def line_rows(path: Path, piece: Piece, table: Table, max_bytes: int) -> Iterator[CodeFile | Dropped]:
    """The rows of a piece of JSON lines. A line that is no JSON object is left out, with its number."""
    others, at = 0, piece.first
    numbers = _Numbers(path, piece)
    try:
        for index, (at, line) in enumerate(lines_of(path, piece)):
            if line is not None and not line.strip():
                continue
            found = _line(line, f"{piece.place}@{at}", table, max_bytes)
            if found is None:
                others += 1
            else:
                yield _placed(found, numbers.of(index, at)) if isinstance(found, Dropped) else found
    except CUT_SHORT as problem:
        yield Dropped(f"{piece.place}@{at}", 0, "truncated", f"after byte {at}: {problem}", "read")
    if others:
        yield Dropped(piece.place, 0, "where", f"{others} rows from byte {piece.first}", "read")


def _line(line: bytes | None, place: str, table: Table, max_bytes: int) -> CodeFile | Dropped | None:
    """The row of one line (None: too long to hold); None where `where` leaves it out."""
    if line is None:
        return Dropped(place, LINE_BYTES, "too_large", "", "read")
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as problem:
        told = str(getattr(problem, "msg", type(problem).__name__))
        return Dropped(place, len(line), "broken_json", told, "read")
    if not isinstance(record, dict):
        return Dropped(place, len(line), "wrong_type", type(record).__name__, "read")
    return table.row(record, place, max_bytes) if table.wanted(record) else None


class _Numbers:
    """The numbers of the lines of a piece; what comes before it is counted once, when the first is asked for."""

    def __init__(self, path: Path, piece: Piece) -> None:
        self._path, self._first = path, piece.first
        self._before: int | None = None

    def of(self, index: int, place: int) -> str:
        """`line 12` for the line with that index in the piece; `byte N` where counting would take too long."""
        if self._first > COUNT_BYTES:
            return f"byte {place}"
        if self._before is None:
            # lines before this one, less those of the piece: every line ends with its newline
            self._before = _newlines(self._path, self._first) if self._first else 0
        return f"line {self._before + index + 1}"


def _newlines(path: Path, first: int) -> int:
    """How many lines begin before byte `first` of a plain file."""
    count, last, left = 0, b"\n", first
    with opened(path) as stream:
        while left and (block := stream.read(min(_READ, left))):
            count, left, last = count + block.count(b"\n"), left - len(block), block[-1:]
    return count + (last != b"\n")


def _placed(dropped: Dropped, where: str) -> Dropped:
    """What was left out, with the place where it stands."""
    return dropped._replace(detail=f"{where}: {dropped.detail}" if dropped.detail else where)


def lines_of(path: Path, piece: Piece) -> Generator[tuple[int, bytes | None], None, None]:
    """Lines that begin in a piece, each with its first byte; None for one that is too long to hold."""
    with opened(path) as stream:
        at = piece.first
        if at:
            stream.seek(at - 1)
            if stream.read(1) != b"\n":
                at += sum(len(part) for part in _until_newline(stream))
        while not piece.end or at < piece.end:
            line = stream.readline(LINE_BYTES)
            if not line:
                return
            if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                yield at, None
                at += len(line) + sum(len(part) for part in _until_newline(stream))
                continue
            yield at, line
            at += len(line)


def _until_newline(stream: IO[bytes]) -> Iterator[bytes]:
    while part := stream.readline(_READ):
        yield part
        if part.endswith(b"\n"):
            return


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A plain or compressed file, as bytes that can be read line by line."""
    with os.fdopen(open_regular(path.resolve()), "rb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=raw, mode="rb") as unfolded:
                yield cast("IO[bytes]", unfolded)
        elif path.suffix == ".zst":
            import pyarrow as pa

            with pa.CompressedInputStream(raw, "zstd") as unfolded:
                yield cast("IO[bytes]", io.BufferedReader(unfolded, _READ))
        else:
            yield raw


# --- Parquet


def group_pieces(name: str, path: Path) -> Iterator[Piece]:
    """The row groups of a file, several small ones to a piece."""
    source = parquet_file(path, name)
    with source:
        sizes = [source.metadata.row_group(number).total_byte_size for number in range(source.num_row_groups)]
    first, filled = 0, 0
    for number, size in enumerate(sizes):
        if number > first and filled + size > PIECE_BYTES:
            yield Piece(name, first, number, filled)
            first, filled = number, 0
        filled += size
    if sizes:
        yield Piece(name, first, len(sizes), filled)


def parquet_file(path: Path, name: str) -> Any:
    """An open Parquet file.

    Raises:
        BurilError: D014 when it is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as problem:
        raise BurilError("D014", path=name, endings=f".parquet ({problem})") from problem


def group_rows(
    path: Path, piece: Piece, table_of: Callable[[list[str]], Table], max_bytes: int
) -> Iterator[CodeFile | Dropped]:
    """The rows of some row groups, a few at a time; only the columns that are needed are read."""
    import pyarrow as pa

    others, number = 0, 0
    with parquet_file(path, piece.place) as source:
        table = table_of(source.schema_arrow.names)
        columns = [name for name in table.top if name in source.schema_arrow.names]
        groups = list(range(piece.first, piece.end or source.num_row_groups))
        number = sum(source.metadata.row_group(index).num_rows for index in range(piece.first))
        try:
            for batch in source.iter_batches(_BATCH, row_groups=groups, columns=columns, use_threads=False):
                for record in records_of(batch):
                    if table.wanted(record):
                        found = table.row(record, f"{piece.place}@{number}", max_bytes)
                        yield _placed(found, f"row {number}") if isinstance(found, Dropped) else found
                    else:
                        others += 1
                    number += 1
        except (pa.ArrowInvalid, OSError) as problem:
            yield Dropped(f"{piece.place}@{number}", 0, "truncated", f"from row {number}: {problem}"[:200], "read")
    if others:
        yield Dropped(piece.place, 0, "where", f"{others} rows from group {piece.first}", "read")


def records_of(batch: Any) -> Iterator[dict[str, Any]]:
    """The records of a batch; texts that are not UTF-8 come as bytes."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        import pyarrow as pa

        texts = [pa.types.is_string(field.type) or pa.types.is_large_string(field.type) for field in batch.schema]
        columns = [
            column.cast(pa.large_binary()).to_pylist() if is_text else column.to_pylist()
            for column, is_text in zip(batch.columns, texts, strict=True)
        ]
        for values in zip(*columns, strict=True):
            yield {name: _decoded(name, value) for name, value in zip(batch.schema.names, values, strict=True)}


def _decoded(name: str, value: Any) -> Any:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value
