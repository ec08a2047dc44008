"""Folder: everything below a folder of this machine, git repositories each for itself, the rest as one repository."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import field_validator

from buril.code import license
from buril.core.errors import BurilError
from buril.core.settings import Json
from buril.core.settings import Settings as BaseSettings
from buril.data._signals import repository_signals
from buril.data.source import Dropped, Repository, SourceFile, read_head
from buril.data.sources import _git
from buril.data.sources._licenses import LicenseMap, of_repository
from buril.data.sources._listing import NOT_SOURCE, Lister, globs


@dataclass
class _Found:
    """A repository as the walk met it. `prefix`: its part below the folder; `paths`: only outside git."""

    root: Path
    git: bool
    prefix: str = ""
    paths: list[str] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


class Folder:
    """All source code below a folder. In git repositories that is what git tracks; outside, every file.

    A file that differs from the commit, or is not in it, has `+dirty` behind its commit. Nothing of a repository is
    executed, links are not followed, and credentials in remote URLs are never kept. Each repository has the signal `ci`
    (whether a CI service is set up) and, where a committed report or a badge states it, `coverage`.
    """

    version: ClassVar[int] = 2

    class Settings(BaseSettings):
        """Which folder, and what of it."""

        shorthand: ClassVar[str | None] = "path"

        path: Path
        """The folder; `~` is the home folder. Relative to the YAML."""
        license: str = ""
        """The licence (SPDX, or a word of your own such as `internal`) of repositories in it that state none that is
        known. What a repository, a subfolder or a file states wins: other people's code stays theirs."""
        include: tuple[str, ...] = ()
        """Only paths that fit one of these globs (relative to the repository). Empty: all."""
        exclude: tuple[str, ...] = NOT_SOURCE
        """Paths to leave out, as globs relative to the repository; a name without a slash fits at any depth. The
        default names folders that tools fill with other people's code or with their own state."""
        untracked: bool = False
        """Also take files that git neither tracks nor ignores. Off, because what nobody committed is often scratch."""

        @field_validator("license")
        @classmethod
        def _known(cls, value: str) -> str:
            return license.declared(value)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._root = settings.path.expanduser()
        self._excluded = globs(settings.exclude)
        self._included = globs(settings.include) if settings.include else lambda path: True

    def observe(self) -> Json:
        """Of each repository: its commit, and a hash over the names, sizes and times of its files."""
        seen: list[Json] = []
        for found, repository in self._repositories.values():
            lister, digest = Lister(found.root), hashlib.sha256()
            paths = sorted(self._paths(found))
            for path in paths:
                digest.update(f"{path}\0{lister.stamp(path)}\n".encode("utf-8", "surrogateescape"))
            seen.append([repository.name, repository.commit, len(paths), digest.hexdigest()])
        return seen

    def repositories(self) -> Iterator[Repository]:
        """The repositories below the folder, by name."""
        yield from (repository for _, repository in self._repositories.values())

    def files(self, repository: Repository) -> Iterator[SourceFile | Dropped]:
        """The files of one repository, by path."""
        found, _ = self._repositories[repository.name]
        modes = self._paths(found)
        blobs = _git.committed(found.root, found.prefix) if found.git and repository.commit else {}
        missing = "-" if repository.commit else ""
        licenses = LicenseMap(found.root, modes, repository.license)
        lister = Lister(found.root)
        yield from found.dropped
        for path in sorted(modes):
            if modes[path] == _git.MODE_SUBMODULE:
                continue  # its files are a repository of their own
            if modes[path] == _git.MODE_LINK:
                yield Dropped(path, 0, "symlink")
            elif self._excluded(path) or not self._included(path):
                yield Dropped(path, max(0, lister.stamp(path)[0]), "excluded")
            else:
                yield lister.look(path, licenses.of(path), blobs.get(path, missing))

    def _paths(self, found: _Found) -> dict[str, str]:
        """Path → git mode ("" outside git) of the files of a repository."""
        if not found.git:
            return dict.fromkeys(found.paths, "")
        paths = _git.listed(found.root, found.prefix)
        if self.settings.untracked:
            paths.update(dict.fromkeys(_git.untracked(found.root, found.prefix), ""))
        return paths

    @cached_property
    def _repositories(self) -> dict[str, tuple[_Found, Repository]]:
        """Name → what the walk found, in order of names. Two without an origin and of one name get their paths."""
        found = self._scan()
        named = {str(item.root): self._named(item) for item in found}
        taken = [name for name, _ in named.values()]
        made: dict[str, tuple[_Found, Repository]] = {}
        for item in found:
            name, url = named[str(item.root)]
            if taken.count(name) > 1 and not url and item.root != self._real:
                name = f"{self._real.name}/{item.root.relative_to(self._real).as_posix()}"
            if name in made:  # a second clone: one repository must not stand on both sides of a split
                place = os.path.relpath(item.root, made[name][0].root) + "/"
                made[name][0].dropped.append(Dropped(place, 0, "second_clone"))
            else:
                made[name] = (item, self._described(item, name, url))
        return dict(sorted(made.items()))

    def _named(self, found: _Found) -> tuple[str, str]:
        """Name and public URL of a repository."""
        place = _git.place(_git.origin(found.root)) if found.git else ""
        return (place, f"https://{place}") if place else (found.root.name or "root", "")

    def _described(self, found: _Found, name: str, url: str) -> Repository:
        paths = _git.listed(found.root) if found.git else dict.fromkeys(found.paths, "")
        stated = of_repository(found.root, paths) or self.settings.license
        commit = _git.head(found.root) if found.git else ""
        signals = repository_signals(paths, lambda path, most: read_head(found.root / path, most))
        return Repository(name, "git" if found.git else "folder", found.root, url, commit, stated, signals)

    @cached_property
    def _real(self) -> Path:
        """The folder, links resolved.

        Raises:
            BurilError: D001 when it is not there, D002 when it is no folder, D003 when it may not be read.
        """
        try:
            real = self._root.resolve(strict=True)
        except (OSError, RuntimeError) as problem:
            raise BurilError("D001", path=self.settings.path) from problem
        if not real.is_dir():
            raise BurilError("D002", path=self.settings.path)
        if not os.access(real, os.R_OK | os.X_OK):
            raise BurilError("D003", path=self.settings.path)
        return real

    def _scan(self) -> list[_Found]:
        """Walk the folder once: every repository in it, and what belongs to none."""
        root = self._real
        around = self._around(root)
        loose = around or _Found(root, git=False)
        found: list[_Found] = [around] if around else []
        inside: dict[str, bool] = {}

        def unreadable(problem: OSError) -> None:
            loose.dropped.append(
                Dropped(os.path.relpath(problem.filename, loose.root) + "/", 0, "unreadable", problem.strerror or "")
            )

        for folder, names, files in os.walk(root, onerror=unreadable):
            here = Path(folder)
            is_repository = ".git" in names or ".git" in files
            within = is_repository or inside.get(os.path.dirname(folder), around is not None)  # noqa: PTH120  a hot loop over strings
            inside[folder] = within
            if is_repository and here != (around.root if around else None):
                found.append(_Found(here, git=True))
            relative = "" if here == root else here.relative_to(root).as_posix() + "/"
            kept = [name for name in sorted(names) if name != ".git" and not self._excluded(relative + name)]
            if not within:
                gone = (name for name in sorted(names) if name != ".git" and name not in kept)
                loose.dropped.extend(Dropped(f"{relative}{name}/", 0, "excluded") for name in gone)
                loose.paths.extend(
                    relative + name for name in [*files, *(name for name in kept if (here / name).is_symlink())]
                )
            names[:] = kept
        return [*found, loose] if not around and (loose.paths or loose.dropped or not found) else found

    def _around(self, root: Path) -> _Found | None:
        """The repository that the folder is a part of, if it tracks anything here."""
        for parent in root.parents:
            if (parent / ".git").exists():
                prefix = root.relative_to(parent).as_posix()
                return _Found(parent, git=True, prefix=prefix) if _git.listed(parent, prefix) else None
        return None
