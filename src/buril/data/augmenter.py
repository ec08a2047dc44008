"""Augmenter: makes another training text of a file, and what every such text keeps of where it came from.

A text that was made has the repository, commit, path and licence of the file it was made of (its *origin*), a row id of
its own, and a line in `origins.parquet` that names the origin. So whatever walks from a row to its source walks on.
"""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa
from pydantic import Field

from buril.code.codefile import CodeFile, write_table
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs

ORIGINS = "origins.parquet"
ORIGINS_SCHEMA = pa.schema([(name, pa.string()) for name in ("row_id", "origin", "stage", "by", "detail")])


class Made(NamedTuple):
    """A text that was made; `detail` says how, in a few words."""

    content: str
    detail: str = ""


class Refusal(NamedTuple):
    """Why none was made: `reason` is a slug."""

    reason: str
    detail: str = ""


class Origin(NamedTuple):
    """A line of `origins.parquet`: the new row, the row it was made of, and what made it."""

    row_id: str
    origin: str
    stage: str
    by: str
    detail: str = ""


class AugmenterSettings(BaseSettings):
    """What every augmenter can be told."""

    shorthand: ClassVar[str | None] = "share"

    share: float = Field(0.1, gt=0, le=1)
    """Share of the training files, of its languages, that it is tried on (0 to 1); what it refuses is counted."""
    languages: tuple[str, ...] = ()
    """Languages it is used on; none named means all it can do."""


class Augmenter(ABC):
    """Base of all augmenters. A subclass sets `version`, may extend `Settings`, and writes `make`.

    `version` goes up whenever the same row, settings and random numbers give another text than before.
    """

    version: ClassVar[int] = 1
    languages: ClassVar[tuple[str, ...]] = ()
    """Languages it can do; none named means any."""
    alone: ClassVar[bool] = False
    """Whether it holds a model or a connection, so that it works in one process only."""

    Settings: ClassVar[Any] = AugmenterSettings

    def __init__(self, settings: Any = None) -> None:
        self.settings: Any = settings if settings is not None else type(self).Settings()

    def needs(self) -> tuple[str, ...]:
        """Stages whose artifacts `open` reads."""
        return ()

    def parts(self) -> dict[str, int]:
        """Versions of what its texts depend on beside its own."""
        return {}

    def observe(self) -> Any:
        """A fingerprint (plain JSON) of what it reads from outside the store, a glossary say."""
        return None

    def open(self, inputs: Inputs) -> None:  # noqa: B027  most have nothing to get ready
        """Get ready: load a model, read a file. Called once, in the process that works."""

    @abstractmethod
    def make(self, file: CodeFile, drawn: random.Random) -> Made | Refusal:
        """Another text of a file, never the same one; all chance comes from `drawn`."""


def draw(seed: int, name: str, row_id: str) -> int:
    """64 bits that depend on the seed, an augmenter's name and a row alone."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{name}\0{row_id}".encode(), digest_size=8).digest(), "big")


def derived(file: CodeFile, content: str, *, by: str, license: str | None = None) -> CodeFile:
    """The row of a text made of `file`: its place and licence, the text's own digest, size and row id."""
    raw = content.encode("utf-8", "surrogatepass")
    sha256 = hashlib.sha256(raw).hexdigest()
    name = hashlib.blake2b(f"{file.row_id}\0{by}\0{sha256}".encode(), digest_size=8).hexdigest()
    return replace(
        file, content=content, sha256=sha256, bytes=len(raw), row_id=name, findings=[], verdicts=[],
        license=file.license if license is None else license,
    )  # fmt: skip


def write_origins(path: Path, origins: Sequence[Origin]) -> None:
    """Write origins as Parquet, whole or not at all."""
    rows: list[Mapping[str, str]] = [item._asdict() for item in origins]
    write_table(path, pa.Table.from_pylist(rows, schema=ORIGINS_SCHEMA))
