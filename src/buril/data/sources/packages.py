"""Packages: source code from PyPI, npm and Debian by name, and of the Python packages that are installed here."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from pydantic import Field, ValidationInfo, field_validator

from buril.core.settings import Json, runtime
from buril.core.settings import Settings as BaseSettings
from buril.core.text import _
from buril.data.source import Dropped, Repository, SourceFile, read_head
from buril.data.sources import _debian, _registries
from buril.data.sources._cache import cache_folder
from buril.data.sources._installed import NEVER, Installed, canonical, license_of, licenses_of
from buril.data.sources._licenses import MAX_TEXT_BYTES, LicenseMap, of_repository
from buril.data.sources._listing import Lister, globs
from buril.data.sources._registries import FILES, Fetched, Wanted

EXPECTED = (3_000_000, 300)
"""Bytes and files of a package that nobody has fetched yet: a guess, for an estimate."""
_PAGES = {
    "pypi": "https://pypi.org/project/{name}/{version}/",
    "npm": "https://www.npmjs.com/package/{name}/v/{version}",
    "debian": "https://sources.debian.org/src/{name}/{version}/",
}


_REGISTRIES = {"pip": "pypi", "npm": "npm", "debian": "debian"}
"""Setting → how its repositories are called."""


class Packages:
    """Packages as repositories `pypi/NAME`, `npm/NAME` and `debian/NAME`, their version as the commit.

    They are fetched by pip, npm and apt into a cache and unpacked with care; nothing is built, installed or run. A
    bare `packages` takes what is installed here and fetches nothing. Of PyPI only wheels are taken: to understand an
    sdist, pip would have to run it.
    """

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """Which packages."""

        shorthand: ClassVar[str | None] = "names"

        pip: tuple[str, ...] = ()
        """Packages of PyPI: `requests==2.32.3`, or `requests` for the current version (which then changes)."""
        npm: tuple[str, ...] = ()
        """Packages of npm: `express@4.21.2`, `@babel/core@7`, or `express` for the current version."""
        debian: tuple[str, ...] = ()
        """Source packages of Debian: `zlib=1:1.2.13.dfsg-1`, or `zlib` for the current version."""
        installed: bool | None = None
        """Take the Python packages that are installed here. None: only when nothing else is named."""
        names: tuple[str, ...] | None = None
        """Installed distributions to take, by name. None: all that are installed."""
        paths: tuple[str, ...] = ()
        """Folders of installed packages (`site-packages`). Empty: those of the Python that runs buril."""
        exclude: tuple[str, ...] = ()
        """Packages to leave out, as globs of names. buril itself and packages of evaluation tasks always are."""
        stdlib: bool = False
        """Also take Python's own library, as the repository `pypi/python`, without its tests."""
        python: str = Field("3.12", pattern=r"^3\.\d+$")
        """The Python (on Linux, x86-64) whose wheels are taken, so that every machine takes the same."""
        deb_src: tuple[str, ...] = ()
        """Lines of a sources.list for the Debian packages (`deb-src URL SUITE main`), kept apart from this machine's.
        Empty: what apt is set up for here."""
        cache: Path | None = runtime(None)
        """Where fetched packages are kept. None: `~/.cache/buril/packages`."""

        @field_validator("pip", "npm", "debian")
        @classmethod
        def _names(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
            for text in value:
                _registries.wanted(_REGISTRIES[info.field_name or ""], text)
            return value

        @field_validator("deb_src")
        @classmethod
        def _lines(cls, value: tuple[str, ...]) -> tuple[str, ...]:
            for line in value:
                if not re.fullmatch(r"deb-src (?:\[[^\]\n]*\] )?(?:https?|file)://\S+ \S+(?: [\w-]+)*", line):
                    raise ValueError(f"{line!r} is no line `deb-src URL SUITE COMPONENT`")
            return value

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        excluded = globs([canonical(name) for name in settings.exclude])
        self._wanted = self._all(excluded)
        here = settings.installed
        if here is None:
            here = not (settings.pip or settings.npm or settings.debian) or settings.names is not None
        fetched = {item.name for item in self._wanted if item.registry == "pypi"}
        self._installed = Installed(
            settings.names if here else (),
            settings.paths,
            lambda name: name in fetched or excluded(name),
            stdlib=settings.stdlib,
        )

    def observe(self) -> Json:
        """Of installed packages name, version and a hash of the RECORD; of others the version that is wanted now."""
        return [*self._installed.observe(), *([f"{item.registry}/{item.name}", item.version] for item in self._fetched)]

    def expected(self) -> tuple[int, int] | None:
        """Bytes and files to expect where packages have not been fetched; None where all are here."""
        missing = sum(_registries.kept(want, self._cache) is None for want in self._wanted)
        return (EXPECTED[0] * missing, EXPECTED[1] * missing) if missing else None

    def notes(self) -> Iterator[str]:
        """The versions that nobody pinned, and those taken from the cache since the network failed."""
        for want, found in zip(self._wanted, self._fetched, strict=True):
            place = f"{want.registry}/{want.name}"
            if found.offline:
                yield _("{package}: can't be asked for now; version {version} from the cache is taken").format(
                    package=place, version=found.version
                )
            elif not want.pinned:
                yield _("{package} names no version; it is {version} now").format(package=place, version=found.version)

    def repositories(self) -> Iterator[Repository]:
        """The installed distributions by name, then the others in their order."""
        yield from self._installed.repositories()
        yield from (repository for repository, _found in self._repositories.values())

    def files(self, repository: Repository) -> Iterator[SourceFile | Dropped]:
        """The files of one package, by path."""
        if repository.name not in self._repositories:
            yield from self._installed.files(repository)
            return
        _repository, found = self._repositories[repository.name]
        yield from found.left_out
        paths = _paths(repository.root)
        lister, license_at = Lister(repository.root), _licenses(repository, found, paths)
        yield from (lister.look(path, license_at(path)) for path in paths)

    def _all(self, excluded: Callable[[str], bool]) -> list[Wanted]:
        """What is to be fetched, one of each name."""
        found: dict[tuple[str, str], Wanted] = {}
        for kind, registry in _REGISTRIES.items():
            for text in getattr(self.settings, kind):
                want = _registries.wanted(registry, text)
                if canonical(want.name) in NEVER or excluded(canonical(want.name)):
                    continue
                python = self.settings.python if registry == "pypi" else ""
                lists = self.settings.deb_src if registry == "debian" else ()
                found.setdefault((registry, want.name), Wanted(registry, want.name, want.version, python, lists))
        return list(found.values())

    @cached_property
    def _cache(self) -> Path:
        return cache_folder(self.settings.cache, "packages")

    @cached_property
    def _fetched(self) -> list[Fetched]:
        return [_registries.have(want, self._cache) for want in self._wanted]

    @cached_property
    def _repositories(self) -> dict[str, tuple[Repository, Fetched]]:
        made = {}
        for found in self._fetched:
            root = found.folder / FILES
            url = _PAGES[found.registry].format(name=found.name, version=found.version)
            url += "#" + "&".join(f"sha256={digest}" for digest in found.archives.values())
            name = f"{found.registry}/{found.name}"
            stated = _stated(found, root)
            made[name] = (Repository(name, "package", root, url, found.version, stated), found)
        return made


def _paths(root: Path) -> list[str]:
    found: list[str] = []
    for folder, _names, files in os.walk(root):
        relative = Path(folder).relative_to(root)
        found.extend((relative / name).as_posix() for name in files)
    return sorted(found)


def _stated(found: Fetched, root: Path) -> str:
    """The licence that a package's metadata states for it as a whole."""
    if found.registry == "pypi":
        info = sorted(root.glob("*.dist-info"))
        return license_of(metadata.Distribution.at(info[0])) if info else ""
    if found.registry == "debian":
        rules = _debian.copyright_of(_copyright(found))
        # a file that no narrower rule names falls under `Files: *`
        return rules("\0") if rules else of_repository(root, _paths(root))
    return of_repository(root, _paths(root))


def _copyright(found: Fetched) -> str:
    for place in (found.folder / "packaging" / "copyright", found.folder / FILES / "debian" / "copyright"):
        raw = read_head(place, MAX_TEXT_BYTES)
        if raw:
            return raw.decode("utf-8", "replace")
    return ""


def _licenses(repository: Repository, found: Fetched, paths: list[str]) -> Callable[[str], str]:
    """Path → licence, by the package's own metadata where it speaks of files, else by the nearest text."""
    if found.registry == "debian":
        rules = _debian.copyright_of(_copyright(found))
        if rules:
            return rules
    if found.registry == "pypi":
        return licenses_of(repository, paths).of
    return LicenseMap(repository.root, paths, repository.license).of
