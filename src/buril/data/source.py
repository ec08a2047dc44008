"""Source: where code comes from. There are two kinds, and `collect` takes any mixture of them.

A `Source` lists repositories and their files, and `collect` reads them. Listing is apart from reading, so that the
shards can be planned before a byte is read, a sample can be drawn, and a file of 2 GB is refused by its size. A source
whose files are not on this disk brings them here first, or has `contents`.

A `RowSource` holds tables whose rows carry the content already. It says into which pieces they can be cut; a piece is
read by one worker from its beginning to its end, and nothing of it is kept longer than a shard needs.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeGuard

from buril.code.codefile import CodeFile, row_id
from buril.code.language import HEAD_CHARS, detect
from buril.code.license import spdx_header
from buril.core.settings import Json
from buril.data._encoding import decode, is_wide

STAGE = "collect"
MAX_CONTROL_SHARE = 0.01
"""Share of control characters (other than white space and escape) above which a text counts as binary."""
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b\b"))


@dataclass(frozen=True)
class Repository:
    """One repository, package or folder.

    `name` is how rows call it (`github.com/owner/name`, `pypi/numpy`); `kind` is `git`, `folder` or `package`;
    `commit` is "" where there is none; `license` is SPDX or "". `root` is where it stands on this machine; no artifact
    says it. `signals` are numbers about the repository (`stars`, `coverage`, `open_issue_age_days`, …); each of its
    rows gets them. A number that nobody knows is left out.
    """

    name: str
    kind: str
    root: Path
    url: str = ""
    commit: str = ""
    license: str = ""
    signals: Mapping[str, float] = field(default_factory=dict)


class SourceFile(NamedTuple):
    """A file worth reading: `path` in the repository, `bytes` as listed, `license` of the repository or nearer folder.

    `blob` is the git object id that the commit holds for it: "" without a commit, `-` where the commit lacks it.
    """

    path: str
    bytes: int
    license: str = ""
    blob: str = ""


class Dropped(NamedTuple):
    """A file left out, and why. `repo` is given by sources of rows; elsewhere it is known from the listing."""

    path: str
    bytes: int
    reason: str
    detail: str = ""
    step: str = "list"
    language: str = ""
    license: str = ""
    repo: str = ""

    def row(self, repo: str, commit: str) -> dict[str, Any]:
        """Its row of `dropped.parquet`."""
        path, repo = printable(self.path), self.repo or repo
        return {
            "row_id": row_id(repo, path, ""),
            "repo": repo,
            "commit": commit,
            "path": path,
            "language": self.language,
            "license": self.license,
            "bytes": self.bytes,
            "stage": STAGE,
            "step": self.step,
            "reason": self.reason,
            "detail": self.detail,
        }


class Piece(NamedTuple):
    """A part of a table that one worker reads: a file, a range of its bytes, or one of its row groups.

    `place` is the file's name in the source, with forward slashes. `first` and `end` are bytes of a text file or row
    groups of a Parquet file; `end` 0 stands for the file's end. `bytes` is what reading it is expected to take.
    """

    place: str
    first: int = 0
    end: int = 0
    bytes: int = 0


class Source(Protocol):
    """What a plugin of the kind `source` offers that lists files; its constructor takes its `Settings`.

    It may also have `contents(repository, files, limit)`, where the files are not plain ones below `root`: called in a
    worker, it gives for each file in turn its first `limit` bytes, or a `Dropped`. It may have `notes()`: texts to tell
    the user once the files are listed, such as a version that nobody pinned. And where listing would fetch more than a
    plan should, `expected()`: bytes and files to expect, or None when listing is cheap.
    """

    version: ClassVar[int]

    def observe(self) -> Json:
        """A cheap fingerprint of everything it would give now: names, sizes, times, commits; no contents."""
        ...

    def repositories(self) -> Iterator[Repository]:
        """Its repositories, in an order that does not depend on the machine."""
        ...

    def files(self, repository: Repository) -> Iterator[SourceFile | Dropped]:
        """The files of one repository, in any order; none is opened but to learn its language or its licence."""
        ...


class RowSource(Protocol):
    """What a plugin of the kind `source` offers whose rows carry the content; its constructor takes its `Settings`.

    It may also have `notes()`, like a `Source`.
    """

    version: ClassVar[int]

    def observe(self) -> Json:
        """A cheap fingerprint of everything it would give now: names, sizes, times, revisions; no contents."""
        ...

    def origin(self) -> str:
        """Where all its rows come from, as a public URL; "" where there is none."""
        ...

    def pieces(self) -> Iterator[Piece]:
        """Its pieces, in an order that does not depend on the machine; together they hold every row once."""
        ...

    def rows(self, piece: Piece, max_bytes: int) -> Iterator[CodeFile | Dropped]:
        """The rows of one piece in their order, each one accounted for; called in a worker."""
        ...


def gives_rows(source: Source | RowSource) -> TypeGuard[RowSource]:
    """Whether a source gives rows that carry their content, rather than files to read."""
    return hasattr(source, "pieces")


def printable(path: str) -> str:
    r"""A path as valid Unicode: bytes that are not UTF-8 are shown as `\xNN`."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def open_regular(path: Path) -> int:
    """A descriptor of a plain file, opened so that no link is followed and no pipe or device can block.

    Raises:
        OSError: it is missing, unreadable or not a plain file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a plain file")
    return handle


def read_head(path: Path, limit: int) -> bytes:
    """At most `limit` bytes from the beginning of a plain file; b"" when it can't be read."""
    try:
        with os.fdopen(open_regular(path), "rb") as stream:
            return stream.read(limit)
    except OSError:
        return b""


