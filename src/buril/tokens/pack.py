"""Stage pack: documents to sequences of tokens, filled to the brim, none of them padded, every token with its row.

Documents are cut into pieces that fit, a share of them is transformed for filling in the middle (`fim.py`), and the
pieces are packed best-fit into sequences. A sequence says by its `spans` which row each token comes from; training
keeps documents of a sequence apart by them. Validation text is packed untransformed, so that its loss compares.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from buril.code.codefile import read_rows
from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.workers import each
from buril.generators._encoder import Encoder, read_fim
from buril.tokens.fim import Sentinels
from buril.tokens.pieces import Cutter, Piece

Item = TypeVar("Item")
PARTS = ("train", "valid")
OPEN_BINS = 512
"""Sequences kept open while packing. More fill better; this many cost no time that shows."""
SORTED_PIECES = 2048
"""Pieces put in order of length at a time: best-fit of longest-first fills better than in order of arrival."""
ROW_GROUP = 1024

_INT = pa.int32()
SPAN = pa.struct([("row_id", pa.string()), ("start", _INT), ("length", _INT), ("fim", pa.string()), ("offset", _INT)])
SCHEMA = pa.schema([("input_ids", pa.list_(pa.int32())), ("spans", pa.list_(SPAN))])
_PIECES = pa.schema(
    [("row_id", pa.string()), ("offset", pa.int32()), ("fim", pa.string()), ("input_ids", pa.list_(pa.int32()))]
)


@dataclass
class Bin:
    """A sequence being filled."""

    pieces: list[Piece] = field(default_factory=list)
    size: int = 0

    def row(self) -> dict[str, Any]:
        """The row of the packed file."""
        spans, start = [], 0
        for piece in self.pieces:
            size = len(piece.input_ids)
            told = {"row_id": piece.row_id, "start": start, "length": size, "fim": piece.fim, "offset": piece.offset}
            spans.append(told)
            start += size
        return {"input_ids": [token for piece in self.pieces for token in piece.input_ids], "spans": spans}


def pack(pieces: Iterable[Piece], max_length: int, *, open_bins: int = OPEN_BINS) -> Iterator[Bin]:
    """Pieces into sequences of at most `max_length` tokens: best fit, longest first within a buffer, in bounded memory.

    The same pieces in the same order always give the same sequences. Best fit of the longest first wastes at most
    22 % in theory (Johnson 1973); a bounded buffer of source files wastes 0–2 % in practice.
    """
    bins: list[tuple[int, int, Bin]] = []  # (room left, number, bin), sorted: the first that fits fits best
    opened = 0
    for piece in _longest_first(pieces):
        length = len(piece.input_ids)
        assert length <= max_length
        place = bisect.bisect_left(bins, (length, -1))
        if place < len(bins):
            _room, number, chosen = bins.pop(place)
        else:
            number, chosen, opened = opened, Bin(), opened + 1
        chosen.pieces.append(piece)
        chosen.size += length
        if chosen.size == max_length:
            yield chosen
            continue
        bisect.insort(bins, (max_length - chosen.size, number, chosen))
        if len(bins) > open_bins:
            yield bins.pop(0)[2]
    yield from (chosen for _room, _number, chosen in sorted(bins, key=lambda item: item[1]))


def _longest_first(pieces: Iterable[Piece]) -> Iterator[Piece]:
    buffer: list[Piece] = []
    for piece in pieces:
        buffer.append(piece)
        if len(buffer) >= SORTED_PIECES:
            yield from sorted(buffer, key=lambda item: -len(item.input_ids))
            buffer = []
    yield from sorted(buffer, key=lambda item: -len(item.input_ids))


class Pack(Stage):
    """Documents of `split` to packed sequences, in the tokens of `tokenizer`."""

    name = "pack"
    version = 1
    small: ClassVar[dict[str, Any]] = {"max_length": 512}

    class Settings(BaseSettings):
        """How documents become sequences."""

        max_length: int = Field(2048, ge=32)
        """Most tokens of a sequence. 2048 holds most source files whole; attention costs the square of a document."""
        fim_rate: float = Field(0.5, ge=0, le=1)
        """Share of the training pieces that are transformed for filling in the middle. Bavarian et al. find 0.5 to 0.9
        free of cost for left-to-right writing; 0.5 is what the StarCoder models were trained with."""
        spm_rate: float = Field(0.5, ge=0, le=1)
        """Share of the transformed pieces in SPM order, the others in PSM; equal shares teach both (same paper)."""
        also: tuple[Literal["augment", "synthesise"], ...] = ()
        """Stages whose rows are packed with the training part; the chain names those that the YAML has."""
        seed: int = 0
        """Seed of the transformation."""
        workers: int = runtime(0, ge=0)
        """Processes that encode shards; 0 means one a core."""

    def needs(self) -> tuple[str, ...]:
        """Rows and tokens."""
        return ("split", "tokenizer", *self.settings.also)

    def work(self, inputs: Inputs) -> float:
        """Bytes of the rows' files."""
        rows = [inputs[name] for name in ("split", *self.settings.also)]
        return float(sum(entry.bytes for artifact in rows for entry in artifact.manifest.files))

    def assume(self, work: float) -> Estimate:
        """Encoding one core's worth: about 0.4 MB of zstd Parquet a second."""
        return Estimate(seconds=3.0 + work / 0.4e6, ram_mb=600, disk_mb=work / 0.8e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Pack both parts; a part, or a shard of one, that an earlier attempt finished is not made again.

        Raises:
            BurilError: T101 when text is to be transformed and the tokenizer has no sentinels, T102 when there is
                nothing to train on, S009 when a worker dies.
        """
        jobs = [
            Job(shard, target, inputs["tokenizer"].folder, self._cutting(part))
            for part in PARTS
            if not out.has(f"{part}.parquet")
            for shard, target in self._shards(part, inputs, out)
        ]
        sentinels_of(inputs["tokenizer"].folder, needed=self.settings.fim_rate > 0)
        encode_shards(jobs, workers=self.settings.workers, out=out)
        found = {part: self._pack(part, inputs, out) for part in PARTS}
        if not found["train"]["tokens"]:
            raise BurilError("T102")
        summary = {"max_length": self.settings.max_length, **found["train"], "valid": found["valid"]}
        out.text("summary.json", json.dumps(summary, indent=1) + "\n")
        return {name: found["train"][name] for name in ("sequences", "tokens", "utilisation", "fim_share", "documents")}

    def _cutting(self, part: str) -> Cutting:
        told = self.settings
        return Cutting(told.max_length, told.fim_rate if part == "train" else 0.0, told.spm_rate, told.seed)

    def _shards(self, part: str, inputs: Inputs, out: Output) -> list[tuple[Path, Path]]:
        """The shards of a part and where each is encoded to; what was made of the training part comes after it."""
        found = [(shard, f"{part}-{shard.stem}") for shard in inputs["split"].files(f"{part}/*.parquet")]
        for name in self.settings.also if part == "train" else ():
            found += [(shard, f"{part}-{name}-{shard.stem}") for shard in inputs[name].files("train/*.parquet")]
        return [(shard, out.scratch / f"{name}.parquet") for shard, name in found]

    def _pack(self, part: str, inputs: Inputs, out: Output) -> dict[str, Any]:
        if not out.has(f"{part}.parquet"):
            shards = [target for _shard, target in self._shards(part, inputs, out)]
            bins = pack((piece for shard in shards for piece in read_pieces(shard)), self.settings.max_length)
            with out.write(f"{part}.parquet") as path:
                write_bins(path, bins)
        summary = summarise(out.path(f"{part}.parquet"), self.settings.max_length)
        out.rows[f"{part}.parquet"] = summary["sequences"]
        return summary


class Cutting(NamedTuple):
    """How a part is cut, in plain values that cross to a worker."""

    max_length: int
    fim_rate: float
    spm_rate: float
    seed: int


class Job(NamedTuple):
    """One shard to encode: where from, where to, with which tokenizer, cut how."""

    source: Path
    target: Path
    tokenizer: Path
    cutting: Cutting


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
    """Cut and encode the rows of one shard; the target appears whole or not at all."""
    told = job.cutting
    sentinels = sentinels_of(job.tokenizer, needed=told.fim_rate > 0)
    encode = Encoder(job.tokenizer).encode_batch
    cutter = Cutter(encode, sentinels, told.max_length, told.fim_rate, told.spm_rate, told.seed)
    files = read_rows(job.source)
    with atomic(job.target) as temporary, pq.ParquetWriter(temporary, _PIECES, compression="zstd") as writer:
        for group in in_groups(piece for file in files for piece in cutter.pieces(file.row_id, file.content)):
            writer.write_table(pa.Table.from_pylist([vars(piece) for piece in group], schema=_PIECES))


def read_pieces(path: Path) -> Iterator[Piece]:
    """The pieces of an encoded shard, a row group at a time."""
    with pq.ParquetFile(path) as source:
        for group in range(source.num_row_groups):
            yield from (Piece(**row) for row in source.read_row_group(group).to_pylist())


def write_bins(path: Path, bins: Iterable[Bin]) -> None:
    """Write sequences as zstd Parquet, a row group at a time; the same sequences give the same bytes."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=3) as writer:
        for group in in_groups(bins):
            writer.write_table(pa.Table.from_pylist([item.row() for item in group], schema=SCHEMA))


def in_groups(items: Iterable[Item], size: int = ROW_GROUP) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    source = iter(items)
    while group := list(islice(source, size)):
        yield group


def summarise(path: Path, max_length: int) -> dict[str, Any]:
    """What a packed file holds: counts, how full the sequences are, the share of tokens in transformed pieces."""
    sequences = documents = spans = 0
    tokens = {"none": 0, "psm": 0, "spm": 0}
    with pq.ParquetFile(path) as source:
        for group in range(source.num_row_groups):
            rows = source.read_row_group(group, columns=["spans"]).column("spans").to_pylist()
            sequences += len(rows)
            for span in (span for row in rows for span in row):
                spans += 1
                documents += span["offset"] == 0
                tokens[span["fim"]] += span["length"]
    total = sum(tokens.values())
    return {
        "sequences": sequences, "tokens": total, "spans": spans, "documents": documents,
        "utilisation": total / (sequences * max_length) if sequences else 0.0,
        "fim_share": (tokens["psm"] + tokens["spm"]) / total if total else 0.0,
        "tokens_by_order": tokens,
    }  # fmt: skip
