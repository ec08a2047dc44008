"""The repositories whose tests are run: found by the name that `collect` and `history` give them, and read whole.

A commit is read from git's objects, so that what is checked out does not matter and nothing of a repository is run.
What was not committed, and folders outside of git, are read as they lie there.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from buril.core.settings import Json
from buril.data.sources import _git, _objects
from buril.data.sources.folder import Folder
from buril.data.sources.git import Git

MOST_FILES = 12_000
"""Files of a repository: the jail's file system holds few more."""
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_LEFT_OUT = frozenset({".git", "__pycache__", ".hg", ".svn"})


class Entry(NamedTuple):
    """A file of a repository; of a link `raw` is what it points to."""

    raw: bytes
    executable: bool = False
    link: bool = False


class Snapshot(NamedTuple):
    """A repository at a commit: its files by path, and what they are told by (`digest`)."""

    files: Mapping[str, Entry]
    digest: str

    def text(self, path: str) -> str | None:
        """The text of a plain file; bytes that are not UTF-8 stay as surrogates."""
        entry = self.files.get(path)
        return None if entry is None or entry.link else entry.raw.decode("utf-8", "surrogateescape")

    def packed(self) -> str:
        """All files as a compressed archive, in base64."""
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as archive:
            for path, entry in sorted(self.files.items()):
                told = tarfile.TarInfo(path)
                told.mode = 0o755 if entry.executable else 0o644
                if entry.link:
                    told.type, told.linkname = tarfile.SYMTYPE, os.fsdecode(entry.raw)
                    archive.addfile(told)
                else:
                    told.size = len(entry.raw)
                    archive.addfile(told, io.BytesIO(entry.raw))
        return base64.b64encode(raw.getvalue()).decode("ascii")


class _Place(NamedTuple):
    root: Path
    git: bool


class Repositories:
    """The repositories below some folders, or bare ones.

    Args:
        paths: a repository each, or a folder with several.
        max_mb: MiB of the files of one; what has more is not read.

    Raises:
        BurilError: D001, D002 and D003 for what is no folder that can be read.
    """

    def __init__(self, paths: Sequence[Path], max_mb: int) -> None:
        self._paths, self._most = tuple(paths), max_mb << 20
        self._known: dict[str, _Place] | None = None

    def observe(self) -> Json:
        """Names, commits and states of the repositories."""
        return [
            Git(Git.Settings(path=path)).observe() if _is_bare(path) else _folder(path).observe()
            for path in self._paths
        ]

    def read(self, name: str, commit: str) -> Snapshot | str:
        """A repository at a commit; "" stands for what lies there now. A slug where it can't be read."""
        if self._known is None:
            self._known = dict(self._find())
        place = self._known.get(name)
        if place is None:
            return "no_repository"
        if place.git and _COMMIT.fullmatch(commit):
            return self._committed(place, commit)
        return self._lying(place)

    def _find(self) -> Iterator[tuple[str, _Place]]:
        for path in self._paths:
            if _is_bare(path):
                yield Git(Git.Settings(path=path)).place()[0], _Place(path.expanduser(), git=True)
            else:
                for found in _folder(path).repositories():
                    yield found.name, _Place(found.root, git=found.kind == "git")

    def _committed(self, place: _Place, commit: str) -> Snapshot | str:
        folder = _objects.folder_of(place.root)
        full = _objects.commit_of(folder, commit)
        if not full:
            return "no_commit"
        tree = {path: entry for path, entry in _objects.tree(folder, full).items() if entry.mode != _git.MODE_SUBMODULE}
        if len(tree) > MOST_FILES or sum(entry.bytes for entry in tree.values()) > self._most:
            return "too_large"
        found: dict[str, Entry] = {}
        with _objects.blobs(folder) as blobs:
            for path, entry in tree.items():
                raw = blobs.read(entry.blob, self._most)
                if raw is None:
                    return "missing"
                found[path] = Entry(raw, entry.mode == "100755", entry.mode == _git.MODE_LINK)
        return Snapshot(found, full)

    def _lying(self, place: _Place) -> Snapshot | str:
        if place.git:
            paths = [path for path, mode in _git.listed(place.root).items() if mode != _git.MODE_SUBMODULE]
        else:
            paths = list(_walked(place.root))
        found: dict[str, Entry] = {}
        left = self._most
        for path in sorted(paths):
            full = place.root / path
            if full.is_symlink():
                found[path] = Entry(os.fsencode(full.readlink()), link=True)
            elif full.is_file():
                left -= full.stat().st_size
                if left < 0 or len(found) >= MOST_FILES:
                    return "too_large"
                found[path] = Entry(full.read_bytes(), os.access(full, os.X_OK))
        digest = hashlib.blake2b(digest_size=16)
        for path, entry in found.items():
            digest.update(os.fsencode(path) + b"\0%d\0" % len(entry.raw) + entry.raw)
        return Snapshot(found, digest.hexdigest())


def _is_bare(path: Path) -> bool:
    path = path.expanduser()
    return (path / "HEAD").is_file() and (path / "objects").is_dir()


def _folder(path: Path) -> Folder:
    return Folder(Folder.Settings(path=path))


def _walked(root: Path) -> Iterator[str]:
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name not in _LEFT_OUT)
        for name in (*files, *(name for name in names if (Path(folder) / name).is_symlink())):
            yield (Path(folder) / name).relative_to(root).as_posix()
