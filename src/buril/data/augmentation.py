"""Augment: further training texts made of the training part, each of which knows the file it was made of.

The training part stays as it is; what is made lies beside it, and `pack` reads both. Validation and test are never
touched. Which files an augmenter is tried on depends on the seed and the row alone, and so does what it makes, so a
file that is added changes nothing for the others.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, model_validator

from buril.code.codefile import DROPPED_SCHEMA, CodeFile, Verdict, read_rows, write_dropped, write_rows, write_table
from buril.code.language import language_of, languages
from buril.core.errors import BurilError, nearest
from buril.core.estimate import Estimate
from buril.core.plugins import PluginKind, Ref, plugin
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.core.workers import each
from buril.data.augmenter import ORIGINS, ORIGINS_SCHEMA, Augmenter, Made, Origin, derived, draw, write_origins

REFUSED = "refused.parquet"
BROKEN_ROW = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What an augmenter may raise on a row it was not made for: no text is made of it, and the reason is kept."""
_SCALE = float(1 << 64)


class Job(NamedTuple):
    """One shard: what to read, which rows each augmenter is tried on, and where the results go."""

    shard: Path
    target: Path
    scratch: Path
    plugins: tuple[Ref, ...]
    chosen: tuple[frozenset[str], ...]
    seed: int


