"""Dedup: which files are copies of which, exact, near and (asked for) renamed, and which copy is kept.

Passes, cheap before dear: equal once all white space is removed, MinHash over what is left (`buril.code.minhash`), and
with `renamed` MinHash over the structure of what is then left (`buril.code.blind`). A file is left out only when it is
a copy of one that is kept: clusters are joined by verified pairs alone, and within a cluster, in order of preference,
a file whose exact similarity to every kept one is below the threshold is kept as well. So a chain of small changes does
not swallow its two ends, and `cluster` still tells `split` that they belong together.

Data may be larger than memory. Signatures (0.5 KB a file), keys (0.25 KB), and the shingle sets of files in doubt lie
on disk in the stage's scratch folder; whatever must be brought together is sorted there (`buril.data._sorted`).
In memory are a block of each, as `memory_mb` allows, and some bytes a file. The result is the same to the byte
whatever the limit and the number of workers. A killed run goes on from the shards, bands and sorted tables it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from buril.code import blind, minhash
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.data._clusters import KINDS, Facts, Verdicts, facts, verdicts, write_clusters, write_duplicates
from buril.data._near import Choice, Plan, find_copies
from buril.data._rows import name_ranks, num_rows
from buril.data._shards import Kind, Sketch, run_jobs, sketch_shard
from buril.data._texts import Texts, tell_apart

Keep = Literal["license", "stars", "age", "path"]
_AT_ONCE = 1 << 16


class Dedup(Stage):
    """Finds copies among all collected files and chooses which one of each cluster stays."""

    name = "dedup"
    version = 2

    class Settings(BaseSettings):
        """What counts as a copy, and which copy is kept."""

        shorthand: ClassVar[str | None] = "method"

        method: Literal["minhash", "exact"] = "minhash"
        """`exact`: equal bytes, or equal once white space is removed. `minhash`: near copies as well."""
        threshold: float = Field(0.7, gt=0, le=1)
        """Jaccard similarity of shingles from which two files are copies; 0.7 is what The Stack v2 uses."""
        keep: tuple[Keep, ...] = ("license", "stars", "age", "path")
        """Which copy is kept, first rule first: a known licence, more stars, the older one, then its path."""
        shingle: int = Field(5, ge=1, le=64)
        """Words in a shingle: 5 is usual for code; fewer finds looser copies."""
        num_perm: int = Field(128, ge=16, le=4096)
        """Values in a signature (512 bytes a file at 128; standard error of a similarity at most 0.044)."""
        bands: int = Field(32, ge=1)
        """Bands of the signature: more find more candidates; 32 of 4 finds 99.9 % of the pairs at 0.7."""
        renamed: bool = False
        """Find copies with other identifiers too, by their structure: a second pass over what the first left, which
        takes about as long again."""
        workers: int = runtime(2, ge=1)
        """Processes that read shards and sort bands at the same time; each needs about 300 MB and its share of
        `memory_mb`."""
        memory_mb: int = runtime(1024, ge=16)
        """Working memory for sorting, all processes together, in MB; less means more passes over the disk."""

        @model_validator(mode="after")
        def _fits(self) -> Dedup.Settings:
            if self.num_perm % self.bands:
                raise BurilError("D101", bands=self.bands, num_perm=self.num_perm)
            if self.renamed and self.method == "exact":
                raise BurilError("D110")
            return self

    settings: Settings

    def needs(self) -> tuple[str, ...]:
        """Reads what `collect` wrote."""
        return ("collect",)

    def parts(self) -> dict[str, int]:
        """The kernels' versions: other hashes could decide a borderline pair otherwise."""
        found = {"minhash": minhash.VERSION}
        return {**found, "blind": blind.VERSION} if self.settings.renamed else found

    def assume(self, work: float) -> Estimate:
        """Some 30 MB/s of compressed rows a process (120 of code); scratch takes as much as the rows do."""
        told = self.settings
        seconds = 2 + work / 30e6 / told.workers * (2 if told.renamed else 1)
        return Estimate(seconds=seconds, ram_mb=300 + 300 * told.workers + told.memory_mb, disk_mb=1 + work / 1e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write `duplicates.parquet`, one row per collected row in collect's order, and `clusters.parquet`."""
        told = self.settings
        shards, memory = inputs["collect"].files("rows/*.parquet"), told.memory_mb * 1_000_000
        jobs = self._jobs(shards, out.scratch)
        _compile(told.renamed)
        run_jobs(sketch_shard, jobs, told.workers, out)
        texts = tell_apart(jobs, name_ranks(shards, out.scratch / "names"), out.scratch / "texts", memory=memory)
        choice, kinds_N = self._chosen(jobs, texts, out)
        known = facts(shards, len(texts.of_row), out.scratch / "texts")
        found = verdicts(texts, choice, kinds_N, out.scratch / "texts", memory=memory)
        with out.write("duplicates.parquet", rows=len(found.of)) as path:
            write_duplicates(path, known, found)
        with out.write("clusters.parquet") as path:
            largest = write_clusters(path, shards, known, found, out.scratch / "texts")
        clusters = num_rows(out.path("clusters.parquet"))
        out.rows["clusters.parquet"] = clusters
        return {**_metrics(known, found), "clusters": clusters, "largest_clusters": largest}

    def _jobs(self, shards: Sequence[Path], scratch: Path) -> list[Sketch]:
        told, kinds = self.settings, self._kinds()
        return [
            Sketch(shard, scratch / "near" / f"{number:05d}", kinds, told.shingle, told.num_perm, told.bands, told.keep)
            for number, shard in enumerate(shards)
        ]

    def _kinds(self) -> tuple[Kind, ...]:
        if self.settings.method == "exact":
            return ()
        return ("near", "renamed") if self.settings.renamed else ("near",)

    def _chosen(self, jobs: Sequence[Sketch], texts: Texts, out: Output) -> tuple[Choice, minhash.I64]:
        """What is kept of all texts, and for each text that is a copy the place of its kind in `KINDS`."""
        told = self.settings
        choice = Choice.none(len(texts.row), out.scratch / "texts")
        kinds_N = np.zeros(len(texts.row), dtype=np.int64)
        for kind in self._kinds() if len(texts.row) else ():
            width = minhash.margin(told.threshold, told.num_perm)
            rule = (told.threshold, told.threshold - width, told.threshold + width)
            if kind == "renamed":  # signatures see sets, not how often each window occurs: they propose, no more
                rule = (blind.THRESHOLD, blind.CANDIDATE, 2.0)
            plan = Plan(jobs, out.scratch, rule, told.workers, told.memory_mb * 1_000_000)
            find_copies(plan, kind, texts, choice, out)
            for start in range(0, len(kinds_N), _AT_ONCE):
                text = np.arange(start, min(start + _AT_ONCE, len(kinds_N)))
                new = (choice.kept[text] != text) & (kinds_N[text] == 0)
                kinds_N[text[new]] = KINDS.index(kind)
        return choice, kinds_N


def _compile(renamed: bool) -> None:
    """Load the kernels before there are processes, which then have them without compiling anything each for itself."""
    from buril.data import _pairs

    some = minhash.Texts.of([b"a b c", b"a b c"])
    minhash.digests(some)
    minhash.band_keys(minhash.sketch(some))
    if renamed:
        blind.sketch(some, np.zeros(2, dtype=np.int64))
    assert _pairs.NEIGHBOURS


def _metrics(known: Facts, found: Verdicts) -> Metrics:
    """How much was copied."""
    counts, kept, total, kept_bytes = np.zeros(len(KINDS), dtype=np.int64), 0, 0, 0
    for start in range(0, len(found.of), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        stays = found.of[some] == np.arange(start, start + len(found.of[some]))
        counts += np.bincount(found.kind[some], minlength=len(KINDS))
        kept += int(stays.sum())
        total += int(known.bytes[some].sum())
        kept_bytes += int(known.bytes[some][stays].sum())
    copies = {f"{kind}_copies": int(count) for kind, count in zip(KINDS[1:], counts[1:].tolist(), strict=True)}
    return {"files": len(found.of), "kept": kept, **copies, "mb": total / 1e6, "kept_mb": kept_bytes / 1e6}
