"""Source: where code comes from. A source lists repositories and their files; `collect` reads them.

Listing is apart from reading, so that the shards can be planned before a byte is read, a sample can be drawn, and a
file of 2 GB is refused by its size. A source whose files are not on this disk brings them here first.
"""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from buril.code.codefile import CodeFile, row_id
from buril.code.language import HEAD_CHARS, detect
from buril.code.license import spdx_header
from buril.core.settings import Json

STAGE = "collect"
MAX_CONTROL_SHARE = 0.01
"""Share of control characters (other than white space and escape) above which a text counts as binary."""
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b\b"))
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_CHARSETS = frozenset(
    {
        "iso8859-1",
        "iso8859-2",
        "iso8859-5",
        "iso8859-7",
        "iso8859-9",
        "iso8859-15",
        "cp1250",
        "cp1251",
        "cp1252",
        "koi8-r",
        "koi8-u",
        "euc_jp",
        "shift_jis",
        "euc_kr",
        "gb2312",
        "gbk",
        "gb18030",
        "big5",
    }
)
"""Encodings that a coding cookie may name; others (`hex`, `rot13`, `unicode_escape`) are no charsets."""


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
    """A file left out, and why."""

    path: str
    bytes: int
    reason: str
    detail: str = ""
    step: str = "list"
    language: str = ""
    license: str = ""

    def row(self, repo: str, commit: str) -> dict[str, Any]:
        """Its row of `dropped.parquet`."""
        path = printable(self.path)
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


class Source(Protocol):
    """What a plugin of the kind `source` offers; its constructor takes its `Settings`.

    A source that asks a server may also have `work() -> float`, the bytes there will be to read as the server tells
    them, so that a plan fetches nothing; and `notes() -> list[str]`, what the user should know once all is listed.
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
    """Read one listed file: its text, language, licence and whether it differs from the commit.

    Never reads more than `max_bytes` + 1 bytes, whatever the listing said.
    """
    try:
        with os.fdopen(open_regular(repository.root / file.path), "rb") as stream:
            raw = stream.read(max_bytes + 1)
    except OSError as problem:
        return Dropped(file.path, file.bytes, "unreadable", problem.strerror or "", "read")
    reason = "empty" if not raw.strip() else "too_large" if len(raw) > max_bytes else "binary" if is_binary(raw) else ""
    text = decode(raw) if not reason else ""
    if text is None:
        reason = "encoding"
    if reason or text is None:
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


def _commit(repository: Repository, file: SourceFile, raw: bytes) -> str:
    """The commit a file's bytes come from, marked when they are not those that the commit holds."""
    if not repository.commit or not file.blob:
        return repository.commit
    algorithm = hashlib.sha256 if len(file.blob) == 64 else hashlib.sha1
    blob = algorithm(b"blob %d\0" % len(raw) + raw).hexdigest()
    return repository.commit if blob == file.blob else f"{repository.commit}+dirty"


def is_binary(raw: bytes) -> bool:
    """Whether bytes are no text: a NUL, or too many control characters. UTF-16 counts as binary."""
    if b"\0" in raw:
        return True
    return len(raw) - len(raw.translate(None, _CONTROL)) > MAX_CONTROL_SHARE * len(raw)


def decode(raw: bytes) -> str | None:
    """The text: UTF-8 (a byte order mark is taken off), else the charset its first two lines declare, else None."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    for line in raw.split(b"\n", 2)[:2]:
        declared = _COOKIE.match(line)
        if declared:
            try:
                charset = codecs.lookup(declared[1].decode("ascii")).name
                return raw.decode(charset) if charset in _CHARSETS else None
            except (LookupError, UnicodeDecodeError):
                return None
    return None
