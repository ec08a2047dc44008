"""JSON lines: rows of source code from JSON lines, plain or compressed, one row a line."""

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


class Jsonl:
    """Every line is an object with the content of a file, and what is known of it.

    Plain files are cut into byte ranges that workers read side by side; a compressed file (gzip, zstd) is read by one.
    A line that is broken is left out with its number. Nothing is unpacked to the disk.
    """

    version: ClassVar[int] = 1

    class Settings(TableSettings):
        """Which files, and what their columns mean."""

        shorthand: ClassVar[str | None] = "paths"

        paths: Path | tuple[Path, ...]
        """Files, folders (all below) or globs: `.jsonl`, `.ndjson`, each also `.gz` or `.zst`, and `.json.gz`.
        Relative to the YAML."""

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
        """Byte ranges of plain files, compressed files whole."""
        for name, path in self._files.items():
            self._table  # noqa: B018  a wrong column is told before anything is read
            yield from _tables.line_pieces(name, path)

    def rows(self, piece: Piece, max_bytes: int) -> Iterator[CodeFile | Dropped]:
        """The lines that begin in a piece."""
        yield from _tables.line_rows(self._files[piece.place], piece, self._table, max_bytes)

    @cached_property
    def _files(self) -> dict[str, Path]:
        return _tables.find(self._paths, "lines")

    @cached_property
    def _table(self) -> Table:
        """What the columns mean, by the names in the first lines of the first file."""
        first = next(iter(self._files.values()))
        return Table(self.settings, _tables.keys(first), name=_tables.name_of(self._paths))
