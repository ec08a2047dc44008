"""Encoding shards: rows of a Parquet shard to pieces in a Parquet file of their own, shard by shard, in processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from buril.code.codefile import CodeFile, Verdict, read_rows, write_dropped
from buril.code.imports import imports
from buril.code.language import languages
from buril.code.parse import HardParse, parse
from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.core.workers import each
from buril.generators._encoder import Encoder, read_fim
from buril.tokens.bins import MARKS, in_groups
from buril.tokens.chat import Chat, Refused, read_messages
from buril.tokens.fim import Sentinels
from buril.tokens.marks import LARGEST_BYTES, Marker
from buril.tokens.pieces import Cutter, Piece
from buril.tokens.repository import HEAD_TOKENS, Place

Context = Literal["file", "repository"]
_TEXT = pa.string()
_PIECES = pa.schema(
    [
        ("row_id", _TEXT), ("offset", pa.int32()), ("fim", _TEXT), ("input_ids", pa.list_(pa.int32())), *MARKS,
        ("repo", _TEXT), ("path", _TEXT), ("language", _TEXT), ("imports", pa.list_(_TEXT)),
    ]
)  # fmt: skip
"""`repo` and what follows are null for a piece that stands alone."""


class Cutting(NamedTuple):
    """How a part is cut, in plain values that cross to a worker; `Pack.Settings` says what each means."""

    max_length: int
    fim_rate: float
    spm_rate: float
    seed: int
    fim_align: float = 0.0
    structure: bool = False
    context: Context = "file"
    pairs: Literal["chat", "text"] = "chat"

    @property
    def room(self) -> int:
        """Tokens that names of repository and file may take."""
        return min(HEAD_TOKENS, self.max_length // 4) if self.context == "repository" else 0


class Job(NamedTuple):
    """One shard to encode: where from, where to, with which tokenizer, cut how; whether a stage made its rows."""

    source: Path
    target: Path
    tokenizer: Path
    cutting: Cutting
    made: bool = False

    @property
    def dropped(self) -> Path:
        """Where the rows that were left out are told."""
        return self.target.with_name(f"{self.target.stem}.dropped.parquet")


def sentinels_of(tokenizer: Path, *, needed: bool) -> Sentinels:
    """The control tokens of a tokenizer artifact; sentinels it has not are 0 where they are not needed.

    Raises:
        BurilError: T101 when it has no sentinels and they are `needed`.
    """
    fim = read_fim(tokenizer)
    named = {"prefix": fim["prefix"], "suffix": fim["suffix"], "middle": fim["middle"]}
    missing = [name for name, token in named.items() if token is None]
    if missing and needed:
        raise BurilError("T101", missing=", ".join(missing))
    return Sentinels(fim["prefix"] or 0, fim["suffix"] or 0, fim["middle"] or 0, fim["eos"], fim.get("bos"))


def encode_shards(jobs: Sequence[Job], *, workers: int, out: Output) -> None:
    """Encode the shards that are not yet encoded, in processes where there are several."""
    open_jobs = [job for job in jobs if not job.target.exists()]
    done = len(jobs) - len(open_jobs)
    for finished, _none in enumerate(each(encode_shard, open_jobs, workers, stage="pack"), start=done + 1):
        out.progress(finished, len(jobs), "shards")


def encode_shard(job: Job) -> None:
    """Cut and encode the rows of one shard; the target appears whole or not at all, after the list of the dropped."""
    maker = Maker(job)
    dropped: list[dict[str, Any]] = []
    with atomic(job.target) as temporary:
        with pq.ParquetWriter(temporary, _PIECES, compression="zstd") as writer:
            for group in in_groups(_told(job, maker, dropped)):
                writer.write_table(pa.Table.from_pylist(group, schema=_PIECES))
        write_dropped(job.dropped, dropped)


def _told(job: Job, maker: Maker, dropped: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for file in read_rows(job.source):
        try:
            yield from maker.rows(file)
        except Refused as why:
            dropped.append(file.dropped("pack", Verdict("chat", why.reason, why.detail)))


@dataclass
class Maker:
    """Makes the pieces of one shard's rows."""

    job: Job

    def __post_init__(self) -> None:
        told, folder = self.job.cutting, self.job.tokenizer
        encoder, fim = Encoder(folder), read_fim(folder)
        self.sentinels = sentinels_of(folder, needed=told.fim_rate > 0)
        marker = Marker(encoder, fim["eos"]) if told.structure or told.fim_align else None
        self.cutter = Cutter(
            encoder.encode_batch, self.sentinels, told.max_length - told.room, told.fim_rate, told.spm_rate, told.seed,
            fim_align=told.fim_align, marker=marker, structure=told.structure,
        )  # fmt: skip
        self.chat = Chat(encoder, fim)

    def rows(self, file: CodeFile) -> Iterator[dict[str, Any]]:
        """The rows of `_PIECES` of a file.

        Raises:
            Refused: when it is a chat that can't be learnt from.
        """
        messages = read_messages(file.content, made=self.job.made) if self.job.cutting.pairs == "chat" else None
        if messages is not None:
            found = self.chat.example(messages)
            if len(found.input_ids) > self.job.cutting.max_length:
                raise Refused("too_long", f"{len(found.input_ids)} tokens")
            yield Piece(file.row_id, 0, "none", found.input_ids, found.marks).told()
            return
        place = self._place(file)
        for piece in self.cutter.pieces(file.row_id, file.content, file.language):
            yield {**piece.told(), **(place._asdict() if place else {})}

    def _place(self, file: CodeFile) -> Place | None:
        """Where a file stands among those of its repository; None where each stands alone."""
        if self.job.cutting.context == "file" or self.job.made:
            return None
        raw = file.content.encode("utf-8", "replace")
        named: list[str] = []
        if file.language in languages() and len(raw) <= LARGEST_BYTES:
            try:
                named = imports(file.language, parse(file.language, raw))
            except HardParse:
                named = []
        return Place(file.repo, file.path, file.language, tuple(named))


def read_pieces(path: Path) -> Iterator[tuple[Piece, Place | None]]:
    """The pieces of an encoded shard with their places, a row group at a time."""
    with pq.ParquetFile(path) as source:
        for group in range(source.num_row_groups):
            for row in source.read_row_group(group).to_pylist():
                alone = row["path"] is None
                place = None if alone else Place(row["repo"], row["path"], row["language"], tuple(row["imports"]))
                yield Piece.of(row), place
