"""Dataset: the split as a data set that can be published: its files with a card, Croissant and a mixture table.

The artifact is one whole folder: `train/`, `valid/` and `test/` as `split` wrote them (linked, not copied, where the
file system can), `README.md`, `croissant.json`, `mixture.parquet` and `mixture.json`. `datasets.load_dataset` reads
the folder as it is. It is a stage of its own, beside the way to the model, so that another word in the card makes no
pack and no training again.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from buril.code.codefile import write_table
from buril.core.artifact import Artifact, FileEntry
from buril.core.estimate import Estimate
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.data.card import SPLITS, Part, Story, card
from buril.data.croissant import croissant
from buril.data.mixture import CountTokens, mixture, summed

PARTS = tuple(SPLITS)


class Dataset(Stage):
    """Writes a folder that can be published as it is."""

    name = "dataset"
    version = 1

    class Settings(BaseSettings):
        """What the card and Croissant say beside what is counted."""

        title: str = "Source code"
        """Name of the data set, as a heading."""
        description: str = ""
        """What it is for and how it was made: a paragraph of Markdown."""
        url: str = ""
        """Address where the data set will be found; Croissant asks for one."""
        creator: str = ""
        """Who publishes it: an organisation or a person."""
        published: str = Field("", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
        """Day of publication, as 2026-01-31. It is given, not taken from the clock, so that the bytes stay the same."""
        citation: str = ""
        """How to cite it, as text or BibTeX."""
        edition: str = Field("1.0.0", pattern=r"^\d+\.\d+\.\d+$")
        """Version of the data set, of the form 1.0.0."""
        tokens: bool = False
        """Count tokens with the chain's tokenizer for the mixture; otherwise it is by bytes. Needs `buril[train]`."""

    settings: Settings

    def needs(self) -> tuple[str, ...]:
        """The split; why files were left out; and the tokenizer, if tokens are to be counted."""
        return ("select", "split", *(("tokenizer",) if self.settings.tokens else ()))

    def assume(self, work: float) -> Estimate:
        """Links cost nothing; counting tokens runs at some 2 MB/s of text."""
        return Estimate(seconds=1 + work * 4 / 2e6 if self.settings.tokens else 1 + work / 200e6, ram_mb=400, disk_mb=2)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Link the files, count, and write what tells of them."""
        split = inputs["split"]
        entries = _link(split, out)
        counter = _counter(inputs["tokenizer"], out) if self.settings.tokens else None
        table = mixture({part: [out.path(entry.path) for entry in found] for part, found in entries.items()}, counter)
        write_table(out.path("mixture.parquet"), table)
        out.rows["mixture.parquet"] = len(table)
        totals = {by: summed(table, by) for by in ("part", "language", "license", "repo")}
        out.text("mixture.json", _json(totals))
        parts = [_part(split, name, found) for name, found in entries.items()]
        schema = _schema(split, entries)
        story = Story(
            self.settings.title, self.settings.description, totals["language"], totals["license"], totals["repo"],
            _dropped(inputs["select"]),
        )  # fmt: skip
        out.text("README.md", card(parts, schema, story))
        splits = {SPLITS[name]: found for name, found in entries.items()}
        licenses = sorted(row["name"] for row in totals["license"])
        out.text("croissant.json", _json(croissant(self._head(), splits, schema, licenses=licenses)))
        tokens = sum(row["tokens"] or 0 for row in totals["part"])
        return {
            "files": sum(part.rows for part in parts), "bytes": sum(part.text_bytes for part in parts),
            **({"tokens": tokens} if counter else {}), "languages": len(totals["language"]),
            "licenses": len(totals["license"]), "repositories": len(totals["repo"]),
        }  # fmt: skip

    def _head(self) -> dict[str, Any]:
        """What Croissant says of the whole."""
        told = self.settings
        described = told.description or f"{told.title}: source files with repository, path, commit and licence."
        optional = {
            "url": told.url,
            "creator": {"@type": "sc:Organization", "name": told.creator} if told.creator else "",
            "datePublished": told.published,
            "citeAs": told.citation,
        }
        given = {name: value for name, value in optional.items() if value}
        return {"name": told.title, "description": described, "version": told.edition, **given}


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _link(split: Artifact, out: Output) -> dict[str, list[FileEntry]]:
    """Bring the files of every part that has rows into the folder; gives their entries, by part."""
    found: dict[str, list[FileEntry]] = {part: [] for part in PARTS}
    for entry in split.manifest.files:
        part, _slash, name = entry.path.partition("/")
        if part in found and name.endswith(".parquet") and _rows(split.path(entry.path)):
            found[part].append(entry)
            out.rows[entry.path] = _rows(split.path(entry.path))
            if not out.has(entry.path):
                with out.write(entry.path) as path:
                    _link_or_copy(split.path(entry.path), path)
    return {part: entries for part, entries in found.items() if entries}


def _link_or_copy(source: Path, target: Path) -> None:
    """A second name for the same bytes (artifacts never change), or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _rows(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


def _part(split: Artifact, name: str, entries: Sequence[FileEntry]) -> Part:
    """What the card says of a part; sizes in memory are those that Parquet states before compression."""
    rows = text = memory = 0
    for entry in entries:
        with pq.ParquetFile(split.path(entry.path)) as source:
            rows += source.metadata.num_rows
            memory += sum(source.metadata.row_group(at).total_byte_size for at in range(source.num_row_groups))
            text += int(pc.sum(source.read(columns=["bytes"])["bytes"]).as_py() or 0)
    return Part(name, rows, text, sum(entry.bytes for entry in entries), memory)


def _schema(split: Artifact, entries: dict[str, list[FileEntry]]) -> pa.Schema:
    return next(
        (pq.read_schema(split.path(found[0].path)) for found in entries.values() if found), pa.schema([])
    ).remove_metadata()


def _dropped(select: Artifact) -> dict[str, int]:
    """Reason → files that were left out, over all stages."""
    path = select.path("dropped.parquet")
    if not path.exists():
        return {}
    table = pq.read_table(path, columns=["stage", "reason"])
    counts = table.group_by(["stage", "reason"]).aggregate([([], "count_all")]).to_pylist()
    return {f"{row['stage']}: {row['reason']}": int(row["count_all"]) for row in counts}


def _counter(tokenizer: Artifact, out: Output) -> CountTokens:
    """Counts the tokens of texts with the tokenizer of the chain, and says how far it is."""
    from buril.generators._encoder import Encoder

    encode = Encoder(tokenizer.folder).encode_batch
    done, num_bytes, total = 0, 0, sum(out.rows.values())

    def count(texts: Sequence[str]) -> list[int]:
        nonlocal done, num_bytes
        found = [len(ids) for ids in encode(texts)]
        done, num_bytes = done + len(texts), num_bytes + sum(map(len, texts))
        out.progress(done, total, "files", bytes=num_bytes)
        return found

    return count
