"""Parquet: rows of source code from Parquet tables, one row a record."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from buril.code.codefile import CodeFile
from buril.core.settings import Json
from buril.data.source import Dropped, Piece
from buril.data.sources import _tables
from buril.data.sources._columns import Table, TableSettings


class Parquet:
    """Every record has the content of a file, and what is known of it.

    Workers read row groups side by side, only the columns that are needed, a few hundred records at a time.
    """

    version: ClassVar[int] = 1

    class Settings(TableSettings):
        """Which files, and what their columns mean."""

        shorthand: ClassVar[str | None] = "paths"

        paths: Path | tuple[Path, ...]
        """Files, folders (all below) or globs of `.parquet`. Relative to the YAML."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._paths = (settings.paths,) if isinstance(settings.paths, Path) else settings.paths

    def observe(self) -> Json:
        """Names, sizes and times of the files."""
        return _tables.stamps(self._files)

    def origin(self) -> str:
        """No public place."""
        return ""

    def pieces(self) -> Iterator[Piece]:
        """Row groups, several small ones to a piece; the columns of every file are looked at."""
        for name, path in self._files.items():
            with _tables.parquet_file(path, name) as source:
                self._table(source.schema_arrow.names)
            yield from _tables.group_pieces(name, path)

    def rows(self, piece: Piece, max_bytes: int) -> Iterator[CodeFile | Dropped]:
        """The rows of a piece's row groups, a few at a time."""
        yield from _tables.group_rows(self._files[piece.place], piece, self._table, max_bytes)

    @cached_property
    def _files(self) -> dict[str, Path]:
        return _tables.find(self._paths, "groups")

    def _table(self, names: list[str]) -> Table:
        return Table(self.settings, names, name=_tables.name_of(self._paths))
