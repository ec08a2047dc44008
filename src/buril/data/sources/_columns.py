"""What the columns of a table mean: from a record, whatever its names, to a row of source code.

The sources `jsonl`, `parquet` and `huggingface` share it. A record is accounted for in any case: it becomes a row, or
is left out with its reason.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from pydantic import Field, field_validator

from buril.code import license
from buril.code.codefile import CodeFile
from buril.code.language import HEAD_CHARS, detect, languages
from buril.core.errors import BurilError
from buril.core.settings import Settings as BaseSettings
from buril.data.source import Dropped, text_of

USUAL: Mapping[str, tuple[str, ...]] = {
    "content": ("content", "code", "source_code", "whole_func_string", "func_code_string", "text", "source"),
    "path": ("path", "file", "file_path", "filename", "max_stars_repo_path", "func_path_in_repository"),
    "repo": ("repo", "repo_name", "repository", "repository_name", "max_stars_repo_name"),
    "license": ("license", "licenses", "max_stars_repo_licenses", "detected_licenses"),
    "language": ("language", "lang", "programming_language"),
    "commit": ("commit", "sha", "commit_id", "revision_id", "max_stars_repo_head_hexsha"),
    "fragment": (),
}
"""Field → the names its column usually has, the first that is there is taken."""
USUAL_SIGNALS: Mapping[str, tuple[str, ...]] = {"stars": ("stars", "max_stars_count", "star_events_count")}
BLOB_IDS = ("blob_id", "content_id")
"""Columns of data sets that name contents of the Software Heritage archive instead of holding them."""
GROUPS = 256
_ALIASES = {
    "c++": "cpp",
    "c#": "csharp",
    "shell": "bash",
    "sh": "bash",
    "golang": "go",
    "js": "javascript",
    "ts": "typescript",
    "py": "python",
}


class TableSettings(BaseSettings):
    """What the columns of a table mean; for the usual names nothing need be said."""

    columns: dict[str, str] = Field(default_factory=dict)
    """Field → column: `content`, `path`, `repo`, `license`, `language`, `commit`, and `fragment` where a row is a part
    of a file (`L10-L20`). A dot reaches into a column: `meta.path`. Other fields are looked for under usual names."""
    signals: dict[str, str] = Field(default_factory=dict)
    """Signal → column of numbers, for example `stars: max_stars_count`; each row carries them on."""
    where: dict[str, str | bool | int | tuple[str, ...]] = Field(default_factory=dict)
    """Column → the value, or one of the values, that a row must have there; other rows are left out and counted."""
    license: str = ""
    """The licence (SPDX, or a word of your own) of rows that state none. What a row or its content states wins."""
    repo: str = ""
    """The repository of rows that name none. Empty: they are dealt by content into 256 groups named after the source,
    so that a split has groups to keep together."""

    @field_validator("columns")
    @classmethod
    def _fields(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name not in USUAL:
                raise ValueError(f"{name!r} is no field: {', '.join(USUAL)}")
        return value

    @field_validator("license")
    @classmethod
    def _known(cls, value: str) -> str:
        return license.declared(value)


@dataclass(frozen=True)
class Preset:
    """What is known of a public data set: its columns, and the part of a text that a field needs."""

    columns: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)


class Table:
    """Reads records of one shape. `name` is the source's, for rows that name no repository.

    Raises:
        BurilError: D015 when a column that was named is not there, or none holds the content; D016 when contents are
            named by Software Heritage ids alone.
    """

    def __init__(
        self, settings: TableSettings, names: Collection[str], *, name: str, preset: Preset | None = None
    ) -> None:
        preset = preset or Preset()
        self._settings, self._name = settings, name
        given = {**{key: column for key, column in preset.columns.items() if _there(column, names)}, **settings.columns}
        for column in (*settings.columns.values(), *settings.signals.values(), *settings.where):
            if not _there(column, names):
                raise BurilError("D015", place=name, column=column, columns=_told(names))
        self._columns = dict(given)
        for key, usual in USUAL.items():
            found = next((item for item in usual if item in names), None)
            if key not in given and found:
                self._columns[key] = found
        if "content" not in self._columns:
            if any(item in names for item in BLOB_IDS):
                raise BurilError("D016", place=name)
            raise BurilError("D015", place=name, column="content", columns=_told(names))
        self._signals = dict(settings.signals)
        for signal, usual in USUAL_SIGNALS.items():
            found = next((item for item in usual if item in names), None)
            if signal not in self._signals and found:
                self._signals[signal] = found
        self._where = {**{key: item for key, item in preset.where.items() if _there(key, names)}, **settings.where}
        self._patterns = {key: re.compile(text) for key, text in preset.patterns.items()}

    @property
    def top(self) -> list[str]:
        """The columns it needs, sorted; of a nested one the outermost."""
        wanted = {*self._columns.values(), *self._signals.values(), *self._where}
        return sorted({*wanted, *(name.partition(".")[0] for name in wanted)})

    def wanted(self, record: Mapping[str, Any]) -> bool:
        """Whether a record has the values that `where` asks for."""
        for column, value in self._where.items():
            allowed = value if isinstance(value, tuple) else (value,)
            if str(_get(record, column)) not in {str(item) for item in allowed}:
                return False
        return True

    def row(self, record: Mapping[str, Any], place: str, max_bytes: int) -> CodeFile | Dropped:
        """The row of a record. Its language is "" where no column could tell: a later step looks at the content.

        Args:
            record: column → value.
            place: its path where it has none of its own.
            max_bytes: larger contents are left out.
        """
        content = self._value(record, "content")
        path, repo = self._path(record, place), self._text(record, "repo").strip("/ ")
        try:
            raw = content if isinstance(content, bytes) else content.encode() if isinstance(content, str) else b""
            path.encode()
        except UnicodeEncodeError:
            return Dropped(place, 0, "encoding", "", "read", repo=_clean(repo))
        repo = _clean(repo) or self._settings.repo or f"{self._name}#{_group(raw):02x}"
        if not isinstance(content, bytes | str):
            reason = "no_content" if content is None else "wrong_type"
            told = "" if content is None else f"the content is {type(content).__name__}"
            return Dropped(path, 0, reason, told, "read", repo=repo)
        if ".." in path.split("/") or "\0" in path:
            return Dropped(place, len(raw), "path", "", "read", repo=repo)
        text, reason = text_of(raw, max_bytes)
        stated = self._license(record)
        if reason:
            return Dropped(path, len(raw), reason, "", "read", "", stated, repo)
        language = detect(path, text[:HEAD_CHARS]) or language_called(self._text(record, "language"))
        if not language and ("path" in self._columns or "language" in self._columns):
            return Dropped(path, len(raw), "language", self._text(record, "language"), "read", "", stated, repo)
        return CodeFile(
            repo=repo,
            path=path,
            content=text,
            sha256=hashlib.sha256(raw).hexdigest(),
            bytes=len(raw),
            commit=_clean(self._text(record, "commit")),
            language=language,
            license=license.spdx_header(text) or stated,
            signals=self._numbers(record),
        )

    def _value(self, record: Mapping[str, Any], key: str) -> Any:
        value = _get(record, self._columns[key]) if key in self._columns else None
        if key in self._patterns and isinstance(value, str):
            found = self._patterns[key].search(value)
            return found[1] if found else None
        return value

    def _text(self, record: Mapping[str, Any], key: str) -> str:
        value = self._value(record, key)
        return value if isinstance(value, str) else str(value) if isinstance(value, int) else ""

    def _path(self, record: Mapping[str, Any], place: str) -> str:
        path = "/".join(part for part in self._text(record, "path").split("/") if part not in ("", "."))
        fragment = self._text(record, "fragment").replace("/", "_")
        if path and fragment:
            path = f"{path}/{fragment}{PurePosixPath(path).suffix}"
        return path or place

    def _license(self, record: Mapping[str, Any]) -> str:
        value = self._value(record, "license")
        stated = [value] if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
        stated = [item for item in stated if isinstance(item, str) and item.strip()]
        if not stated:
            return self._settings.license
        known = list(dict.fromkeys(license.normalise(item) for item in stated))
        if not all(known):
            return ""
        return known[0] if len(known) == 1 else license.normalise(" AND ".join(f"({item})" for item in sorted(known)))

    def _numbers(self, record: Mapping[str, Any]) -> dict[str, float]:
        found = {}
        for signal, column in self._signals.items():
            try:
                number = float(_get(record, column))
            except (TypeError, ValueError, OverflowError):
                continue  # a number that nobody knows is left out
            if math.isfinite(number):
                found[signal] = number
        return found


def _there(column: str, names: Collection[str]) -> bool:
    return column in names or ("." in column and column.partition(".")[0] in names)


def _get(record: Mapping[str, Any], column: str) -> Any:
    if column in record or "." not in column:
        return record.get(column)
    value: Any = record
    for part in column.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _told(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)[:40]) or "—"


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _group(raw: bytes) -> int:
    return hashlib.blake2b(raw, digest_size=1).digest()[0] % GROUPS


def language_called(stated: str) -> str:
    """The language that a data set calls by `stated`; "" when it is none of ours."""
    name = stated.strip().lower()
    name = _ALIASES.get(name, name.replace(" ", "_").replace("-", "_"))
    return name if name in languages() else ""
