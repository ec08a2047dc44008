"""Where the records are that a hash names: a sorted list for each full segment, one in memory for the last.

An index is made of its segment when it is first asked, and again when it does not fit; it is no part of the record.

Shapes: N hashes of an index, Q hashes that are asked for, M hits.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from buril.core.artifact import atomic
from buril.serve._ledger.log import SEGMENT, Log
from buril.serve._ledger.record import Record, found_by, parsed

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAGIC = 0x6275_7269_6C31_0002
_HEADER = 4
"""Numbers of 64 bits before the lists: magic, hashes, records, bytes of the segment."""
COMMON = 128
"""Records of one segment beyond which a hash is everybody's, and tells nothing."""


class Hits(NamedTuple):
    """Pairs of a question's place (M,) and the number of a record (M,) that has its hash."""

    asked_M: NDArray[np.int64]
    seq_M: NDArray[np.int64]


class Part(NamedTuple):
    """The index of one segment: hashes ascending (N,), whose they are (N,), where each record's line begins."""

    first: int
    hash_N: NDArray[np.uint64]
    owner_N: NDArray[np.uint32]
    offsets: NDArray[np.uint64]

    def hits(self, asked_Q: NDArray[np.uint64]) -> Hits:
        """Who has the hashes; those that too many have are left out."""
        low_Q, high_Q = (np.searchsorted(self.hash_N, asked_Q, side) for side in ("left", "right"))
        count_Q = high_Q - low_Q
        count_Q[count_Q > COMMON] = 0
        place_M = np.repeat(low_Q - np.cumsum(count_Q) + count_Q, count_Q) + np.arange(count_Q.sum())
        return Hits(np.repeat(np.arange(len(asked_Q)), count_Q), self.owner_N[place_M].astype(np.int64) + self.first)


class Index:
    """Looks hashes up in all segments of a log."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self._parts: dict[int, tuple[tuple[int, int], Part]] = {}
        self._open: tuple[int, tuple[int, int], _Growing] | None = None

    def hits(self, asked_Q: NDArray[np.uint64]) -> Hits:
        """Who has the hashes, over all segments."""
        found = [part.hits(asked_Q) for part in self.parts()]
        if not found:
            return Hits(np.zeros(0, np.int64), np.zeros(0, np.int64))
        return Hits(np.concatenate([hit.asked_M for hit in found]), np.concatenate([hit.seq_M for hit in found]))

    def parts(self) -> list[Part]:
        """The indices of all segments, as the files are now."""
        return [self._part(number) for number in self.log.segments()]

    def record(self, seq: int) -> Record | None:
        """The record of a number."""
        number, place = divmod(seq, SEGMENT)
        part = self._part(number)
        if place >= len(part.offsets):
            return None
        with self.log.segment(number).open("rb") as stream:
            stream.seek(int(part.offsets[place]))
            return parsed(stream.readline())

    def _part(self, number: int) -> Part:
        told = self.log.segment(number).stat()
        state = (told.st_ino, told.st_size)
        held = self._parts.get(number)
        if held and held[0] == state:
            return held[1]
        if not self.log.seal(number).exists():
            return self._growing(number, state)
        part = _read(self._path(number), number, told.st_size) or self._build(number, told.st_size)
        self._parts[number] = (state, part)
        return part

    def _growing(self, number: int, state: tuple[int, int]) -> Part:
        """The index of the segment that still grows: lines that are new are added to what is known."""
        held = self._open
        if held is None or held[:2] != (number, state):
            same = held is not None and held[0] == number and held[1][0] == state[0] and held[1][1] < state[1]
            growing = held[2] if same and held else _Growing()
            growing.take(self.log, number)
            self._open = held = (number, state, growing)
        return held[2].part(number)

    def _path(self, number: int) -> Path:
        return self.log.segment(number).with_suffix(".index")

    def _build(self, number: int, size: int) -> Part:
        growing = _Growing()
        growing.take(self.log, number)
        part = growing.part(number)
        head = np.array([_MAGIC, len(part.hash_N), len(part.offsets), size], np.uint64)
        try:
            with atomic(self._path(number)) as path, path.open("wb") as stream:
                for column in (head, part.hash_N, part.offsets, part.owner_N):
                    stream.write(column.tobytes())
        except OSError:  # a ledger that is only read from
            return part
        return _read(self._path(number), number, size) or part


class _Growing:
    """An index that lines are added to."""

    def __init__(self) -> None:
        self._hashes: list[NDArray[np.uint64]] = []
        self._owners: list[NDArray[np.uint32]] = []
        self._offsets: list[int] = []
        self._end = 0
        self._part: Part | None = None

    def take(self, log: Log, number: int) -> None:
        """Add the lines that are not known yet."""
        for line in log.lines(number, self._end):
            record = parsed(line)
            hashes = found_by(record) if record else np.zeros(0, np.uint64)
            self._hashes.append(hashes)
            self._owners.append(np.full(len(hashes), len(self._offsets), np.uint32))
            self._offsets.append(self._end)
            self._end += len(line)
            self._part = None

    def part(self, number: int) -> Part:
        """The index as it is."""
        if self._part is None:
            self._hashes = [np.concatenate([np.zeros(0, np.uint64), *self._hashes])]
            self._owners = [np.concatenate([np.zeros(0, np.uint32), *self._owners])]
            order = np.argsort(self._hashes[0], kind="stable")
            offsets = np.array(self._offsets, np.uint64)
            self._part = Part(number * SEGMENT, self._hashes[0][order], self._owners[0][order], offsets)
        return self._part


def _read(path: Path, number: int, size: int) -> Part | None:
    """An index from its file; None where it is not that of a segment of this size."""
    try:
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    if len(mapped) < 8 * _HEADER:
        return None
    magic, hashes, records, told = np.frombuffer(mapped, np.uint64, _HEADER).tolist()
    if (magic, told) != (_MAGIC, size) or len(mapped) != 8 * (_HEADER + hashes + records) + 4 * hashes:
        return None
    hash_N = np.frombuffer(mapped, np.uint64, hashes, 8 * _HEADER)
    offsets = np.frombuffer(mapped, np.uint64, records, 8 * (_HEADER + hashes))
    owner_N = np.frombuffer(mapped, np.uint32, hashes, 8 * (_HEADER + hashes + records))
    return Part(number * SEGMENT, hash_N, owner_N, offsets)
