"""Collect: read the source code of all sources into rows, with repository, commit, path, language and licence.

First everything is listed and the shards are planned; then each shard is read on its own. The plan is kept in the
scratch folder, so an interrupted run goes on with the very same shards. Tables whose rows carry the content come after
the files; they are read once, piece by piece, and are never whole in memory.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from buril.code.codefile import CodeFile, write_dropped, write_rows, write_table
from buril.code.language import languages
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.plugins import PluginKind, Ref
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.core.workers import each
from buril.data import _pieces, _plan
from buril.data import source as sources
from buril.data._plan import Cut, Plan, Planned
from buril.data.source import Dropped, Repository, SourceFile, gives_rows

SHARD_BYTES = 64_000_000
ROW_BYTES = 6_000
"""Bytes of a table that a file of source code takes, for an estimate."""


@dataclass(frozen=True)
class _Job:
    """One shard to read: its number, the files in order, the repositories they name, and the source of each."""

    folder: Path
    scratch: Path
    number: int
    files: tuple[Planned, ...]
    repositories: dict[int, Repository]
    refs: dict[int, Ref]
    max_bytes: int

    @property
    def bytes(self) -> int:
        """The bytes of its files as listed."""
        return sum(item.file.bytes for item in self.files)


class Collect(Stage):
    """Rows of source code from folders, repositories and packages; whatever is left out is in `dropped.parquet`."""

    name: ClassVar[str] = "collect"
    version: ClassVar[int] = 3
    small: ClassVar[dict[str, Any]] = {"max_files": 2000}

    class Settings(BaseSettings):
        """Where to collect from, and how much."""

        shorthand: ClassVar[str | None] = "sources"

        sources: Annotated[tuple[Ref, ...], PluginKind("source")] = Field(min_length=1)
        """The sources, in order of precedence where two hold the same file: `folder`, `packages`, …"""
        max_files: int | None = Field(default=None, ge=1)
        """How many files at most, drawn evenly from many repositories. None: all, as a real run wants."""
        max_file_bytes: int = Field(default=1_000_000, ge=1)
        """Larger files (in bytes) are left out. Code written by hand hardly reaches 1 MB; generated tables do."""
        shard_bytes: int = Field(default=SHARD_BYTES, ge=1)
        """Content of one shard in bytes: the unit of work, of memory (a few times this a worker) and of resuming."""
        workers: int = runtime(0, ge=0)
        """Processes that read. 0: one a processor."""

    settings: Settings

    def parts(self) -> dict[str, int]:
        """Versions of the sources and of the languages that decide what counts as source code."""
        found = {f"source:{ref.name}": int(ref.identity()["version"]) for ref in self.settings.sources}
        return {**found, **{f"language:{name}": facts.version for name, facts in languages().items()}}

    def observe(self) -> Any:
        """The fingerprints of the sources, in their order."""
        return [ref.make().observe() for ref in self.settings.sources]

    def work(self, inputs: Inputs) -> float:
        """Bytes that would be read (each source is listed, none is read)."""
        total, num_files = 0, 0
        for ref in self.settings.sources:
            made = ref.make()
            if gives_rows(made):
                size = sum(piece.bytes for piece in made.pieces())
                total, num_files = total + size, num_files + -(-size // ROW_BYTES)
                continue
            expected = made.expected() if hasattr(made, "expected") else None
            if expected is not None:
                total, num_files = total + expected[0], num_files + expected[1]
                continue
            for repository in made.repositories():
                sizes = [item.bytes for item in made.files(repository) if isinstance(item, SourceFile)]
                total, num_files = total + sum(sizes), num_files + len(sizes)
        share = min(1.0, (self.settings.max_files or num_files or 1) / max(1, num_files))
        return float(total) * share

    def assume(self, work: float) -> Estimate:
        """Reading, hashing and compressing: some 20 MB/s on one core."""
        return Estimate(seconds=1.0 + work / 20e6, ram_mb=700, disk_mb=work / 4e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Plan (or take up the plan of an interrupted run), read the shards and the tables, write what there is.

        Raises:
            BurilError: D007 when nothing is left to learn from; D001 to D029 from the sources; S009 for a dead worker.
        """
        # a source's cache may have been emptied since the plan was made: then all is listed, and fetched, once more
        planned = (out.scratch / _plan.FILES).exists()
        if not planned or not all(item.root.is_dir() for item in _plan.read(out.scratch).repositories):
            self._plan(out)
        plan = _plan.read(out.scratch)
        files, tables = self._jobs(plan, out)
        waiting = [job for job in files if not out.has(_shard(job.number))]
        unread = [job for job in tables if not job.done.exists()]
        total = sum(job.bytes for job in files) + sum(job.bytes for job in tables)
        done = total - sum(job.bytes for job in waiting) - sum(job.bytes for job in unread)
        out.path(_shard(0))
        workers = self.settings.workers
        for num_bytes in chain(
            each(_read_shard, waiting, workers, stage=self.name),
            each(_pieces.read_pieces, unread, workers, stage=self.name),
        ):
            done += num_bytes
            out.progress(done, total, "bytes")
        return self._finish(out, plan, tables)

    def _jobs(self, plan: Plan, out: Output) -> tuple[list[_Job], list[_pieces.Job]]:
        """What is to be read: shards of files, and pieces of tables."""
        refs, limit = self.settings.sources, self.settings.max_file_bytes
        files = []
        for number, some in enumerate(plan.shards):
            named = {item.repository for item in some}
            repositories = {index: plan.repositories[index] for index in named}
            of = {index: refs[plan.source_of[index]] for index in named}
            files.append(_Job(out.folder, out.scratch, number, some, repositories, of, limit))
        tables = [
            _pieces.Job(out.scratch, number, refs[cuts[0].source], cuts, limit, self.settings.shard_bytes)
            for number, cuts in enumerate(plan.jobs)
        ]
        return files, tables

    def _plan(self, out: Output) -> None:
        """List all sources, draw the sample if one is asked for, and write the plan."""
        plan, made = Plan(), [ref.make() for ref in self.settings.sources]
        seen: set[tuple[str, str]] = set()
        for number, source in enumerate(made):
            if gives_rows(source):
                plan.cuts.extend(Cut(number, piece) for piece in source.pieces())
            else:
                for repository in source.repositories():
                    plan.repositories.append(repository)
                    plan.source_of.append(number)
                    for item in source.files(repository):
                        self._list(plan, item, seen)
                    out.progress(len(plan.repositories), 0, "repositories")
            for text in source.notes() if hasattr(source, "notes") else ():
                out.note(text)
        size = self.settings.max_files
        if size is not None and _plan.draw(plan, made, size, self.settings.max_file_bytes):
            self._say_sample(plan, out)
        plan.cut(self.settings.shard_bytes)
        _plan.write(out.scratch, plan)

    def _list(self, plan: Plan, item: SourceFile | Dropped, seen: set[tuple[str, str]]) -> None:
        """Plan a file of the last repository, or leave it out: too large, or another source gave this place before."""
        repository = plan.repositories[-1]
        if isinstance(item, Dropped):
            plan.dropped.append(item.row(repository.name, repository.commit))
        elif item.bytes > self.settings.max_file_bytes:
            why = Dropped(item.path, item.bytes, "too_large", str(item.bytes), license=item.license)
            plan.dropped.append(why.row(repository.name, repository.commit))
        elif (repository.name, item.path) in seen:
            plan.leave_out(Planned(len(plan.repositories) - 1, item), "same_place", "list")
        else:
            seen.add((repository.name, item.path))
            plan.files.append(Planned(len(plan.repositories) - 1, item))

    @staticmethod
    def _say_sample(plan: Plan, out: Output) -> None:
        drawn = sum(len(cut.drawn or ()) for cut in plan.cuts)
        if drawn:
            out.note(_("a sample of {num_files} files").format(num_files=len(plan.files) + drawn))
            return
        named = {plan.repositories[item.repository].name for item in plan.files}
        out.note(
            _("a sample of {num_files} files from {num_repositories} repositories").format(
                num_files=len(plan.files), num_repositories=len(named)
            )
        )

    def _finish(self, out: Output, plan: Plan, tables: list[_pieces.Job]) -> Metrics:
        ranks = [cuts[0].source for cuts in plan.jobs]
        written = _pieces.Written(
            out.scratch, out.folder, plan.shards, plan.repositories, plan.source_of, tables, ranks
        )
        num_shards = _pieces.settle(written) if tables else len(plan.shards)
        paths = [out.scratch / _plan.LISTED, *(out.scratch / _dropped(number) for number in range(len(plan.shards)))]
        if tables:
            paths += [out.scratch / _pieces.SAME_PLACE, *written.dropped()]
        dropped = pa.concat_tables([pq.read_table(path) for path in paths])
        dropped = dropped.sort_by([(name, "ascending") for name in ("repo", "path", "reason", "detail", "bytes")])
        reasons = dict(sorted(_counts(dropped["reason"])))
        tally = _Tally()
        for number in range(num_shards):
            out.rows[_shard(number)] = tally.add(out.folder / _shard(number))
        if not tally.files:
            raise BurilError(
                "D007",
                sources=", ".join(f"`{ref.name}`" for ref in self.settings.sources),
                num_dropped=len(dropped),
                reasons=", ".join(f"{name}: {count}" for name, count in Counter(reasons).most_common(3)) or "—",
            )
        write_table(out.path("dropped.parquet"), dropped)
        out.rows["dropped.parquet"] = dropped.num_rows
        entries = list(tally.entries(plan.repositories, self._origins(tables)))
        out.text("repositories.json", json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
        return {
            "files": tally.files.total(),
            "bytes": tally.bytes.total(),
            "repositories": len(tally.files),
            "languages": dict(sorted(tally.languages.items())),
            "dropped": reasons,
        }

    def _origins(self, tables: list[_pieces.Job]) -> str:
        """Where the rows of tables come from; "" where several sources gave some."""
        found = {job.ref.make().origin() for job in tables}
        return found.pop() if len(found) == 1 else ""


def _shard(number: int) -> str:
    return f"rows/{number:05d}.parquet"


def _dropped(number: int) -> str:
    return f"dropped-{number:05d}.parquet"


def _read_shard(job: _Job) -> int:
    """Read one shard and write its two tables, the rows last; gives the bytes of the files as listed."""
    rows: list[CodeFile] = []
    dropped: list[dict[str, Any]] = []
    for number, some in groupby(job.files, key=lambda item: item.repository):
        repository = job.repositories[number]
        for item in _read(job, repository, number, [planned.file for planned in some]):
            if isinstance(item, CodeFile):
                rows.append(item)
            else:
                dropped.append(item.row(repository.name, repository.commit))
    write_dropped(job.scratch / _dropped(job.number), dropped)
    write_rows(job.folder / _shard(job.number), rows)
    return job.bytes


def _read(job: _Job, repository: Repository, number: int, files: list[SourceFile]) -> Iterator[CodeFile | Dropped]:
    """Read some files of one repository, from its folder or through its source."""
    source = job.refs[number].make()
    if not hasattr(source, "contents"):
        yield from (sources.read(repository, file, job.max_bytes) for file in files)
        return
    with closing(source.contents(repository, files, job.max_bytes + 1)) as contents:
        for file, found in zip(files, contents, strict=True):
            if isinstance(found, Dropped):
                yield found
            else:
                yield sources.made(repository, file, found, job.max_bytes)


def _counts(column: pa.ChunkedArray) -> list[tuple[str, int]]:
    return [(item["values"], item["counts"]) for item in column.value_counts().to_pylist()]


class _Tally:
    """What was collected, by repository and by language, counted shard by shard."""

    def __init__(self) -> None:
        self.files, self.bytes, self.languages = Counter[str](), Counter[str](), Counter[str]()
        self._said: dict[str, set[tuple[str, str]]] = {}
        self._dirty: set[str] = set()

    def add(self, path: Path) -> int:
        """Count the rows of a shard; gives how many there are."""
        columns = ["repo", "commit", "language", "license"]
        table = pq.read_table(path, columns=[*columns, "bytes"])
        groups = table.group_by(columns, use_threads=False).aggregate([("bytes", "sum"), ("bytes", "count")])
        for row in groups.to_pylist():
            self.files[row["repo"]] += row["bytes_count"]
            self.bytes[row["repo"]] += row["bytes_sum"]
            self.languages[row["language"]] += row["bytes_count"]
            if row["commit"].endswith("+dirty"):
                self._dirty.add(row["repo"])
            said = self._said.setdefault(row["repo"], set())
            if len(said) < 3:
                said.add((row["commit"], row["license"]))
        return int(table.num_rows)

    def entries(self, repositories: list[Repository], origin: str) -> Iterator[dict[str, Any]]:
        """What `repositories.json` says: one entry a repository, those without a collected file too.

        Of a repository that only tables name, commit and licence are told where all its rows agree.
        """
        first: dict[str, Repository] = {}
        for item in repositories:
            first.setdefault(item.name, item)
        for name in sorted({*first, *self.files}):
            said = self._said.get(name, set())
            commits, licenses = {commit for commit, _ in said}, {stated for _, stated in said}
            entry = first.get(name) or Repository(
                name,
                "rows",
                Path(),
                origin,
                commits.pop() if len(commits) == 1 else "",
                licenses.pop() if len(licenses) == 1 else "",
            )
            dirty = "+dirty" if name in first and name in self._dirty else ""
            yield {
                "repo": name,
                "url": entry.url,
                "commit": entry.commit + dirty,
                "license": entry.license,
                "files": self.files[name],
                "bytes": self.bytes[name],
                "kind": entry.kind,
                "signals": dict(sorted(entry.signals.items())),
            }
