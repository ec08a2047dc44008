"""The files of a repository at a commit: its archive, fetched once, read with suspicion, and kept unpacked.

`<cache>/repositories/<host>/<owner>/<name>/<commit>/` holds `files/` and `index.json`; the folder appears by rename, so
it is whole or absent. Of files that are no source code only what bears on licences and signals is written; all are
listed. An archive is removed as soon as it is unpacked.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from buril.code.language import languages, may_be_source
from buril.data import _signals
from buril.data.sources._http import Failed, Http
from buril.data.sources._licenses import is_license_text
from buril.data.sources._places import locked
from buril.data.sources._tar import FILE, LINK, MAX_PATH, Bounds, BrokenArchive, Member, unpack

INDEX = "index.json"
VERSION = 1
METADATA = frozenset({"pyproject.toml", "Cargo.toml", "package.json", "composer.json"})
MAX_FILE_BYTES = 32_000_000
"""Larger single files are listed, not written: no source code has that size."""
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,100}")


class Entry(NamedTuple):
    """A file of the archive. `reason` says why it was not written; "" for one that was."""

    path: str
    bytes: int
    reason: str = ""


class Unpacked(NamedTuple):
    """A repository's files: the folder they stand in, and all entries by path."""

    root: Path
    entries: tuple[Entry, ...]


class Archives:
    """Brings archives here and unpacks them; what is here already is not asked for."""

    def __init__(self, http: Http, cache: Path, *, max_bytes: int) -> None:
        self._http, self._cache, self._max_bytes = http, cache / "repositories", max_bytes

    def get(self, place: str, url: str, commit: str) -> Unpacked:
        """The files of a repository at a commit.

        Args:
            place: `host/owner/name`, where it is kept.
            url: the archive's address at the API.
            commit: the full hash.

        Raises:
            Failed: it can't be had, or what came is no archive of it; the reason says which.
        """
        if not all(_PLAIN.fullmatch(part) and part.strip(".") for part in (*place.split("/"), commit)):
            raise Failed("bad_name", place)
        folder = self._cache.joinpath(*place.lower().split("/")) / commit
        index = _index(folder)
        if index is None:
            with locked(folder.with_name(f".{commit}.lock")):  # another run may be at the same repository
                if _index(folder) is None:
                    self._fetch(folder, url, commit)
            index = _index(folder)
        if index is None:
            raise Failed("archive_corrupt", "index")
        return Unpacked(folder / "files", index)

    def empty(self) -> Path:
        """A folder without files, for a repository that could not be had."""
        folder = self._cache / ".empty"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def _fetch(self, folder: Path, url: str, commit: str) -> None:
        """Download and unpack; what is damaged is fetched anew, as often as there is patience for."""
        archive, made = folder.with_name(f"{commit}.tar.gz"), folder.with_name(f".{commit}.tmp")
        attempts = self._http.patience.attempts
        for attempt in range(1, attempts + 1):
            self._http.download(url, archive, max_bytes=self._max_bytes)
            shutil.rmtree(made, ignore_errors=True)
            try:
                _unpack(archive, made, commit, self._max_bytes)
            except BrokenArchive as problem:
                if problem.reason not in ("truncated", "corrupt") or attempt == attempts:
                    shutil.rmtree(made, ignore_errors=True)
                    raise Failed(f"archive_{problem.reason}", problem.detail) from problem
                continue
            finally:
                archive.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
            return


def _index(folder: Path) -> tuple[Entry, ...] | None:
    """The entries of a repository that is here, unpacked by the same rules; None when it must be fetched."""
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return tuple(Entry(*item) for item in found["entries"]) if found.get("rules") == _rules() else None


def _rules() -> str:
    """What decides which files are written: another set of languages wants other files."""
    known = json.dumps([VERSION, {name: facts.version for name, facts in sorted(languages().items())}])
    return hashlib.sha256(known.encode()).hexdigest()[:16]


def _unpack(archive: Path, made: Path, commit: str, max_bytes: int) -> None:
    root = made / "files"
    root.mkdir(parents=True, mode=0o700)
    entries: dict[str, Entry] = {}

    def take(member: Member, chunks: Iterator[bytes]) -> None:
        if re.fullmatch(r"[0-9a-f]{40,64}", member.comment) and member.comment != commit:
            raise BrokenArchive("other_commit", member.comment)
        path, entry = _judged(member)
        if path in entries:
            return  # the first of two of one name counts
        if not entry.reason and not _write(root, path, chunks):
            entry = entry._replace(reason="path")
        entries[path] = entry

    unpack(archive, Bounds(max_bytes), take)
    index = {"rules": _rules(), "entries": sorted(entries.values())}
    (made / INDEX).write_text(json.dumps(index, ensure_ascii=True), encoding="utf-8")


def _judged(member: Member) -> tuple[str, Entry]:
    """The path below the repository's root, and what is to become of the entry."""
    path = member.path.partition("/")[2]  # GitHub puts all below `owner-name-commit/`
    parts = path.split("/")
    shown = path if len(path) <= MAX_PATH else path[:200] + "…"
    if member.path.startswith("/") or not path or "" in parts or "." in parts or ".." in parts or "\0" in path:
        reason = "outside"
        inner = "/".join(part for part in shown.split("/") if part not in ("", ".", ".."))
        shown = f"(outside)/{inner}".replace("\0", "").rstrip("/")
    elif len(path) > MAX_PATH or any(len(os.fsencode(part)) > 255 for part in parts) or not _is_text(path):
        reason = "path"
    elif member.kind != FILE:
        reason = "symlink" if member.kind == LINK else "not_a_file"
    elif member.size > MAX_FILE_BYTES:
        reason = "too_large"
    else:
        reason = "" if _is_wanted(path) else "language"
    return shown, Entry(shown, member.size, reason)


def _is_wanted(path: str) -> bool:
    """Whether a file is written to the disk: it may be source code, or bears on licence or signals."""
    source = may_be_source(path)
    named = is_license_text(path) or path in METADATA or _signals.is_needed(path)
    return source is None or source or named


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write(root: Path, path: str, chunks: Iterator[bytes]) -> bool:
    """Write one file that is not there yet; False when its place is taken by another."""
    place = root / path
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return False
    with os.fdopen(handle, "wb") as stream:
        for chunk in chunks:
            stream.write(chunk)
    return True
