"""The files of a ledger: segments of records that only grow, each sealed when it is full, and a signed head.

Any number of processes append under one lock of the system, which goes with the process that held it. A record is one
write; a crash can leave a part of a line at the end, which the next append cuts off: whoever wrote it was never told
that it was kept. The head says which record was the last, so that a cut end is seen.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

from buril.core.artifact import atomic, canonical, sync_folder
from buril.core.errors import BurilError
from buril.core.text import _
from buril.serve._ledger import keys
from buril.serve._ledger.record import Record, chained, line_of, parsed

SEGMENT = 8192
"""Records of a segment."""
START = "0" * 64
HEAD_BYTES = 512
TAIL_BYTES = 1 << 16
Sync = Literal["always", "seal"]


class State(NamedTuple):
    """Where the chain ends: number (-1 before the first) and hash of the last record, key in force, the file's size."""

    seq: int
    hash: str
    key: str
    size: int


class Log:
    """The records of a ledger, in order.

    Args:
        folder: of the ledger.
        key: where the private key is; None for the ledger's own.
        sync: `always` waits for the disk at every append, `seal` at the end of a segment.
    """

    def __init__(self, folder: Path, *, key: str | None = None, sync: Sync = "seal") -> None:
        self.folder, self.key, self.sync = folder, key, sync
        self._signer: keys.Signer | None = None
        self._state: State | None = None
        self._thread = threading.Lock()

    # --- files

    def segment(self, number: int) -> Path:
        """The file of a segment."""
        return self.folder / f"{number:08d}.jsonl"

    def segments(self) -> list[int]:
        """The numbers of the segments that are there."""
        return sorted(int(path.stem) for path in self.folder.glob("*.jsonl") if path.stem.isdigit())

    @property
    def head(self) -> Path:
        """The signed file that says where the chain ends."""
        return self.folder / "head.json"

    def seal(self, number: int) -> Path:
        """The signed file that says how a full segment ends."""
        return self.segment(number).with_suffix(".seal.json")

    def lines(self, number: int, offset: int = 0) -> Iterator[bytes]:
        """The whole lines of a segment from a byte on; what a crash cut short is left out."""
        with self.segment(number).open("rb") as stream:
            stream.seek(offset)
            for line in stream:
                if line.endswith(b"\n"):
                    yield line

    @contextmanager
    def locked(self) -> Iterator[keys.Signer]:
        """Hold the ledger alone, with its key.

        Raises:
            BurilError: V304 when its folder can't be written, V301, P002, S020.
        """
        with self._thread, self._guarded():
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / ".lock").open("a") as handle:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX)
                except OSError as problem:
                    if problem.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                        told = os.strerror(problem.errno)
                        raise BurilError("S020", path=self.folder, problem=told) from problem
                    raise
                if self._signer is None:
                    self._signer = keys.signer(self.key, self.folder / "key.pem")
                yield self._signer

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            self._state = None
            raise BurilError("V304", path=self.folder, problem=problem.strerror or str(problem)) from problem

    # --- appending

    def append(self, bodies: Sequence[Record]) -> list[Record]:
        """Chain, sign and keep some records.

        Raises:
            BurilError: V302 when the key in force is another, V304, V301.
        """
        with self.locked() as signer:
            return self.append_locked(bodies, signer)

    def append_locked(self, bodies: Sequence[Record], signer: keys.Signer) -> list[Record]:
        """The same while the lock is held already."""
        state = self._now()
        made: list[Record] = []
        if state.seq < 0:
            made, state = self._write([{"kind": "key", "public": signer.public}], signer, state)
        if state.key != signer.key_id:
            self._signer = None  # it may have been replaced in its file
            raise BurilError("V302", path=self.folder, expected=state.key, found=signer.key_id)
        made, self._state = self._write(bodies, signer, state)
        return made

    def _write(self, bodies: Sequence[Record], signer: keys.Signer, state: State) -> tuple[list[Record], State]:
        made: list[Record] = []
        for body in bodies:
            number, rest = divmod(state.seq + 1, SEGMENT)
            if rest == 0 and number and not self.seal(number - 1).exists():  # a crash came before the seal
                self._seal(number - 1, state, signer)
            record = chained(body, seq=state.seq + 1, previous=state.hash, signer=signer)
            size = self._add(number, line_of(record), state.size if rest else 0)
            key = keys.key_id(body["public"]) if body["kind"] == "key" else signer.key_id
            state = State(record["seq"], record["hash"], key, size)
            self._put_head(state, signer)
            if rest == SEGMENT - 1:
                self._seal(number, state, signer)
            made.append(record)
        return made, state

    def _add(self, number: int, line: bytes, size: int) -> int:
        """Add a line to a segment that has so many bytes; gives how many it has then."""
        handle = os.open(self.segment(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.write(handle, line) != len(line):
                os.ftruncate(handle, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.sync == "always":
                os.fsync(handle)
        finally:
            os.close(handle)
        return size + len(line)

    def _put_head(self, state: State, signer: keys.Signer) -> None:
        """One write of a fixed size, so that a process that is killed leaves the one or the other."""
        content = {"seq": state.seq, "hash": state.hash, "key": signer.key_id}
        told = {**content, "signature": signer.sign("head", canonical(content))}
        handle = os.open(self.head, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(handle, canonical(told).ljust(HEAD_BYTES - 1) + b"\n", 0)
        finally:
            os.close(handle)

    def _seal(self, number: int, state: State, signer: keys.Signer) -> None:
        with self.segment(number).open("rb") as stream:
            os.fsync(stream.fileno())
        content = {"segment": number, "first": number * SEGMENT, "last": state.seq, "hash": state.hash}
        content["key"] = signer.key_id
        with atomic(self.seal(number)) as path:
            path.write_bytes(canonical({**content, "signature": signer.sign("seal", canonical(content))}) + b"\n")
        sync_folder(self.folder)

    # --- where it ends

    def _now(self) -> State:
        """Where the chain ends, others' appends included; a line that a crash cut short is taken away."""
        number = max(self._state.seq, 0) // SEGMENT if self._state else 0
        if self._state and not self.segment(number + 1).exists():
            with suppress(FileNotFoundError):
                if self.segment(number).stat().st_size == self._state.size:
                    return self._state
        return self._read_end()

    def _read_end(self) -> State:
        for number in reversed(self.segments()):
            path = self.segment(number)
            _cut(path)
            last = _last_line(path)
            if last is None:
                continue
            record = parsed(last)
            if record is None:
                raise BurilError("V300", path=path, problem=_("it is no record"))
            key = keys.key_id(record["public"]) if record["kind"] == "key" else record["key"]
            return State(record["seq"], record["hash"], key, path.stat().st_size)
        return State(-1, START, "", 0) if self._signer is None else State(-1, START, self._signer.key_id, 0)

    # --- replacing

    def rewrite(self, number: int, change: Callable[[Record], Record]) -> int:
        """Write a segment anew with each record changed, while the lock is held; gives how many changed."""
        count = 0
        with atomic(self.segment(number)) as path, path.open("wb") as stream:
            for line in self.lines(number):
                record = parsed(line)
                other = change(record) if record else None
                count += other is not record
                stream.write(line if other is None or other is record else line_of(other))
            stream.flush()
            os.fsync(stream.fileno())
        self.segment(number).chmod(0o600)
        self._state = None
        return count

    def use_key(self, signer: keys.Signer | None) -> None:
        """Sign with another key from now on; None to read it anew."""
        self._signer = signer


def _cut(path: Path) -> None:
    """Take away what stands after the last line break of a file."""
    with path.open("rb+") as stream:
        size = stream.seek(0, os.SEEK_END)
        at = size
        while at:
            start = max(0, at - TAIL_BYTES)
            stream.seek(start)
            place = stream.read(at - start).rfind(b"\n")
            if place >= 0:
                at = start + place + 1
                break
            at = start
        if at != size:
            stream.truncate(at)


def _last_line(path: Path) -> bytes | None:
    """The last line of a file that ends with a line break; None for an empty one."""
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        tail, at = b"", end
        while at and tail.rstrip(b"\n").rfind(b"\n") < 0:
            start = max(0, at - TAIL_BYTES)
            stream.seek(start)
            tail, at = stream.read(at - start) + tail, start
    return tail.rstrip(b"\n").rpartition(b"\n")[2] or None
