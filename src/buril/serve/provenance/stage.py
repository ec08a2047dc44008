"""Stage index: the rows that the model was trained on, so that any text can be traced to those it resembles."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

import pyarrow.parquet as pq
from pydantic import Field

from buril.code import lexical
from buril.core.estimate import Estimate
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.serve.provenance.rows import count_rows, training_rows
from buril.serve.provenance.segments import FORMAT, INDEX, ROWS, segment_name, write_segments

_BYTES_A_TOKEN = 75
"""Memory that building takes at its peak."""


class Index(Stage):
    """Writes the provenance index of the training set."""

    name = "index"
    version = 1

    class Settings(BaseSettings):
        """What is indexed, and in which pieces."""

        also: tuple[Literal["augment", "synthesise", "pairs"], ...] = ()
        """Stages whose texts were learnt beside the training part; the chain names those that the YAML has."""
        models: tuple[Literal["train", "align"], ...] = ()
        """Stages whose weights must have read a row for it to be indexed; the chain names those that the YAML has.
        Without one the whole training part is indexed."""
        segment_tokens: int = Field(1 << 24, ge=1024, le=1 << 31)
        """Tokens of a segment. Building takes some 75 bytes of memory for each; every look-up asks all segments."""

    settings: Settings
    small: ClassVar[dict[str, Any]] = {}

    def needs(self) -> tuple[str, ...]:
        """The rows, and what tells which of them were read."""
        return ("split", *self.settings.also, *self.settings.models)

    def parts(self) -> dict[str, int]:
        """How text is cut into tokens."""
        return {"lexical": lexical.VERSION}

    def work(self, inputs: Inputs) -> float:
        """Bytes of the rows' files; those of the models are not read."""
        rows = [inputs[name] for name in ("split", *self.settings.also)]
        return float(sum(entry.bytes for artifact in rows for entry in artifact.manifest.files))

    def assume(self, work: float) -> Estimate:
        """A core does about 0.8 MB of zstd Parquet a second; a byte of it becomes some eight of index."""
        ram = 300 + min(self.settings.segment_tokens, work) * _BYTES_A_TOKEN / 1e6
        return Estimate(seconds=5.0 + work / 0.8e6, ram_mb=ram, disk_mb=8 * work / 1e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write the segments, and `index.json`; segments that an earlier attempt finished are not made again."""
        told = self.settings
        done = _finished(out)
        total, num_read, num_bytes = count_rows(inputs, told.also), 0, 0

        def rows() -> Any:
            nonlocal num_read, num_bytes
            for row in training_rows(inputs, told.also, told.models):
                num_read, num_bytes = num_read + 1, num_bytes + len(row.content.encode("utf-8", "replace"))
                out.progress(num_read, total, "rows")
                yield row

        num_segments = write_segments(rows(), out, most_tokens=told.segment_tokens, done=done)
        tables = [pq.read_table(out.path(f"{segment_name(number)}/{ROWS}")) for number in range(num_segments)]
        num_tokens = sum(sum(table["num_tokens"].to_pylist()) for table in tables)
        for number, table in enumerate(tables):
            out.rows[f"{segment_name(number)}/{ROWS}"] = len(table)
        of = {stage: inputs[stage].digest for stage in self.needs()}
        out.text(INDEX, summary_of(num_segments, num_read, num_bytes, num_tokens, of))
        size = sum(path.stat().st_size for path in out.folder.glob("segments/*/*"))
        return {
            "rows": num_read, "tokens": num_tokens, "segments": num_segments, "mb": round(size / 1e6, 3),
            "bytes_per_token": round(size / num_tokens, 2) if num_tokens else 0.0,
        }  # fmt: skip


def summary_of(segments: int, rows: int, num_bytes: int, tokens: int, of: dict[str, str] | None = None) -> str:
    """The text of `index.json`: how text was cut, how much there is, and the digests of what it was made of."""
    cut = {"format": FORMAT, "lexical": lexical.VERSION, "window": lexical.WINDOW, "step": lexical.STEP}
    counted = {"segments": segments, "rows": rows, "bytes": num_bytes, "tokens": tokens}
    return json.dumps({**cut, **counted, "of": of or {}}, indent=1, sort_keys=True) + "\n"


def _finished(out: Output) -> tuple[int, int]:
    """Segments that are whole, and the rows in them."""
    number = rows = 0
    while out.has(f"{segment_name(number)}/{ROWS}"):
        rows += int(pq.read_metadata(out.path(f"{segment_name(number)}/{ROWS}")).num_rows)
        number += 1
    return number, rows
