"""Unpacking archives that others made: tar and zip, as if each were made to do harm.

Only plain files appear, below one folder, written by us and never through a link; only those that can be source code,
a licence or metadata. Links, devices and names that lead elsewhere are told of and left out. What an archive may
unfold to is bounded in bytes, in number and in proportion to its size, and by how much any header may claim.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

from buril.code.language import may_be_source
from buril.core.errors import BurilError
from buril.data.source import Dropped
from buril.data.sources._licenses import is_license_text

MAX_BYTES = 2_000_000_000
MAX_MEMBERS = 300_000
MAX_RATIO = 200
"""How many times its own size an archive may unfold to, once it is past `RATIO_FROM` bytes."""
RATIO_FROM = 50_000_000
MAX_FILE = 20_000_000
"""Larger members are left out: none is source code."""
MAX_READ = 4_000_000
"""No header of a tar archive needs more at once; a larger one is there to fill the memory."""
NAMES = frozenset(
    {"METADATA", "PKG-INFO", "RECORD", "WHEEL", "package.json", "pyproject.toml", "Cargo.toml", "composer.json"}
)
_CHUNK = 1 << 20
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


class Bounds:
    """Counts what an archive unfolds to, and stops it.

    Raises:
        BurilError: D018 when a bound is passed.
    """

    def __init__(self, archive: Path) -> None:
        self._name, self._size = archive.name, archive.stat().st_size
        self._bytes, self._members = 0, 0

    def member(self) -> None:
        """Count one member."""
        self._members += 1
        if self._members > MAX_MEMBERS:
            raise BurilError("D018", archive=self._name, problem=f"more than {MAX_MEMBERS} members")

    def bytes(self, count: int) -> None:
        """Count unfolded bytes."""
        self._bytes += count
        if self._bytes > MAX_BYTES or (self._bytes > RATIO_FROM and self._bytes > MAX_RATIO * self._size):
            raise BurilError("D018", archive=self._name, problem=f"unfolds to more than {self._bytes} bytes")


class Member(NamedTuple):
    """A member: its name, size in bytes, and why it is no plain file ("" when it is one)."""

    name: str
    bytes: int
    reason: str


def unpack(archive: Path, folder: Path, *, only: str = "") -> list[Dropped]:
    """Unpack the useful plain files of an archive below `folder`; gives what was left out.

    Args:
        archive: `.tar` (plain, gz, bz2, xz, zst), `.tgz`, `.zip` or `.whl`. A tar's one top folder is taken off.
        folder: where to; it need not exist.
        only: one member to take, by its whole name, and nothing else.

    Raises:
        BurilError: D018 when the archive is broken, cut short, or made to fill the disk.
    """
    bounds, left_out, taken = Bounds(archive), [], set[str]()
    members = _zip if archive.suffix in (".zip", ".whl") else _tar
    try:
        for member, stream in members(archive, bounds):
            path = _inside(member.name)
            if only and path != only:
                continue
            reason = member.reason or _refused(path, member, taken)
            if not reason and stream is not None:
                taken.add(path)
                reason = _write(folder / path, stream, bounds)
            if reason:
                left_out.append(
                    Dropped(path or member.name.replace("..", "__").strip("/"), member.bytes, reason, archive.name)
                )
    except _BROKEN as problem:
        raise BurilError("D018", archive=archive.name, problem=str(problem) or type(problem).__name__) from problem
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise BurilError("D018", archive=archive.name, problem=str(problem)) from problem
    return left_out


def _inside(name: str) -> str:
    """A member's name as a relative path; "" when it leads elsewhere or can't be one."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    bad = name.startswith("/") or ".." in parts or "\0" in name or "\\" in name or len(name) > 1024
    try:
        long = any(len(part.encode()) > 255 for part in parts)
    except UnicodeEncodeError:
        return ""
    return "" if bad or long or (parts and parts[0].endswith(":")) else "/".join(parts)


def _refused(path: str, member: Member, taken: set[str]) -> str:
    if not path:
        return "path"
    if path in taken:
        return "same_place"
    if member.bytes > MAX_FILE:
        return "too_large"
    name = path.rpartition("/")[2]
    useful = may_be_source(path) is not False or is_license_text(path) or name in NAMES or name == "copyright"
    return "" if useful else "language"


def _write(path: Path, stream: IO[bytes], bounds: Bounds) -> str:
    """Write one member as a new plain file; gives why it could not be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return "same_place"
    with os.fdopen(handle, "wb") as target:
        while block := stream.read(_CHUNK):
            bounds.bytes(len(block))
            target.write(block)
    return ""


# --- tar


class _Forward(io.RawIOBase):
    """Unfolded bytes, read forward only and no more than `MAX_READ` at once; seeking ahead reads."""

    def __init__(self, stream: IO[bytes], bounds: Bounds) -> None:
        self._stream, self._bounds, self._at = stream, bounds, 0

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_READ:
            raise tarfile.ReadError("a header claims too much")
        block = self._stream.read(size)
        self._at += len(block)
        return block

    def seek(self, place: int, whence: int = 0) -> int:
        if whence != 0 or place < self._at:
            raise tarfile.ReadError("the archive asks to be read backwards")
        while self._at < place and (block := self.read(min(_CHUNK, place - self._at))):
            self._bounds.bytes(len(block))
        return self._at

    def tell(self) -> int:
        return self._at


@contextmanager
def _unfolded(archive: Path) -> Iterator[IO[bytes]]:
    with archive.open("rb") as raw:
        name = archive.name
        if name.endswith((".gz", ".tgz")):
            yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
        elif name.endswith(".bz2"):
            yield cast("IO[bytes]", bz2.BZ2File(raw))
        elif name.endswith(".xz"):
            with lzma.LZMAFile(raw) as unfolded:
                yield cast("IO[bytes]", unfolded)
        elif name.endswith(".zst"):
            import pyarrow as pa

            yield cast("IO[bytes]", pa.CompressedInputStream(raw, "zstd"))
        else:
            yield raw


def _tar(archive: Path, bounds: Bounds) -> Iterator[tuple[Member, IO[bytes] | None]]:
    with _unfolded(archive) as stream:
        forward = cast("IO[bytes]", _Forward(stream, bounds))
        top: str | None = None
        with tarfile.open(fileobj=forward, mode="r:", errorlevel=2) as tar:
            while (found := tar.next()) is not None:
                vars(tar)["members"] = []  # tarfile keeps every header that it saw
                bounds.member()
                if top is None:
                    first = _inside(found.name)
                    top = first.partition("/")[0] + "/" if first and (found.isdir() or "/" in first) else ""
                name = found.name.removeprefix("./")
                name = name[len(top) :] if top and name.startswith(top) else name
                if found.isdir():
                    continue
                reason = "symlink" if found.issym() or found.islnk() else "" if found.isreg() else "not_a_file"
                yield Member(name, found.size, reason), None if reason else tar.extractfile(found)


# --- zip


def _zip(archive: Path, bounds: Bounds) -> Iterator[tuple[Member, IO[bytes] | None]]:
    with zipfile.ZipFile(archive) as whole:
        for found in whole.infolist():
            bounds.member()
            if found.is_dir():
                continue
            mode = found.external_attr >> 16
            kind = stat.S_IFMT(mode)
            reason = "symlink" if stat.S_ISLNK(mode) else "not_a_file" if kind not in (0, stat.S_IFREG) else ""
            member = Member(found.filename, found.file_size, reason or ("encrypted" if found.flag_bits & 1 else ""))
            if member.reason or _refused(_inside(member.name), member, set()):
                yield member, None
            else:
                with whole.open(found) as stream:
                    yield member, stream
