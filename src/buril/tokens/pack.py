"""Stage pack: documents to sequences of tokens, filled to the brim, none of them padded, every token with its row.

Documents are cut into pieces that fit, a share of them is transformed for filling in the middle (`fim.py`), and the
pieces are packed best-fit into sequences. A sequence says by its `spans` which row each token comes from; training
keeps documents of a sequence apart by them. Validation text is packed untransformed, so that its loss compares.
Rows that are chats are laid out by the base's template, with the answers alone to be learnt (`chat.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from buril.code.codefile import DROPPED_SCHEMA, write_table
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.generators._encoder import Encoder
from buril.tokens.bins import SCHEMA, Unit, pack, summarise, write_bins
from buril.tokens.encode import Context, Cutting, Job, encode_shards, read_pieces, sentinels_of
from buril.tokens.repository import Heads, repositories

__all__ = ["SCHEMA", "Pack", "pack"]
PARTS = ("train", "valid")
SHOWN = ("sequences", "tokens", "utilisation", "fim_share", "documents")
"""Figures of the training part that enter the manifest."""
SHOWN_IF_ANY = ("context_share", "given_share", "structure_share", "illegal")


class Pack(Stage):
    """Documents of `split` to packed sequences, in the tokens of `tokenizer`."""

    name = "pack"
    version = 2
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
        fim_align: float = Field(0.0, ge=0, le=1)
        """Share of the transformed pieces whose hole is a statement, a body or arguments by the parse; the others are
        cut anywhere, as published."""
        context: Context = "file"
        """What a token may look back to: its own `file`, or the files of its `repository` that stand before it, in the
        order of their imports, as many as fit a sequence."""
        pairs: Literal["chat", "text"] = "chat"
        """How pairs of instruction and answer are packed: as a `chat` in the base's template, of which the answer alone
        is learnt, or as plain `text`, all of it learnt."""
        structure: bool = False
        """Mark the training tokens that carry syntax, and continuations that break it, for the objective `syntax`; it
        takes a parse of every file, and a small one for each continuation."""
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
        """Encoding one core's worth: about 0.4 MB of zstd Parquet a second, a fifth of it where structure is marked."""
        rate = 0.08e6 if self.settings.structure else 0.4e6
        return Estimate(seconds=3.0 + work / rate, ram_mb=600, disk_mb=work / 0.8e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Pack both parts; a part, or a shard of one, that an earlier attempt finished is not made again.

        Raises:
            BurilError: T101 when text is to be transformed and the tokenizer has no sentinels, T102 when there is
                nothing to train on, T120 when the base's chat template can't be read, S009 when a worker dies.
        """
        sentinels_of(inputs["tokenizer"].folder, needed=self.settings.fim_rate > 0)
        jobs = [job for part in PARTS if not out.has(f"{part}.parquet") for job in self._jobs(part, inputs, out)]
        encode_shards(jobs, workers=self.settings.workers, out=out)
        found = {part: self._pack(part, inputs, out) for part in PARTS}
        if not found["train"]["tokens"]:
            raise BurilError("T102")
        self._drop(inputs, out)
        train, told = found["train"], self.settings
        summary = {"max_length": told.max_length, "structure": told.structure, **train, "valid": found["valid"]}
        out.text("summary.json", json.dumps(summary, indent=1) + "\n")
        return {name: train[name] for name in (*SHOWN, *(name for name in SHOWN_IF_ANY if train[name]))}

    def _cutting(self, part: str) -> Cutting:
        told, learnt = self.settings, part == "train"
        return Cutting(
            told.max_length, told.fim_rate if learnt else 0.0, told.spm_rate, told.seed,
            fim_align=told.fim_align if learnt else 0.0, structure=told.structure and learnt, context=told.context,
            pairs=told.pairs,
        )  # fmt: skip

    def _jobs(self, part: str, inputs: Inputs, out: Output) -> list[Job]:
        """The shards of a part; what was made of the training part comes after it."""
        found = [(shard, f"{part}-{shard.stem}", False) for shard in inputs["split"].files(f"{part}/*.parquet")]
        for name in self.settings.also if part == "train" else ():
            found += [(shard, f"{part}-{name}-{shard.stem}", True) for shard in inputs[name].files("train/*.parquet")]
        tokenizer, cutting = inputs["tokenizer"].folder, self._cutting(part)
        return [Job(shard, out.scratch / f"{name}.parquet", tokenizer, cutting, made) for shard, name, made in found]

    def _pack(self, part: str, inputs: Inputs, out: Output) -> dict[str, Any]:
        if not out.has(f"{part}.parquet"):
            targets = [job.target for job in self._jobs(part, inputs, out)]
            bins = pack(self._units(targets, inputs["tokenizer"].folder), self.settings.max_length)
            with out.write(f"{part}.parquet") as path:
                write_bins(path, bins)
        summary = summarise(out.path(f"{part}.parquet"), self.settings.max_length)
        out.rows[f"{part}.parquet"] = summary["sequences"]
        return summary

    def _units(self, targets: list[Path], tokenizer: Path) -> Iterator[Unit]:
        """The pieces one by one, or those of each repository together; what stands alone comes last then."""
        if self.settings.context == "file":
            return ((piece,) for target in targets for piece, _place in read_pieces(target))
        heads = Heads(Encoder(tokenizer), self._cutting("train").room)
        placed = ((piece, place) for target in targets for piece, place in read_pieces(target) if place is not None)
        alone = ((piece,) for target in targets for piece, place in read_pieces(target) if place is None)
        sentinels = sentinels_of(tokenizer, needed=False)
        return chain(repositories(placed, heads, sentinels, self.settings.max_length), alone)

    def _drop(self, inputs: Inputs, out: Output) -> None:
        """`dropped.parquet`: the chats that were left out, with their reasons."""
        if not out.has("dropped.parquet"):
            lists = [job.dropped for part in PARTS for job in self._jobs(part, inputs, out)]
            tables = [pq.read_table(path, schema=DROPPED_SCHEMA) for path in lists]
            write_table(out.path("dropped.parquet"), pa.concat_tables([DROPPED_SCHEMA.empty_table(), *tables]))
        number = pq.read_metadata(out.path("dropped.parquet")).num_rows
        out.rows["dropped.parquet"] = number
        if number:
            out.warn(_("{number} chats were left out; `dropped.parquet` says why").format(number=number))