def read(repository: Repository, file: SourceFile, max_bytes: int) -> CodeFile | Dropped:
    """Read one listed file from the folder of its repository, as `made` does with bytes that are there.

    Never reads more than `max_bytes` + 1 bytes, whatever the listing said.
    """
    try:
        with os.fdopen(open_regular(repository.root / file.path), "rb") as stream:
            raw = stream.read(max_bytes + 1)
    except OSError as problem:
        return Dropped(file.path, file.bytes, "unreadable", problem.strerror or "", "read")
    return made(repository, file, raw, max_bytes)


def made(repository: Repository, file: SourceFile, raw: bytes, max_bytes: int) -> CodeFile | Dropped:
    """The row of a listed file: its text, language, licence and whether it differs from the commit."""
    text, reason = text_of(raw, max_bytes)
    if reason:
        return Dropped(file.path, max(file.bytes, len(raw)), reason, "", "read")
    language = detect(file.path, text[:HEAD_CHARS])
    if not language:
        return Dropped(file.path, len(raw), "language", "", "read")
    return CodeFile(
        repo=repository.name,
        path=file.path,
        content=text,
        sha256=hashlib.sha256(raw).hexdigest(),
        bytes=len(raw),
        commit=_commit(repository, file, raw),
        language=language,
        license=spdx_header(text) or file.license,
        signals=dict(repository.signals),
    )


def text_of(raw: bytes, max_bytes: int) -> tuple[str, str]:
    """The text that bytes hold, and "", or no text and why: `empty`, `too_large`, `binary`, `encoding`."""
    if not raw.strip() or len(raw) > max_bytes:
        return "", "too_large" if len(raw) > max_bytes else "empty"
    wide = is_wide(raw)
    if not wide and is_binary(raw):
        return "", "binary"
    text = decode(raw)
    if text is None:
        return "", "encoding"
    if not text.strip() or (wide and is_binary(text.encode())):
        return "", "binary" if text.strip() else "empty"
    return text, ""


def _commit(repository: Repository, file: SourceFile, raw: bytes) -> str:
    """The commit a file's bytes come from, marked when they are not those that the commit holds."""
    if not repository.commit or not file.blob:
        return repository.commit
    algorithm = hashlib.sha256 if len(file.blob) == 64 else hashlib.sha1
    blob = algorithm(b"blob %d\0" % len(raw) + raw).hexdigest()
    return repository.commit if blob == file.blob else f"{repository.commit}+dirty"


def is_binary(raw: bytes) -> bool:
    """Whether bytes are no text: a NUL, or too many control characters."""
    if b"\0" in raw:
        return True
    return len(raw) - len(raw.translate(None, _CONTROL)) > MAX_CONTROL_SHARE * len(raw)