class Augment(Stage):
    """Makes further texts of the training part by the augmenters that are named."""

    name: ClassVar[str] = "augment"
    version: ClassVar[int] = 1
    small: ClassVar[dict[str, Any]] = {"max_rows": 200}

    class Settings(BaseSettings):
        """Which augmenters, and how many files each is tried on: `{rename: 0.1, syntax_noise: {share: 0.02}}`."""

        shorthand: ClassVar[str | None] = "plugins"
        others: ClassVar[str | None] = "plugins"

        plugins: Annotated[tuple[Ref, ...], PluginKind("augment")] = ()
        """The augmenters; a key below `augment:` that is none of the settings here names one too."""
        max_rows: int | None = Field(None, ge=1)
        """Files that each augmenter is tried on, at most; none: only its `share` bounds them."""
        seed: int = 0
        """Chooses the files, and what is done to each."""
        workers: int = runtime(0, ge=0)
        """Processes, a shard each; 0 for one a processor."""

        @model_validator(mode="after")
        def _languages_are_known(self) -> Augment.Settings:
            if not self.plugins:
                raise BurilError("D304")
            for ref in self.plugins:
                ref.make()  # one that can't be made is refused with the rest of the settings
                able = plugin("augment", ref.name).languages or tuple(languages())
                for name in ref.settings.languages:  # type: ignore[attr-defined]  # AugmenterSettings has them
                    if name not in able:
                        raise BurilError("D301", plugin=ref.name, language=name, suggestion=nearest(name, [*able]))
            return self

    settings: Settings

    def needs(self) -> tuple[str, ...]:
        """The training part, and what the augmenters read."""
        more = [need for ref in self.settings.plugins for need in ref.make().needs()]
        return tuple(dict.fromkeys(("split", *more)))

    def parts(self) -> dict[str, int]:
        """Versions of the augmenters, of what they use and of the languages' facts."""
        found = {f"augment:{ref.name}": int(plugin("augment", ref.name).version) for ref in self.settings.plugins}
        for ref in self.settings.plugins:
            found.update(ref.make().parts())
        return {**found, **{f"language:{name}": language_of(name).version for name in languages()}}

    def observe(self) -> Any:
        """Versions of the grammars and of Python, which judge what is made, and what the augmenters read."""
        import sys
        from importlib.metadata import version

        read = {ref.name: ref.make().observe() for ref in self.settings.plugins}
        grammars = {package: version(package) for package in ("tree-sitter", "tree-sitter-language-pack")}
        return {**grammars, "python": f"{sys.version_info[0]}.{sys.version_info[1]}", "read": read}

    def work(self, inputs: Inputs) -> float:
        """Bytes of the training part, by the share that is tried."""
        size = sum(entry.bytes for entry in inputs["split"].manifest.files if entry.path.startswith("train/"))
        return float(size * sum(ref.settings.share for ref in self.settings.plugins))  # type: ignore[attr-defined]  # AugmenterSettings has it

    def assume(self, work: float) -> Estimate:
        """Some 0.25 MB of code a second, which is about 0.08 MB of what the store holds compressed."""
        return Estimate(seconds=1 + work / 0.08e6, ram_mb=400, disk_mb=work / 0.8e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write `train/NNNNN.parquet` with the texts made of each shard, `origins.parquet` and `refused.parquet`."""
        jobs = self._jobs(inputs["split"].files("train/*.parquet"), out)
        waiting = [job for job in jobs if not out.has(f"train/{job.target.name}")]
        done = len(jobs) - len(waiting)
        for finished in self._each(waiting, inputs):
            done += 1
            out.progress(done, len(jobs), "shards", made=finished)
        origins = _gathered(jobs, ORIGINS)
        refused = _gathered(jobs, REFUSED)
        write_table(out.path(ORIGINS), origins)
        write_table(out.path(REFUSED), refused)
        for job in jobs:
            out.rows[f"train/{job.target.name}"] = int(pq.read_metadata(job.target).num_rows)
        return self._metrics(jobs, origins, refused, out)

    def _each(self, waiting: list[Job], inputs: Inputs) -> Any:
        made: list[Augmenter] = [ref.make() for ref in self.settings.plugins]
        if not any(item.alone for item in made):
            yield from each(augment_shard, waiting, self.settings.workers, stage=self.name)
            return
        for item in made if waiting else []:
            item.open(inputs)
        for job in waiting:
            yield _augment(job, made)

    def _jobs(self, shards: Sequence[Path], out: Output) -> list[Job]:
        """One job a shard, with the rows that are drawn for each augmenter."""
        tables = [pq.read_table(shard, columns=["row_id", "language"]) for shard in shards]
        rows = pa.concat_tables(tables).to_pylist() if tables else []
        chosen = tuple(self._drawn(ref, rows) for ref in self.settings.plugins)
        return [
            Job(shard, out.path(f"train/{shard.name}"), out.scratch, self.settings.plugins, chosen, self.settings.seed)
            for shard in shards
        ]

    def _drawn(self, ref: Ref, rows: Sequence[dict[str, str]]) -> frozenset[str]:
        """The rows that an augmenter is tried on: the lowest draws."""
        told: Any = ref.settings
        able = told.languages or plugin("augment", ref.name).languages
        draws = [
            (number, row["row_id"])
            for row in rows
            if (not able or row["language"] in able)
            and (number := draw(self.settings.seed, ref.name, row["row_id"])) < told.share * _SCALE
        ]
        return frozenset(row_id for _number, row_id in sorted(draws)[: self.settings.max_rows])

    def _metrics(self, jobs: Sequence[Job], origins: pa.Table, refused: pa.Table, out: Output) -> Metrics:
        by = Counter(origins["by"].to_pylist())
        why = Counter(f"{row['step']}: {row['reason']}" for row in refused.to_pylist())
        size = sum(sum(pq.read_table(job.target, columns=["bytes"])["bytes"].to_pylist()) for job in jobs)
        summary = {"rows": len(origins), "mb": round(size / 1e6, 3), "made": dict(sorted(by.items())),
                   "refused": dict(sorted(why.items()))}  # fmt: skip
        out.rows[ORIGINS], out.rows[REFUSED] = len(origins), len(refused)
        out.text("summary.json", json.dumps(summary, indent=1, sort_keys=True) + "\n")
        for ref in self.settings.plugins:
            if not by[ref.name]:
                out.warn(_("`augment.{name}` made nothing of the training part").format(name=ref.name))
        return summary


def augment_shard(job: Job) -> int:
    """Make the texts of one shard in a process of its own; gives how many."""
    made: list[Augmenter] = [ref.make() for ref in job.plugins]
    for item in made:
        item.open({})
    return _augment(job, made)


def _augment(job: Job, augmenters: Sequence[Augmenter]) -> int:
    rows: list[CodeFile] = []
    origins: list[Origin] = []
    refused: list[dict[str, Any]] = []
    for file in read_rows(job.shard):
        for ref, chosen, augmenter in zip(job.plugins, job.chosen, augmenters, strict=True):
            if file.row_id not in chosen:
                continue
            number = draw(job.seed, f"{ref.name}\0text", file.row_id)
            found = _made(augmenter, file, random.Random(number))  # noqa: S311  chance for a copy, not for a key
            if isinstance(found, Made):
                new = derived(file, found.content, by=ref.name)
                rows.append(new)
                origins.append(Origin(new.row_id, file.row_id, Augment.name, ref.name, found.detail))
            else:
                refused.append(file.dropped(Augment.name, found._replace(step=ref.name)))
    write_origins(_part(job, ORIGINS), origins)
    write_dropped(_part(job, REFUSED), refused)
    write_rows(job.target, rows)  # last: it says that the shard is done
    return len(rows)


def _made(augmenter: Augmenter, file: CodeFile, drawn: random.Random) -> Made | Verdict:
    try:
        found = augmenter.make(file, drawn)
    except BROKEN_ROW as problem:
        return Verdict("", "broken_row", f"{type(problem).__name__}: {problem}"[:200])
    if not isinstance(found, Made):
        return Verdict("", found.reason, found.detail)
    return Verdict("", "unchanged") if found.content == file.content else found


def _part(job: Job, name: str) -> Path:
    return job.scratch / f"{job.shard.stem}.{name}"


def _gathered(jobs: Sequence[Job], name: str) -> pa.Table:
    schema = ORIGINS_SCHEMA if name == ORIGINS else DROPPED_SCHEMA
    return pa.concat_tables([schema.empty_table(), *(pq.read_table(_part(job, name)) for job in jobs)]).combine_chunks()
