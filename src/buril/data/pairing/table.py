"""Pairing table: pairs that somebody put together, from JSON lines, CSV or Parquet, whatever the columns are called.

Each row holds both texts. What a row does not say (its weakness, its language, its licence) may be said once for all
rows. That one text is weak is the table's word: nothing here looks for it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator

from buril.code import license
from buril.code.codefile import CodeFile
from buril.code.language import HEAD_CHARS, detect, languages
from buril.core.errors import BurilError, nearest
from buril.core.settings import Json
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs
from buril.data.pair import Pair, Pairing
from buril.data.pairing import _records
from buril.data.sources._columns import language_called

ROWS_FASTER = 20
"""How much faster a table is read than code in which something has to be found, for an estimate."""
MOST_BYTES = 1_000_000
"""Bytes of one text: what has more is no function."""
_CWE = re.compile(r"\s*(?:cwe)?[-_ ]?0*(\d{1,4})\b.*", re.IGNORECASE | re.DOTALL)
_COMMIT = re.compile(r"(?:https?://)?(?P<repo>[\w.-]+(?:/[\w.~-]+){2,}?)(?:/-)?/commits?/(?P<commit>[0-9a-f]{7,64})")


def weakness(stated: Any) -> str:
    """The identifier of a weakness as tables write it; "" for none.

    Example:
        `weakness("cwe-089")` → "CWE-89"
    """
    found = _CWE.fullmatch(str(stated)) if isinstance(stated, str | int) and not isinstance(stated, bool) else None
    return f"CWE-{found[1]}" if found and int(found[1]) else ""


class Table(Pairing):
    """Reads the pairs of tables."""

    version: ClassVar[int] = 1

    class Settings(BaseSettings):
        """Which files, and what their columns mean. A dot reaches into a column: `meta.path`."""

        path: Path | tuple[Path, ...]
        """Files, folders (all below) or globs: JSON lines, CSV, Parquet; lines and CSV also `.gz` or `.zst`."""
        secure: str
        """The column with the text without the weakness."""
        vulnerable: str
        """The column with the text with it."""
        cwe: str
        """The column that names the weakness (`CWE-89`, `cwe-089`, `89`), or the weakness of all rows."""
        license: str
        """The column with the licence of a row, or the licence of all (SPDX, or `LicenseRef-…`)."""
        language: str = ""
        """The column with the language, or the language of all; "": by the name of the file."""
        file: str = ""
        """The column with the name or path of the file that the texts are from."""
        repo: str = ""
        """The column with the repository, or with the address of a commit in it."""
        commit: str = ""
        """The column with the commit, or its address."""
        scenario: str = ""
        """The column with what rows have in common that are learnt from or held out together; "": the repository, else
        the commit, else each row for itself."""

        @field_validator("secure", "vulnerable", "cwe", "license")
        @classmethod
        def _named(cls, value: str) -> str:
            if not value.strip():
                raise ValueError("name a column")
            return value

    settings: Settings

    def observe(self) -> Json:
        """Names, sizes and times of the files."""
        return _records.stamps(self._files)

    def work(self, inputs: Inputs) -> float:
        """A part of the bytes of the files: little is done with a row."""
        return sum(path.stat().st_size for path in self._files.values()) / ROWS_FASTER

    def pairs(self, inputs: Inputs, seed: int) -> Iterator[Pair]:
        """A pair a row, in the order of files and rows.

        Raises:
            BurilError: D333 where there is no table, D331 for a column that is not there, D014 for a broken file.
        """
        for name, path in self._files.items():
            reader = _Reader(self.settings, name, _records.columns(name, path))
            for record in _records.records(name, path, reader.columns):
                found = record if isinstance(record, str) else reader.pair(record)
                if isinstance(found, Pair):
                    yield found
                else:
                    self.left_out[found] += 1

    @cached_property
    def _files(self) -> dict[str, Path]:
        given = self.settings.path
        return _records.find((given,) if isinstance(given, Path) else given)


class _Reader:
    """Makes pairs of the records of one file.

    Raises:
        BurilError: D331 for a setting that is neither a column nor a value of its own.
    """

    def __init__(self, told: Table.Settings, name: str, there: Collection[str]) -> None:
        self._told, self._name, self._there = told, name, there
        for setting in ("secure", "vulnerable", "file", "repo", "commit", "scenario"):
            column = getattr(told, setting)
            if column and not self._is_column(column):
                raise self._no_column(setting, column)
        self._fixed = {
            "cwe": self._constant("cwe", weakness(told.cwe)),
            "license": self._constant("license", license.normalise(told.license)),
            "language": self._constant("language", language_called(told.language)) if told.language else "",
        }

    @property
    def columns(self) -> list[str]:
        """The columns that it reads."""
        told = self._told
        named = (told.secure, told.vulnerable, told.cwe, told.license, told.language, told.file, told.repo, told.commit)
        return [name for name in (*named, told.scenario) if name and self._is_column(name)]

    def pair(self, record: Mapping[str, Any]) -> Pair | str:
        """The pair of a record, or a slug that says why it is none."""
        secure, vulnerable = self._value(record, "secure"), self._value(record, "vulnerable")
        if not isinstance(secure, str) or not isinstance(vulnerable, str) or not secure or not vulnerable:
            return "no_text"
        if max(len(secure), len(vulnerable)) > MOST_BYTES:
            return "too_large"
        cwe = self._fixed["cwe"] or weakness(self._value(record, "cwe"))
        if not cwe:
            return "no_weakness"
        path = self._text(record, "file")
        language = self._fixed["language"] or language_called(self._text(record, "language"))
        language = language or (detect(path, secure[:HEAD_CHARS]) if path else "")
        if not language:
            return "no_language"
        try:
            return self._made(record, (_clean(secure, language), _clean(vulnerable, language)), cwe, language)
        except UnicodeEncodeError:
            return "encoding"

    def _made(self, record: Mapping[str, Any], texts: tuple[str, str], cwe: str, language: str) -> Pair:
        for text in texts:
            text.encode()
        repo, commit = self._place(record)
        path = self._text(record, "file")
        stated = self._fixed["license"] or license.normalise(self._text(record, "license"))
        file = CodeFile(
            repo or f"table/{self._name}", path or "snippet", texts[0], commit=commit, language=language, license=stated
        )
        scenario = self._text(record, "scenario") or repo or commit or file.row_id
        return Pair(cwe, language, *texts, f"table/{scenario}", "table", "label", file=file, license=stated)

    def _place(self, record: Mapping[str, Any]) -> tuple[str, str]:
        """The repository and the commit, each by its name or from the address of the commit."""
        repo, commit = self._text(record, "repo"), self._text(record, "commit")
        address = _COMMIT.search(repo) or _COMMIT.search(commit)
        if address:
            repo = address["repo"] if not repo or _COMMIT.search(repo) else repo
            commit = address["commit"] if not commit or _COMMIT.search(commit) else commit
        return repo.strip("/ "), commit

    def _constant(self, setting: str, value: str) -> str:
        """The value that all rows have; "" where the setting names a column."""
        if self._is_column(getattr(self._told, setting)):
            return ""
        if not value:
            raise self._no_column(setting, getattr(self._told, setting))
        return value

    def _is_column(self, column: str) -> bool:
        return column in self._there or ("." in column and column.partition(".")[0] in self._there)

    def _value(self, record: Mapping[str, Any], setting: str) -> Any:
        column = getattr(self._told, setting)
        if not column or column in record or "." not in column:
            return record.get(column)
        value: Any = record
        for part in column.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def _text(self, record: Mapping[str, Any], setting: str) -> str:
        value = self._value(record, setting)
        return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""

    def _no_column(self, setting: str, column: str) -> BurilError:
        known = [*self._there, *(languages() if setting == "language" else ())]
        shown = ", ".join(f"`{name}`" for name in sorted(self._there)[:40]) or "—"
        return BurilError(
            "D331", setting=setting, column=column, place=self._name, columns=shown, suggestion=nearest(column, known)
        )


def _clean(text: str, language: str) -> str:
    """A text with plain line ends; a method of Python that was cut out of its class, moved to the margin."""
    text = text.replace("\r\n", "\n")
    text = textwrap.dedent(text) if language == "python" else text
    return text if text.endswith("\n") else text + "\n"
