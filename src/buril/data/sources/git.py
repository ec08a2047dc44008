"""Git: one revision of a repository, by URL or on this disk, read from git's objects without checking it out."""

from __future__ import annotations

import datetime
from collections.abc import Generator, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from pydantic import field_validator

from buril.code import license
from buril.code.language import detect, may_be_source
from buril.core.errors import BurilError
from buril.core.settings import Json, runtime
from buril.core.settings import Settings as BaseSettings
from buril.core.text import _
from buril.data._signals import repository_signals
from buril.data.source import Dropped, Repository, SourceFile, printable
from buril.data.sources import _clone, _git, _objects, _token
from buril.data.sources._cache import cache_folder
from buril.data.sources._licenses import MAX_TEXT_BYTES, Head, LicenseMap, of_repository
from buril.data.sources._listing import NOT_SOURCE, SHEBANG_BYTES, globs
from buril.data.sources._marks import has_tests

DAY_S = 86_400
LFS = b"version https://git-lfs.github.com/spec/v1"
_KINDS = {_git.MODE_SUBMODULE: "submodule", _git.MODE_LINK: "symlink"}
EXPECTED = (30_000_000, 3_000)
"""Bytes and files of a repository that nobody has fetched yet: a guess, for an estimate."""


class Git:
    """One repository at one revision: what its commit holds, whatever a working tree may look like.

    By URL, a bare copy without history is kept in a cache and asked for only when it is needed. Nothing of the
    repository is executed: no hook, filter, LFS, monitor or helper, and no submodule is followed.
    """

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """Which repository, at which revision, and what of it."""

        shorthand: ClassVar[str | None] = "url"

        url: str = ""
        """`https://…`, `ssh://…`, `user@host:path` or `file:///…`."""
        path: Path | None = None
        """In place of `url` a repository on this disk, bare or not. Relative to the YAML."""
        revision: str = "HEAD"
        """A branch, a tag or a commit. A branch is looked up at every run; the commit that was found enters the key."""
        license: str = ""
        """The licence (SPDX, or a word of your own) of a repository that states none. What it states wins."""
        include: tuple[str, ...] = ()
        """Only paths that fit one of these globs. Empty: all."""
        exclude: tuple[str, ...] = NOT_SOURCE
        """Paths to leave out, as globs; a name without a slash fits at any depth."""
        as_of: datetime.date | None = None
        """The day from which the age of the last commit is counted, as the signal `last_commit_age_days`. None: the
        signal is left out, since a day that moves would change the bytes; `last_commit_day` is always there."""
        history: bool = False
        """Also fetch the history, for the signals `commits` and `contributors`. Off, because it can be a hundred times
        the size of the code."""
        token: str = runtime("")
        """`env:NAME`, the environment variable with a token for an https:// address. It is never written down."""
        cache: Path | None = runtime(None)
        """Where fetched repositories are kept. None: `~/.cache/buril/git`."""

        @field_validator("url")
        @classmethod
        def _address(cls, value: str) -> str:
            if value and not _clone.address(value) and not value.startswith("file:///"):
                raise ValueError("this is no address; write `path:` for a repository on this disk")
            return value

        @field_validator("revision")
        @classmethod
        def _name(cls, value: str) -> str:
            return _git.revision(value)

        @field_validator("token")
        @classmethod
        def _reference(cls, value: str) -> str:
            return _token.checked(value)

        @field_validator("license")
        @classmethod
        def _known(cls, value: str) -> str:
            return license.declared(value)

    def __init__(self, settings: Settings) -> None:
        if bool(settings.url) == (settings.path is not None):
            raise BurilError("D023", source="git", first="url", second="path")
        self.settings = settings
        self._remote = _clone.address(settings.url)
        self._excluded = globs(settings.exclude)
        self._included = globs(settings.include) if settings.include else lambda path: True

    def observe(self) -> Json:
        """Name and commit: a commit never changes."""
        return list(self.place())

    def place(self) -> tuple[str, str]:
        """Name and commit."""
        return self._name, self._commit

    def expected(self) -> tuple[int, int] | None:
        """Bytes and files to expect where the repository has not been fetched; None where it can be listed."""
        if self._remote and not _clone.has(self._cached, self._commit, whole=self.settings.history):
            return EXPECTED
        return None

    def notes(self) -> Iterator[str]:
        """The commit, where a name stood for it."""
        if not _clone.COMMIT.fullmatch(self.settings.revision):
            yield _("{name}: {revision} is {commit}").format(
                name=self._name, revision=self.settings.revision, commit=self._commit
            )

    def repositories(self) -> Iterator[Repository]:
        """The repository."""
        yield self._repository

    def license_of(self, path: str) -> str:
        """The licence of one file of the commit, by its path; "" for unknown."""
        with _objects.blobs(self._folder) as blobs:
            licenses = LicenseMap(self._folder, self._tree, self._repository.license, head=self._head(blobs))
            return licenses.of(path)

    def files(self, repository: Repository) -> Iterator[SourceFile | Dropped]:
        """The files of the commit, by path."""
        folder = repository.root
        with _objects.blobs(folder) as blobs:
            licenses = LicenseMap(folder, self._tree, repository.license, head=self._head(blobs))
            for path, entry in sorted(self._tree.items()):
                found = self._look(path, entry)
                if found is None:
                    head = blobs.read(entry.blob, SHEBANG_BYTES) or b""
                    is_source = bool(detect(path, head.decode("utf-8", "replace")))
                    found = SourceFile(path, entry.bytes) if is_source else Dropped(path, entry.bytes, "language")
                if isinstance(found, SourceFile):
                    found = found._replace(license=licenses.of(path), blob=entry.blob)
                yield found

    def contents(
        self, repository: Repository, files: Sequence[SourceFile], limit: int
    ) -> Generator[bytes | Dropped, None, None]:
        """The beginning of each file's object; a placeholder of git LFS is no content."""
        with _objects.blobs(repository.root) as blobs:
            for file in files:
                raw = blobs.read(file.blob, limit)
                if raw is None:
                    yield Dropped(file.path, file.bytes, "unreadable", "", "read")
                elif raw.startswith(LFS):
                    yield Dropped(file.path, file.bytes, "lfs_pointer", "", "read")
                else:
                    yield raw

    def _look(self, path: str, entry: _objects.Entry) -> SourceFile | Dropped | None:
        """A file worth reading, or why it is not; None where only its first line can tell."""
        reason = self._refused(path, entry)
        if reason:
            return Dropped(path if reason != "path" else path.replace("..", "__"), max(0, entry.bytes), reason)
        source = may_be_source(path)
        if source is None and entry.bytes:
            return None
        if not source or not entry.bytes:
            return Dropped(path, entry.bytes, "empty" if source else "language")
        return SourceFile(path, entry.bytes)

    def _refused(self, path: str, entry: _objects.Entry) -> str:
        """Why a file is left out by its name, its kind or its absence; "" when it is not."""
        if {"", ".", "..", ".git"} & set(path.split("/")) or "\0" in path or path != printable(path):
            return "path"
        if entry.mode in _KINDS:
            return _KINDS[entry.mode]
        if self._excluded(path) or not self._included(path):
            return "excluded"
        if entry.bytes < 0:  # the server was asked to leave out what is too large
            return "too_large" if self._remote else "missing"
        return ""

    def _head(self, blobs: _objects.Blobs) -> Head:
        """Reads the beginning of a file of the commit, where it is a plain one."""
        return lambda path: self._read(blobs, path, MAX_TEXT_BYTES)

    def _read(self, blobs: _objects.Blobs, path: str, most: int) -> bytes:
        """At most that many bytes of a plain file of the commit; b"" where it is none, or not at hand."""
        entry = self._tree.get(path)
        plain = entry is not None and entry.bytes >= 0 and entry.mode not in (_git.MODE_LINK, _git.MODE_SUBMODULE)
        return (blobs.read(entry.blob, most) or b"") if entry and plain else b""

    @cached_property
    def _cached(self) -> Path:
        return _clone.folder_of(self._remote, cache_folder(self.settings.cache, "git"))

    @cached_property
    def _folder(self) -> Path:
        """The folder with the objects; a remote repository is brought here now."""
        if not self._remote:
            return self._local
        if not _clone.has(self._cached, self._commit, whole=self.settings.history):
            token = _token.value(self.settings.token)
            _clone.fetch(self._remote, self._commit, self._cached, token=token, whole=self.settings.history)
        return self._cached

    @cached_property
    def _local(self) -> Path:
        path = self.settings.path or Path(unquote(urlsplit(self.settings.url).path))
        return _objects.folder_of(path.expanduser())

    @cached_property
    def _commit(self) -> str:
        """The commit that the revision names.

        Raises:
            BurilError: D011 when there is none.
        """
        if self._remote:
            revision = self.settings.revision
            if _clone.COMMIT.fullmatch(revision):
                return revision
            return _clone.resolve(self._remote, revision, _token.value(self.settings.token))
        found = _objects.commit_of(self._local, self.settings.revision)
        if not found:
            raise BurilError("D011", url=self.settings.url or self.settings.path, revision=self.settings.revision)
        return found

    @cached_property
    def _tree(self) -> dict[str, _objects.Entry]:
        return _objects.tree(self._folder, self._commit)

    @cached_property
    def _name(self) -> str:
        """`host/owner/name` of the address, or of the origin of a repository on this disk; else its folder's name."""
        if self._remote:
            return _git.place(self._remote)
        said = _git.run(self._local, _git.command(self._local, "config", "--local", "--get", "remote.origin.url"))
        place = _git.place(said.decode("utf-8", "replace").strip()) if said else ""
        folder = self._local.resolve()
        return place or (folder.parent if folder.name == ".git" else folder).name.removesuffix(".git") or "root"

    @cached_property
    def _repository(self) -> Repository:
        folder = self._folder
        with _objects.blobs(folder) as blobs:
            stated = of_repository(folder, self._tree, self._head(blobs)) or self.settings.license
            own = repository_signals(self._tree, lambda path, most: self._read(blobs, path, most))
        host = self._name.partition("/")[0]
        url = f"https://{self._name}" if "/" in self._name and "." in host else ""
        return Repository(self._name, "git", folder, url, self._commit, stated, {**own, **self._signals(folder)})

    def _signals(self, folder: Path) -> dict[str, float]:
        day = _objects.committed_at(folder, self._commit) // DAY_S
        found = {"last_commit_day": day, "tests": has_tests(self._tree)}
        if self.settings.as_of is not None:
            found["last_commit_age_days"] = (self.settings.as_of - datetime.date(1970, 1, 1)).days - day
        past = _objects.history(folder, self._commit) if self.settings.history else None
        if past is not None:
            found["commits"], found["contributors"] = past
        return {name: float(value) for name, value in found.items()}
