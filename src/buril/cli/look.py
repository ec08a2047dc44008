"""What `init` sees of the code that is here: repositories, languages, licences, and a first look for secrets.

The listing is that of the sources themselves, so what is told here is what `collect` will find. Only a sample of the
files is opened.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.core.plugins import plugin

if TYPE_CHECKING:
    from buril.data.source import Repository, Source, SourceFile

MAX_ENTRIES = 1_000_000
"""Names below a folder that are looked at: some half a minute; what is larger is better named in parts."""
SAMPLE_FILES, SAMPLE_S, SAMPLE_BYTES = 300, 4.0, 200_000
"""Files that are opened to look for secrets, the seconds that may take, and the longest file that is opened."""


@dataclass
class Seen:
    """What is there. `files` and `bytes` count by language; `licenses` counts files by SPDX expression, "" for unknown.

    `repositories` counts those with source files; `unlicensed` names those among them that state no licence.
    """

    source: str
    repositories: int = 0
    files: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    licenses: Counter[str] = field(default_factory=Counter)
    unlicensed: list[str] = field(default_factory=list)
    sampled: int = 0
    with_secrets: int = 0
    with_personal: int = 0

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        found = {name: dict(value) if isinstance(value, Counter) else value for name, value in vars(self).items()}
        return {**found, "num_files": self.num_files, "num_bytes": self.num_bytes}

    @property
    def num_files(self) -> int:
        """Source files in all."""
        return sum(self.files.values())

    @property
    def num_bytes(self) -> int:
        """Their bytes."""
        return sum(self.bytes.values())


@dataclass(frozen=True)
class _Listed:
    repository: Repository
    file: SourceFile
    language: str


def look(name: str, given: dict[str, Any], say: Callable[[int], None] = lambda _number: None) -> Seen:
    """What a source would give: `name` is the plugin's, `given` its settings; `say` hears how many files so far."""
    found = plugin("source", name)
    source: Source = found(found.Settings.model_validate(given))
    seen = Seen(name)
    chosen: list[tuple[str, _Listed]] = []
    for repository in source.repositories():
        before = seen.num_files
        for item in _files(source, repository):
            seen.files[item.language] += 1
            seen.bytes[item.language] += item.file.bytes
            seen.licenses[item.file.license] += 1
            chosen.append((_draw(f"{repository.name}/{item.file.path}"), item))
        if seen.num_files > before:
            seen.repositories += 1
            if not repository.license:
                seen.unlicensed.append(repository.name)
        if len(chosen) > 4 * SAMPLE_FILES:
            chosen = sorted(chosen, key=lambda pair: pair[0])[:SAMPLE_FILES]
        say(seen.num_files)
    _sample(seen, [item for _key, item in sorted(chosen, key=lambda pair: pair[0])[:SAMPLE_FILES]])
    return seen


def _files(source: Source, repository: Repository) -> Iterator[_Listed]:
    from buril.code.language import detect
    from buril.data.source import SourceFile

    for item in source.files(repository):
        language = detect(item.path, "") if isinstance(item, SourceFile) else ""
        if isinstance(item, SourceFile) and language:
            yield _Listed(repository, item, language)


def _sample(seen: Seen, items: list[_Listed]) -> None:
    """Open a few files and count those with secrets and with personal data."""
    from buril.code.codefile import CodeFile
    from buril.data.source import read
    from buril.scanners import PERSONAL_RULES

    scanner = plugin("scanner", "secrets")()
    end = time.monotonic() + SAMPLE_S
    for item in items:
        if time.monotonic() > end:
            return
        file = read(item.repository, item.file, SAMPLE_BYTES)
        if isinstance(file, CodeFile):
            rules = {finding.rule for finding in scanner.scan(file.content, file.language)}
            seen.sampled += 1
            seen.with_secrets += bool(rules - PERSONAL_RULES)
            seen.with_personal += bool(rules & PERSONAL_RULES)


def check_size(folder: Path, limit: int = MAX_ENTRIES) -> None:
    """Refuse a folder with more names below it than can be looked at in reasonable time.

    Raises:
        BurilError: W202 when it is no folder, W204 when it is too large.
    """
    if not folder.is_dir():
        raise BurilError("W202", path=folder)
    number = 0
    for _folder, folders, files in os.walk(folder):
        number += len(folders) + len(files)
        if number > limit:
            raise BurilError("W204", path=folder, number=f"{limit:,}")


def permitted(licenses: Counter[str], permissive: tuple[str, ...]) -> tuple[list[str], int]:
    """The permissive licences among those seen, by their names in the YAML, and how many files they cover."""
    from buril.code.license import allowed

    names: Counter[str] = Counter()
    covered = 0
    for expression, number in licenses.items():
        if not expression or not allowed(expression, permissive):
            continue
        covered += number
        for word in re.findall(r"[A-Za-z0-9.+-]+", expression):
            name = word.lower().removeprefix("licenseref-")
            if name in permissive:
                names[name] += number
    return [name for name, _number in sorted(names.items(), key=lambda pair: (-pair[1], pair[0]))], covered


def _draw(name: str) -> str:
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
