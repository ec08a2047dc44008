"""The fused pass over one shard of `prepare`: every step on every kept row, one parse a file.

Some texts are made so that a grammar takes for ever, or crashes. Before each row its place is written into a file
beside the stage's resume state, and a timer of the processor is set, which ends the worker. The next worker then looks
at that row with suspicion: the parser counts what it does and gives up in time. A row that kills two workers is refused
unread.
"""

from __future__ import annotations

import os
import signal
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from buril.code.codefile import CodeFile, Verdict, from_table, write_rows
from buril.core.errors import BurilError
from buril.core.plugins import Ref
from buril.data import _scan
from buril.data._earlier import Earlier
from buril.data.step import Numbers, Shared, Step
from buril.data.steps.secrets import Secrets

BROKEN_ROW = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a step may raise on a row it was not made for (RecursionError is a RuntimeError): the row alone is refused."""
_REPORT_ROWS = 50
_FAILED, _KILLED = "prepare_failed", "killed_worker"
_DEATHS = 2
_MARK = struct.Struct("<qq")
MAX_ROW_S = 30.0
"""Processor time that one row may take, in seconds: a hundred times what the largest ordinary file does."""

Number = tuple[str, str, bytes]
"""A placeholder's place in the numbering: repository, rule, digest of the value."""


class Job(NamedTuple):
    """One shard: what to read, where to write, what to do. `first` is the place of its first row in `duplicates`."""

    shard: Path
    duplicates: Path
    first: int
    steps: tuple[Ref, ...]
    scan: tuple[Ref, ...]
    fixed: dict[Number, int]
    target: Path
    marks: Path
    """The file that tells which row was at hand when a worker died."""
    earlier: Path | None = None


class Done(NamedTuple):
    """What was done for one shard, with its processor time."""

    shard: str
    files: int
    mb: float
    seconds: float
    reused: int = 0
    """Rows taken over from an earlier artifact."""
    dropped: dict[str, int] = {}
    """Rows refused, by reason."""


class _Marks:
    """Where a worker is in its shard, in a file of 16 bytes: the row, and how many workers were at it with this one.

    A row that takes more than `MAX_ROW_S` of processor time ends the worker, as a crash would.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._row, self._times = _MARK.unpack(path.read_bytes())
        except (FileNotFoundError, struct.error):
            self._row, self._times = -1, 0
        self._handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def deaths(self, row: int) -> int:
        """Note that a row comes next; how many workers died at it."""
        signal.setitimer(signal.ITIMER_PROF, MAX_ROW_S)
        deaths = self._times if row == self._row else 0
        os.pwrite(self._handle, _MARK.pack(row, deaths + 1), 0)
        return deaths

    def __enter__(self) -> _Marks:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Nothing is held against the rows of a shard that is done, or that an error ended."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.close(self._handle)
        self._path.unlink(missing_ok=True)


def num_rows(path: Path) -> int:
    """Rows of a Parquet file."""
    return int(pq.read_metadata(path).num_rows)


def kept_rows(job: Job) -> Iterator[pa.Table]:
    """The rows of a job's shard that dedup kept, a row group at a time."""
    first = job.first
    with pq.ParquetFile(job.shard) as source:
        judged = pq.read_table(job.duplicates, columns=["row_id", "kept"])
        for group in range(source.num_row_groups):
            table = source.read_row_group(group)
            part = judged.slice(first, table.num_rows)
            if not part["row_id"].equals(table["row_id"]):
                raise BurilError("D202", collected=job.shard.name, judged="other rows")
            first += table.num_rows
            yield table.filter(part["kept"])


def prepare_shard(job: Job, report: Callable[[int, dict[str, int]], None] | None = None) -> Done:
    """Do all steps on the kept rows of one shard, and write them.

    `report` hears how many rows are done and how many were refused, by reason.
    """
    began, size = time.process_time(), 0
    steps: list[Step] = [ref.make() for ref in job.steps]
    numbers = Numbers(job.fixed)
    files: list[CodeFile] = []
    new: list[CodeFile] = []
    refused: Counter[str] = Counter()
    with _Marks(job.marks) as marks:
        for table in kept_rows(job):
            earlier = Earlier(job.earlier, table["row_id"])
            for file in from_table(table):
                size += len(file.content)
                old = _taken(earlier, file, steps, numbers)
                if old is None:
                    _row(file, steps, numbers, deaths=marks.deaths(len(files)))
                    new.append(file)
                files.append(old or file)
                refused.update(verdict.reason for verdict in files[-1].verdicts[:1])
                if report and len(files) % _REPORT_ROWS == 0:
                    report(len(files), dict(refused))
    _scan.scan(new, job.scan)
    write_rows(job.target, files)
    reused, seconds = len(files) - len(new), round(time.process_time() - began, 3)
    return Done(job.shard.name, len(files), round(size / 1e6, 3), seconds, reused, dict(sorted(refused.items())))


def _taken(earlier: Earlier, file: CodeFile, steps: Sequence[Step], numbers: Numbers) -> CodeFile | None:
    """The row that an earlier run made of the same file, where no step says that it would now be another."""
    old = earlier.take(file)
    if old is None or any(verdict.reason in (_FAILED, _KILLED) for verdict in old.verdicts):
        return None
    try:
        stale = any(step.stale(old, Shared(file, numbers)) for step in steps)
    except BROKEN_ROW:
        return None
    return None if stale else old


def _row(file: CodeFile, steps: Sequence[Step], numbers: Numbers, *, deaths: int = 0) -> None:
    """Do all steps on one row. One that a step can't take, or that kills workers, is refused, and still redacted."""
    if deaths >= _DEATHS:
        file.verdicts.append(Verdict("prepare", _KILLED, str(_DEATHS)))
        _redact_only(file, steps, numbers)
        return
    shared = Shared(file, numbers, suspect=deaths > 0)
    at = "read"
    try:
        for step in steps:
            at = type(step).__name__.lower()
            step.apply(file, shared)
        shared.finish()
    except BROKEN_ROW as problem:
        # The message may hold text of the file, or an address: the kind of error is enough and always the same.
        file.verdicts.append(Verdict("prepare", _FAILED, f"{at}: {type(problem).__name__}"))
        _redact_only(file, steps, numbers)


def _redact_only(file: CodeFile, steps: Sequence[Step], numbers: Numbers) -> None:
    """Redact a refused row without a tree; a text that even this can't take is emptied: it must not leak."""
    try:
        file.redactions.clear()
        shared = Shared(file, numbers)
        for step in steps:
            if isinstance(step, Secrets):
                step.apply(file, shared)
        shared.finish()
    except BROKEN_ROW:
        file.content = ""
