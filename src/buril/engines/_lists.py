"""The list of a step that several processes share, and the record of what is done, in a folder on a shared disk.

`todo.jsonl` (written whole, by the one process that holds the stage alone): a line that describes the step, then a line
a job. `done.jsonl` (appended to by all, under a lock): a line a job that is done, with what the work gave back. The
results proper are the files that the work wrote, each whole; these two only say which.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.workers import shard_of
from buril.engines._plain import dumps, loads
from buril.engines._software import difference, software


class Item(NamedTuple):
    """A job as it is listed: `work` and `job` are lines of `buril.engines._plain`, `name` is a digest of both."""

    folder: Path
    name: str
    work: str
    job: str
    shard: Path
    """What a person calls it."""


class Step(NamedTuple):
    """What is to be done now, in the order that deals it to the parts."""

    items: list[Item]
    workers: int


class Lists:
    """The two files of a stage's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: tuple[int, dict[str, str]] = (0, {})

    def items(self, work: Callable[[Any], Any], jobs: Sequence[object], stage: str) -> list[Item]:
        """Jobs as they are listed; equal jobs have equal names, whoever lists them.

        Raises:
            BurilError: S027 for a job that can't be written down.
        """
        try:
            line = dumps(work)
            return [
                Item(self.folder, _name(line, job_line), line, job_line, Path(shard_of(job, number)))
                for number, job in enumerate(jobs)
                for job_line in (dumps(job),)
            ]
        except TypeError as problem:
            raise BurilError("S027", stage=stage, problem=str(problem)) from problem

    def write(self, items: Sequence[Item], workers: int) -> None:
        """List a step; the list before it is done."""
        head = {"work": items[0].work, "workers": workers, "software": software()}
        with atomic(self.folder / "todo.jsonl") as path, path.open("w", encoding="utf-8") as stream:
            stream.write(json.dumps(head) + "\n")
            stream.writelines(json.dumps([str(item.shard), item.job]) + "\n" for item in items)

    def read(self) -> Step | None:
        """The step that is listed, if one is.

        Raises:
            BurilError: S028 when it was listed by other software than this.
        """
        try:
            first, *lines = (self.folder / "todo.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        except FileNotFoundError:
            return None
        head = json.loads(first)
        if told := difference(software(), head["software"]):
            raise BurilError("S028", difference=told)
        items = [
            Item(self.folder, _name(head["work"], job), head["work"], job, Path(shard))
            for shard, job in map(json.loads, lines)
        ]
        return Step(items, head["workers"])

    def done(self) -> dict[str, str]:
        """Names of the jobs that are done, each with the line of what its work gave back.

        The lock makes a network file system look at the server's file rather than at its own copy.
        """
        try:
            with (self.folder / "done.jsonl").open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_SH)
                start, found = self._read
                stream.seek(start)
                whole, newline, _cut = stream.read().rpartition(b"\n")
        except FileNotFoundError:
            return {}
        for line in whole.split(b"\n") if newline else ():
            try:
                name, result = json.loads(line)
            except ValueError:  # cut short by a crash, and ended by the next writer
                continue
            found[name] = result
        self._read = (start + len(whole) + len(newline), found)
        return found

    def note(self, name: str, result: str) -> None:
        """Say that a job is done."""
        with (self.folder / "done.jsonl").open("ab+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            end = stream.seek(0, os.SEEK_END)
            if end:
                stream.seek(end - 1)
                if stream.read(1) != b"\n":
                    stream.write(b"\n")
            stream.write(json.dumps([name, result]).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    @staticmethod
    def result(line: str) -> Any:
        """What the work gave back."""
        return loads(line)


def do_item(item: Item) -> None:
    """Do a listed job, and say so; for a worker."""
    work = loads(item.work)
    result = work(loads(item.job))
    try:
        line = dumps(result)
    except TypeError as problem:
        raise BurilError("S027", stage=getattr(work, "__name__", "?"), problem=str(problem)) from problem
    Lists(item.folder).note(item.name, line)


def _name(work: str, job: str) -> str:
    return hashlib.blake2b(f"{work}\n{job}".encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
