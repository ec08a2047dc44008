"""The licence of a repository and of the folders in it, from licence files and from what its metadata declares."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from buril.code import license
from buril.data.source import read_head

MAX_TEXT_BYTES = 512 * 1024
"""How much of a licence file is read; bundles of third-party notices beyond that repeat themselves."""
Head = Callable[[str], bytes]
"""Gives the beginning of a file by its path in the repository, b"" when there is none."""
_TEXT_NAME = re.compile(r"(?:.*[-_.])?(?:un)?licen[cs]es?(?:[-_.].*)?|copying(?:[-_.].*)?", re.IGNORECASE)
_TEXT_ENDINGS = frozenset(
    {
        "",
        ".txt",
        ".md",
        ".rst",
        ".mit",
        ".bsd",
        ".apache",
        ".license",
        ".licence",
        ".lesser",
        ".gpl",
        ".lgpl",
        ".0",
        ".1",
        ".apache2",
        ".lesserv3",
    }
)
_TOML_LICENSE = re.compile(r"""^\s*license\s*=\s*(?:\{[^}\n]*\btext\s*=\s*)?(["'])([^"'\n]+)\1""", re.MULTILINE)
_CLASSIFIER = re.compile(r"""["'](License :: [^"'\n]+)["']""")


def from_folder(root: Path) -> Head:
    """Reads from the plain files below a folder."""
    return lambda path: read_head(root / path, MAX_TEXT_BYTES)


def is_license_text(path: str) -> bool:
    """Whether a file's name is that of a licence text (`LICENSE`, `COPYING.LESSER`, `mit.LICENSE`; no `license.py`)."""
    name = PurePosixPath(path).name
    if _TEXT_NAME.fullmatch(name) is None:
        return False
    return PurePosixPath(name).suffix.lower() in _TEXT_ENDINGS or name.upper().startswith(("LICENSE-", "LICENCE-"))


def of_texts(paths: Iterable[Path]) -> str:
    """The licence that several files of one folder state together, as `of_contents` has it."""
    return of_contents(read_head(path, MAX_TEXT_BYTES) for path in sorted(paths))


def of_contents(texts: Iterable[bytes]) -> str:
    """The licence that several texts of one folder state together; "" when any of them is unknown.

    Two different licences are joined by AND: without a word that says so, nobody may choose between them. The text of
    the GPL beside that of the LGPL belongs to it.
    """
    found = []
    for raw in texts:
        text = raw.decode("utf-8", "replace")
        if text.strip():
            found.append(license.detect(text))
    if not found or not all(found):
        return ""
    if any(name.startswith("LGPL-3.0") for name in found):
        found = [name for name in found if not name.startswith("GPL-3.0")]
    distinct = list(dict.fromkeys(found))
    return distinct[0] if len(distinct) == 1 else license.normalise(" AND ".join(f"({name})" for name in distinct))


def of_metadata(root: Path, head: Head | None = None) -> str:
    """What `pyproject.toml`, `Cargo.toml`, `package.json` or `composer.json` at the root declares; "" when unclear."""
    head = head or from_folder(root)
    for name in ("pyproject.toml", "Cargo.toml"):
        text = head(name).decode("utf-8", "replace")
        declared = _TOML_LICENSE.search(text)
        if declared is not None and (known := license.normalise(declared[2])):
            return known
        classified = of_classifiers(_CLASSIFIER.findall(text))
        if classified:
            return classified
    for name in ("package.json", "composer.json"):
        try:
            value = json.loads(head(name) or b"{}")
        except (ValueError, RecursionError):
            continue
        stated = value.get("license") if isinstance(value, dict) else None
        if isinstance(stated, dict):
            stated = stated.get("type")
        if isinstance(stated, str) and (known := license.normalise(stated)):
            return known
    return ""


def of_classifiers(classifiers: Iterable[str]) -> str:
    """The licence that trove classifiers name: only when exactly one of them is a licence, and a clear one."""
    stated = [item for item in classifiers if item.startswith("License :: ") and item != "License :: OSI Approved"]
    return license.normalise(stated[0]) if len(stated) == 1 else ""


class LicenseMap:
    """Which licence holds for which file: the repository's, unless a nearer folder has a licence text of its own.

    A nearer text that is not recognised makes everything below it unknown: it is something else, and nobody knows what.
    `head` reads the beginning of a file where the files are not plain ones below `root`.
    """

    def __init__(
        self,
        root: Path,
        paths: Iterable[str],
        default: str,
        *,
        ignore_root: bool = True,
        head: Head | None = None,
    ) -> None:
        head = head or from_folder(root)
        folders: dict[str, list[str]] = {}
        for path in paths:
            if is_license_text(path):
                folders.setdefault(str(PurePosixPath(path).parent), []).append(path)
        if ignore_root:
            folders.pop(".", None)
        self._folders = {folder: of_contents(map(head, sorted(texts))) for folder, texts in folders.items()}
        self._default = default

    def of(self, path: str) -> str:
        """The licence of one file by its path in the repository."""
        if not self._folders:
            return self._default
        for parent in PurePosixPath(path).parents:
            if str(parent) in self._folders:
                return self._folders[str(parent)]
        return self._default


def of_repository(root: Path, paths: Iterable[str], head: Head | None = None) -> str:
    """The licence of a repository: what its metadata declares, else what the texts at its root state."""
    head = head or from_folder(root)
    declared = of_metadata(root, head)
    if declared:
        return declared
    return of_contents(map(head, sorted(path for path in paths if "/" not in path and is_license_text(path))))
