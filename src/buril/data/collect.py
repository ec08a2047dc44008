"""Collect: read the source code of all sources into rows, with repository, commit, path, language and licence.

First everything is listed and the shards are planned; then each shard is read on its own. The plan is kept in the
scratch folder, so an interrupted run goes on with the very same shards.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from buril.code.codefile import CodeFile, write_dropped, write_rows, write_table
from buril.code.language import languages
from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.core.estimate import Estimate
from buril.core.plugins import PluginKind, Ref
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.core.workers import each
from buril.data import source as sources
from buril.data.source import Dropped, Repository, Source, SourceFile

SHARD_BYTES = 64_000_000
PLAN, PLAN_REPOSITORIES, LISTED = "plan.parquet", "repositories.json", "listed.parquet"
_PLAN_SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("repository", pa.int32()),
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("license", pa.string()),
        ("blob", pa.string()),
    ]
)
USUAL_FILE_BYTES = 5_000
"""The size of a source file, where only the size of all of them is known."""
SAMPLE_REPOSITORIES = 20
"""A bounded collect draws on at least this many repositories, where there are so many."""
SAMPLE_LEAST = 8
"""… but takes no fewer files than this from each."""


class Planned(NamedTuple):
    """A file to read: the repository by its number, the file as listed."""

    repository: int
    file: SourceFile


@dataclass(frozen=True)
class _Job:
    """One shard to read: its number, the files in order, and the repositories they name."""

    folder: Path
    scratch: Path
    number: int
    files: tuple[Planned, ...]
    repositories: dict[int, Repository]
    max_bytes: int


class Collect(Stage):
    """Rows of source code from folders, repositories and packages; whatever is left out is in `dropped.parquet`."""

    name: ClassVar[str] = "collect"
    version: ClassVar[int] = 2
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
            made: Source = ref.make()
            if hasattr(made, "work"):  # a server told its sizes: nothing is fetched for an estimate
                told = int(made.work())
                total, num_files = total + told, num_files + told // USUAL_FILE_BYTES
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
        """Plan (or take up the plan of an interrupted run), read the shards, write the tables.

        Raises:
            BurilError: D007 when nothing is left to learn from; D001 to D008 from the sources; S009 for a dead worker.
        """
        # a source's cache may have been emptied since the plan was made: then all is listed, and fetched, once more
        if not (out.scratch / PLAN).exists() or not all(item.root.is_dir() for item in _read_plan(out.scratch)[0]):
            self._plan(out)
        repositories, shards = _read_plan(out.scratch)
        jobs = [
            _Job(
                out.folder,
                out.scratch,
                number,
                files,
                {item.repository: repositories[item.repository] for item in files},
                self.settings.max_file_bytes,
            )
            for number, files in enumerate(shards)
        ]
        total = sum(item.file.bytes for job in jobs for item in job.files)
        waiting = [job for job in jobs if not out.has(_shard(job.number))]
        done = total - sum(item.file.bytes for job in waiting for item in job.files)
        out.path(_shard(0))
        for num_bytes in each(_read_shard, waiting, self.settings.workers, stage=self.name):
            done += num_bytes
            out.progress(done, total, "bytes")
        return self._finish(out, repositories, len(jobs))

    def _plan(self, out: Output) -> None:
        """List all sources and write the plan; `plan.parquet` comes last, so it is there only when all of it is."""
        repositories: list[Repository] = []
        files: list[Planned] = []
        dropped: list[dict[str, Any]] = []
        seen: set[tuple[str, str]] = set()
        for ref in self.settings.sources:
            made: Source = ref.make()
            for repository in made.repositories():
                repositories.append(repository)
                for item in made.files(repository):
                    kept = self._judge(item, seen, repository.name)
                    if isinstance(kept, Dropped):
                        dropped.append(kept.row(repository.name, repository.commit))
                    else:
                        files.append(Planned(len(repositories) - 1, kept))
                out.progress(len(repositories), 0, "repositories")
            for text in made.notes() if hasattr(made, "notes") else ():
                out.note(text)
        if self.settings.max_files is not None and len(files) > self.settings.max_files:
            chosen = sample(files, [item.name for item in repositories], self.settings.max_files)
            unchosen = [item for item in files if item not in chosen]
            dropped.extend(_not_drawn(item, repositories[item.repository]) for item in unchosen)
            files = [item for item in files if item in chosen]
            out.note(
                _("a sample of {num_files} files from {num_repositories} repositories").format(
                    num_files=len(files), num_repositories=len({repositories[item.repository].name for item in files})
                )
            )
        files.sort(key=lambda item: (repositories[item.repository].name, item.file.path))
        _write_plan(out.scratch, repositories, files, dropped, self.settings.shard_bytes)

    def _judge(self, item: SourceFile | Dropped, seen: set[tuple[str, str]], repo: str) -> SourceFile | Dropped:
        """A listed file, or why it is left out: too large, or another source gave this place before."""
        if isinstance(item, Dropped):
            return item
        if item.bytes > self.settings.max_file_bytes:
            return Dropped(item.path, item.bytes, "too_large", str(item.bytes), license=item.license)
        if (repo, item.path) in seen:
            return Dropped(item.path, item.bytes, "same_place", license=item.license)
        seen.add((repo, item.path))
        return item

    def _finish(self, out: Output, repositories: list[Repository], num_shards: int) -> Metrics:
        tables = [out.scratch / LISTED, *(out.scratch / _dropped(number) for number in range(num_shards))]
        dropped = pa.concat_tables([pq.read_table(path) for path in tables])
        dropped = dropped.sort_by([("repo", "ascending"), ("path", "ascending"), ("reason", "ascending")])
        reasons = Counter(dropped["reason"].to_pylist())
        columns = [
            pq.read_table(out.folder / _shard(number), columns=["repo", "commit", "language", "bytes"])
            for number in range(num_shards)
        ]
        rows = pa.concat_tables(columns).to_pylist() if columns else []
        if not rows:
            raise BurilError(
                "D007",
                sources=", ".join(f"`{ref.name}`" for ref in self.settings.sources),
                num_dropped=len(dropped),
                reasons=", ".join(f"{name}: {count}" for name, count in reasons.most_common(3)) or "—",
            )
        for number, table in enumerate(columns):
            out.rows[_shard(number)] = table.num_rows
        write_table(out.path("dropped.parquet"), dropped)
        out.rows["dropped.parquet"] = dropped.num_rows
        out.text("repositories.json", json.dumps(_summary(repositories, rows), indent=1, ensure_ascii=False) + "\n")
        return {
            "files": len(rows),
            "bytes": sum(row["bytes"] for row in rows),
            "repositories": len({row["repo"] for row in rows}),
            "languages": dict(sorted(Counter(row["language"] for row in rows).items())),
            "dropped": dict(sorted(reasons.items())),
        }


def sample(files: Iterable[Planned], names: list[str], size: int) -> set[Planned]:
    """A sample of `size` files that is diverse, and stable when sources grow or shrink.

    Repositories come in the order of a hash of their names, each with an equal quota (a twentieth of the sample, so
    that a split which keeps repositories together has some twenty to deal out); when they can't fill it, the quota
    doubles. Within a repository files come in the order of a hash of their last two path components: copies of
    vendored code have these in common, so both copies are drawn or neither, and deduplication has as much to find in
    a sample as in the whole.
    """
    by_name: dict[str, list[Planned]] = {}
    for item in files:
        by_name.setdefault(names[item.repository], []).append(item)
    order = sorted(by_name, key=lambda name: (_hash(name), name))
    for name in order:
        by_name[name].sort(key=lambda item: (_hash("/".join(item.file.path.split("/")[-2:])), item.file.path))
    chosen: set[Planned] = set()
    quota = max(SAMPLE_LEAST, size // SAMPLE_REPOSITORIES)
    taken = dict.fromkeys(order, 0)
    while len(chosen) < size and any(taken[name] < len(by_name[name]) for name in order):
        for name in order:
            some = by_name[name][taken[name] : min(quota, taken[name] + size - len(chosen))]
            chosen.update(some)
            taken[name] += len(some)
        quota *= 2
    return chosen


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _not_drawn(item: Planned, repository: Repository) -> dict[str, Any]:
    dropped = Dropped(item.file.path, item.file.bytes, "max_files", "", "sample", license=item.file.license)
    return dropped.row(repository.name, repository.commit)


def _shard(number: int) -> str:
    return f"rows/{number:05d}.parquet"


def _dropped(number: int) -> str:
    return f"dropped-{number:05d}.parquet"


def _write_plan(
    scratch: Path, repositories: list[Repository], files: list[Planned], dropped: list[dict[str, Any]], shard_bytes: int
) -> None:
    rows: list[dict[str, Any]] = []
    shard, filled = 0, 0
    for item in files:
        if filled and filled + item.file.bytes > shard_bytes:
            shard, filled = shard + 1, 0
        filled += item.file.bytes
        rows.append({"shard": shard, "repository": item.repository, **item.file._asdict()})
    write_dropped(scratch / LISTED, dropped)
    with atomic(scratch / PLAN_REPOSITORIES) as temporary:
        temporary.write_text(
            json.dumps([{**vars(item), "root": str(item.root)} for item in repositories]), encoding="utf-8"
        )
    write_table(scratch / PLAN, pa.Table.from_pylist(rows, schema=_PLAN_SCHEMA))


def _read_plan(scratch: Path) -> tuple[list[Repository], list[tuple[Planned, ...]]]:
    raw = json.loads((scratch / PLAN_REPOSITORIES).read_text(encoding="utf-8"))
    repositories = [Repository(**{**item, "root": Path(item["root"])}) for item in raw]
    shards: list[list[Planned]] = []
    for row in pq.read_table(scratch / PLAN).to_pylist():
        if row["shard"] == len(shards):
            shards.append([])
        shards[-1].append(
            Planned(row["repository"], SourceFile(row["path"], row["bytes"], row["license"], row["blob"]))
        )
    return repositories, [tuple(shard) for shard in shards]


def _read_shard(job: _Job) -> int:
    """Read one shard and write its two tables, the rows last; gives the bytes of the files as listed."""
    rows: list[CodeFile] = []
    dropped: list[dict[str, Any]] = []
    for number, listed in job.files:
        repository = job.repositories[number]
        item = sources.read(repository, listed, job.max_bytes)
        if isinstance(item, CodeFile):
            rows.append(item)
        else:
            dropped.append(item.row(repository.name, repository.commit))
    write_dropped(job.scratch / _dropped(job.number), dropped)
    write_rows(job.folder / _shard(job.number), rows)
    return sum(item.file.bytes for item in job.files)


def _summary(repositories: list[Repository], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What `repositories.json` says: one entry a repository, those without a collected file too."""
    files, num_bytes = Counter(row["repo"] for row in rows), Counter[str]()
    dirty = {row["repo"] for row in rows if row["commit"].endswith("+dirty")}
    for row in rows:
        num_bytes[row["repo"]] += row["bytes"]
    return list(_entries(repositories, files, num_bytes, dirty))


def _entries(
    repositories: list[Repository], files: Counter[str], num_bytes: Counter[str], dirty: set[str]
) -> Iterator[dict[str, Any]]:
    first: dict[str, Repository] = {}
    for item in repositories:
        first.setdefault(item.name, item)
    for name, item in sorted(first.items()):
        yield {
            "repo": name,
            "url": item.url,
            "commit": item.commit + ("+dirty" if name in dirty else ""),
            "license": item.license,
            "files": files[name],
            "bytes": num_bytes[name],
            "kind": item.kind,
            "signals": dict(sorted(item.signals.items())),
        }
