"""Reading a tar archive that somebody else made, as a stream, with bounds on everything it claims.

Format: POSIX.1-2001 (pax) and GNU tar, as `git archive` and GitHub write them. The standard library's `tarfile` takes
extended headers of any size into memory and accepts an archive that ends early; both matter here, so the few record
types that occur are read directly. Links, devices and pipes are told of, never made.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

BLOCK = 512
MAX_HEADER = 1 << 20
"""Bytes of an extended header (a long name, pax records) that are believed."""
MAX_PATH = 4096
FILE, LINK, OTHER = "file", "link", "other"


class BrokenArchive(Exception):
    """The archive can't be used. `reason` is a slug: `truncated`, `corrupt`, `too_large`, `too_many`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class Member(NamedTuple):
    """An entry: `path` as it stands in the archive, `kind` file, link or other. `comment` is git's: the commit."""

    path: str
    kind: str
    size: int
    comment: str = ""


class Bounds(NamedTuple):
    """Most bytes after decompression, and most entries."""

    bytes: int
    members: int = 1_000_000


class _Stream:
    """Decompressed bytes, counted."""

    def __init__(self, raw: BinaryIO, most: int) -> None:
        self._gzip = gzip.GzipFile(fileobj=raw, mode="rb")
        self._left = most

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes, not one fewer."""
        found = self._some(size)
        if len(found) < size:
            raise BrokenArchive("truncated")
        return found

    def finish(self) -> None:
        """Read on to the end, where gzip's own checksum stands."""
        while self._some(1 << 20):
            pass

    def _some(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0:
            raise BrokenArchive("too_large")
        try:
            found = self._gzip.read(size)
        except EOFError:
            raise BrokenArchive("truncated") from None
        except (OSError, zlib.error) as problem:
            raise BrokenArchive("corrupt", str(problem)[:80]) from None
        self._left += size - len(found)
        return found

    def skip(self, size: int) -> None:
        """Pass over bytes."""
        while size > 0:
            step = min(size, 1 << 20)
            self.exactly(step)
            size -= step

    def chunks(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes, a megabyte at a time."""
        while size > 0:
            step = min(size, 1 << 20)
            yield self.exactly(step)
            size -= step


def unpack(archive: Path, bounds: Bounds, take: Callable[[Member, Iterator[bytes]], None]) -> None:
    """Read a gzipped tar from its beginning to its end mark and hand over each entry with its bytes.

    Args:
        archive: the file.
        bounds: what it may hold at most.
        take: called in the archive's order; what it leaves of the bytes is passed over.

    Raises:
        BrokenArchive: it is cut short, damaged, or beyond its bounds.
    """
    with archive.open("rb") as raw:
        stream = _Stream(raw, bounds.bytes)
        for number, (member, size) in enumerate(_members(stream)):
            if number >= bounds.members:
                raise BrokenArchive("too_many", f"> {bounds.members}")
            left = stream.chunks(size)
            take(member, left)
            for _rest in left:
                pass
            stream.skip(-size % BLOCK)
        stream.finish()


def _members(stream: _Stream) -> Iterator[tuple[Member, int]]:
    """The entries, each with the bytes that follow its header; the caller reads them before the next."""
    everywhere: dict[str, str] = {}
    here: dict[str, str] = {}
    while (header := stream.exactly(BLOCK)).strip(b"\0"):
        if _sum(header) != _number(header[148:156]):
            raise BrokenArchive("corrupt", "header")
        kind, size = header[156:157], _number(header[124:136])
        if kind in (b"x", b"g", b"L", b"K"):
            if size > MAX_HEADER:
                raise BrokenArchive("corrupt", "extended header")
            raw = stream.exactly(size)
            stream.skip(-size % BLOCK)
            if kind in (b"x", b"g"):
                (here if kind == b"x" else everywhere).update(_pax(raw))
            elif kind == b"L":
                here["path"] = _text(raw.split(b"\0", 1)[0])
            continue
        told = {**everywhere, **here}
        path = told.get("path") or _name(header)
        if kind in (b"0", b"\0", b"7") and not path.endswith("/"):
            size = int(told["size"]) if told.get("size", "").isdecimal() and len(told["size"]) < 20 else size
            yield Member(path, FILE, size, told.get("comment", "")), size
        elif kind != b"5" and not path.endswith("/"):
            known = LINK if kind in (b"1", b"2") else OTHER
            yield Member(path, known, 0, told.get("comment", "")), 0 if known == LINK else size
        here = {}


def _sum(header: bytes) -> int:
    return sum(header[:148]) + 8 * 32 + sum(header[156:])


def _number(field: bytes) -> int:
    """An octal number, or GNU's binary one."""
    if field[0] & 0x80:
        found = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    else:
        text = field.strip(b" \0") or b"0"
        if not all(48 <= digit < 56 for digit in text):
            raise BrokenArchive("corrupt", "number")
        found = int(text, 8)
    if found >= 1 << 60:
        raise BrokenArchive("too_large")
    return found


def _name(header: bytes) -> str:
    name = _text(header[:100].split(b"\0", 1)[0])
    prefix = _text(header[345:500].split(b"\0", 1)[0]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _pax(raw: bytes) -> dict[str, str]:
    """The records of a pax header: `LENGTH KEY=VALUE` and a line feed, one after the other."""
    found: dict[str, str] = {}
    while raw:
        digits, space, _rest = raw.partition(b" ")
        if not space or not digits.isdigit() or len(digits) > 7 or int(digits) <= len(digits) + 1:
            break
        record, raw = raw[len(digits) + 1 : int(digits)], raw[int(digits) :]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        found[_text(key)] = _text(value)
    return found


def _text(raw: bytes) -> str:
    """Names that are not UTF-8 keep their bytes as surrogates, as the file system has them."""
    return raw.decode("utf-8", "surrogateescape")
