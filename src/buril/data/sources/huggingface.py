"""Huggingface: a data set of the Hugging Face hub, or a folder of its files, whose rows carry the code."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import Field, field_validator

from buril.code.codefile import CodeFile
from buril.core.errors import BurilError
from buril.core.settings import Json, runtime
from buril.core.text import _
from buril.data.source import Dropped, Piece
from buril.data.sources import _hub, _tables, _token
from buril.data.sources._columns import Table, TableSettings
from buril.data.sources._known_sets import preset_of
from buril.data.sources._listing import globs

UNFOLDS = 4
"""How many times its size a file of the hub is expected to unfold to, for an estimate."""
Found = TypeVar("Found")


class Huggingface:
    """The Parquet and JSON lines files of a data set, brought here one by one and read piece by piece.

    The columns of The Stack, CodeSearchNet, The Pile (its GitHub part) and github-code are known. A data set's own
    Python code is never fetched or run. The Stack v2 holds ids of contents, not contents, which is said with what is
    needed.
    """

    version: ClassVar[int] = 1

    class Settings(TableSettings):
        """Which data set, which of its files, and what their columns mean."""

        shorthand: ClassVar[str | None] = "dataset"

        dataset: str = Field("", pattern=r"^$|^\w[\w.-]*(?:/\w[\w.-]*)?$")
        """Its name on the hub, `owner/name`."""
        folder: Path | None = None
        """In place of `dataset` a folder of its files, whose name tells which data set it is. Relative to the YAML."""
        revision: str = "main"
        """A branch, a tag or a commit. A branch is looked up at every run; the commit that was found enters the key."""
        files: tuple[str, ...] = ()
        """Only files that fit one of these globs, for example `data/python/**`. Empty: all Parquet and JSON lines."""
        token: str = runtime("")
        """`env:NAME`, the environment variable with a token, for gated and private data sets. It is never written
        down, and without it none is sent."""
        cache: Path | None = runtime(None)
        """Where files are kept. None: the hub's own cache (`HF_HOME`)."""
        keep: bool = runtime(True)
        """Keep the files once they are read. Off saves the disk, and fetches again what a further run needs."""

        @field_validator("token")
        @classmethod
        def _reference(cls, value: str) -> str:
            return _token.checked(value)

    def __init__(self, settings: Settings) -> None:
        if bool(settings.dataset) == (settings.folder is not None):
            raise BurilError("D023", source="huggingface", first="dataset", second="folder")
        self.settings = settings
        self._root = settings.folder.expanduser() if settings.folder else None
        self._chosen = globs(settings.files) if settings.files else lambda name: True

    def observe(self) -> Json:
        """Name and commit; of a folder names, sizes and times."""
        return _tables.stamps(self._here) if self._root else [self.settings.dataset, self._commit]

    def origin(self) -> str:
        """The page of the data set at its commit."""
        return "" if self._root else f"{_hub.HUB}/datasets/{self.settings.dataset}/tree/{self._commit}"

    def notes(self) -> Iterator[str]:
        """The commit, where a name stood for it."""
        if not self._root and self._commit != self.settings.revision:
            yield _("{name}: {revision} is {commit}").format(
                name=self.settings.dataset, revision=self.settings.revision, commit=self._commit
            )

    def pieces(self) -> Iterator[Piece]:
        """One for each file of the hub; of a folder, byte ranges and row groups."""
        if not self._root:
            yield from (Piece(name, 0, 0, size * UNFOLDS) for name, size in self._there.items())
            return
        for name, path in self._here.items():
            self._table(_names(path, name))
            cut = _tables.line_pieces if _tables.kind_of(name) == "lines" else _tables.group_pieces
            yield from cut(name, path)

    def rows(self, piece: Piece, max_bytes: int) -> Iterator[CodeFile | Dropped]:
        """The rows of a piece, its file fetched if need be."""
        path = self._here[piece.place] if self._root else _hub.bring(self._dataset, self._commit, piece.place)
        if _tables.kind_of(piece.place) == "lines":
            yield from _tables.line_rows(path, piece, self._table(_tables.keys(path)), max_bytes)
        else:
            yield from _tables.group_rows(path, piece, self._table, max_bytes)
        if not self._root and not self.settings.keep:
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)

    def _table(self, names: list[str] | set[str]) -> Table:
        name = self._root.resolve().name if self._root else self.settings.dataset
        return Table(self.settings, names, name=name.rpartition("/")[2], preset=preset_of(name))

    @cached_property
    def _here(self) -> dict[str, Path]:
        """The tables of a folder; what the hub's client keeps there for itself is no part of it."""
        root = self._root or Path()
        if not root.is_dir():
            raise BurilError("D001", path=root)
        paths = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
        found = {name: path for name, path in paths.items() if _tables.kind_of(name) and self._chosen(name)}
        return self._some({name: path for name, path in found.items() if not name.startswith(".cache/")})

    @cached_property
    def _there(self) -> dict[str, int]:
        found = _hub.tables_of(self._dataset, self._commit)
        return self._some({name: size for name, size in found.items() if self._chosen(name)})

    def _some(self, found: dict[str, Found]) -> dict[str, Found]:
        if not found:
            raise BurilError(
                "D020", dataset=self.settings.dataset or self.settings.folder, revision=self.settings.revision
            )
        return dict(sorted(found.items()))

    @cached_property
    def _dataset(self) -> _hub.DataSet:
        token = _token.value(self.settings.token)
        return _hub.DataSet(self.settings.dataset, self.settings.revision, token, self.settings.cache)

    @cached_property
    def _commit(self) -> str:
        return _hub.commit_of(self._dataset)


def _names(path: Path, name: str) -> list[str]:
    """The columns of a table."""
    if _tables.kind_of(name) == "lines":
        return sorted(_tables.keys(path))
    with _tables.parquet_file(path, name) as source:
        return list(source.schema_arrow.names)
