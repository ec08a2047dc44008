"""The plan of `collect`: everything that will be read, in shards, written down before the first byte is read.

Listed files are sorted by repository and path and cut into shards. Pieces of tables stay in the order of their source,
several small ones to a job. The plan is kept in the scratch folder, so an interrupted run goes on with the very same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from buril.code.codefile import CodeFile, write_dropped, write_table
from buril.core.artifact import atomic
from buril.data.source import Dropped, Piece, Repository, RowSource, SourceFile

FILES, PIECES, REPOSITORIES, LISTED = "plan.parquet", "pieces.parquet", "repositories.json", "listed.parquet"
_FILES_SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("repository", pa.int32()),
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("license", pa.string()),
        ("blob", pa.string()),
    ]
)
_PIECES_SCHEMA = pa.schema(
    [
        ("job", pa.int32()),
        ("source", pa.int32()),
        ("place", pa.string()),
        ("first", pa.int64()),
        ("end", pa.int64()),
        ("bytes", pa.int64()),
        ("until", pa.int64()),
        ("drawn", pa.list_(pa.int64())),
    ]
)
SAMPLE_REPOSITORIES = 20
"""A bounded collect draws on at least this many repositories, where there are so many."""
SAMPLE_LEAST = 8
"""… but takes no fewer files than this from each."""
SURVEY = 4
"""A sample of tables looks at this many times as many rows as it draws, and at no more."""


class Planned(NamedTuple):
    """A file to read: the repository by its number, the file as listed."""

    repository: int
    file: SourceFile


class Cut(NamedTuple):
    """A piece to read: of which source (by number), and of a sample the rows drawn among the first `until`."""

    source: int
    piece: Piece
    until: int | None = None
    drawn: tuple[int, ...] | None = None


@dataclass
class Plan:
    """What will be read. `source_of` says for each repository which source gave it; `shards` and `jobs` are its cuts.

    `dropped` are rows of `dropped.parquet` for what was left out while listing; it is empty in a plan read back.
    """

    repositories: list[Repository] = field(default_factory=list)
    source_of: list[int] = field(default_factory=list)
    files: list[Planned] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    shards: list[tuple[Planned, ...]] = field(default_factory=list)
    jobs: list[tuple[Cut, ...]] = field(default_factory=list)

    def leave_out(self, item: Planned, reason: str, step: str) -> None:
        """Write down that a listed file is left out."""
        repository = self.repositories[item.repository]
        why = Dropped(item.file.path, item.file.bytes, reason, "", step, license=item.file.license)
        self.dropped.append(why.row(repository.name, repository.commit))

    def cut(self, shard_bytes: int) -> None:
        """Put the files in order and cut everything into shards and jobs of at most `shard_bytes`, where it can be."""
        self.files.sort(key=lambda item: (self.repositories[item.repository].name, item.file.path))
        self.shards = [tuple(some) for some in _filled(self.files, [i.file.bytes for i in self.files], shard_bytes)]
        self.jobs = []
        for number in sorted({item.source for item in self.cuts}):
            own = [item for item in self.cuts if item.source == number]
            self.jobs.extend(tuple(some) for some in _filled(own, [i.piece.bytes for i in own], shard_bytes))


def _filled(items: Sequence[Any], sizes: Sequence[int], limit: int) -> Iterator[list[Any]]:
    """Runs of items whose sizes add up to at most `limit`; one that is larger stands alone."""
    run: list[Any] = []
    filled = 0
    for item, size in zip(items, sizes, strict=True):
        if run and filled + size > limit:
            yield run
            run, filled = [], 0
        run.append(item)
        filled += size
    if run:
        yield run


def draw(plan: Plan, sources: Sequence[Any], size: int, max_bytes: int) -> bool:
    """Reduce a plan to a sample of `size` files, from listed files and tables alike; False when there are no more.

    Of tables, pieces are looked at in the order of a hash of their names until there is enough to draw from; what was
    not looked at is left out as a whole.
    """
    names = [item.name for item in plan.repositories]
    looked = _survey(plan, sources, names, (size, max_bytes))
    known = sum(len(rows) for _, rows, _ in looked.values())
    whole = len(looked) == len(plan.cuts) and all(until is None for _, _, until in looked.values())
    if whole and len(plan.files) + known <= size:
        return False
    found = [item for _, rows, _ in looked.values() for item in rows]
    chosen = sample([*plan.files, *found], names, size)
    for item in plan.files:
        if item not in chosen:
            plan.leave_out(item, "max_files", "sample")
    plan.files = [item for item in plan.files if item in chosen]
    cuts = []
    for index, cut in enumerate(plan.cuts):
        if index in looked:
            _, rows, until = looked[index]
            drawn = tuple(position for item, position in rows.items() if item in chosen)
            cuts.append(cut._replace(until=until, drawn=drawn))
        else:
            why = Dropped(cut.piece.place, cut.piece.bytes, "max_files", f"from {cut.piece.first}", "sample")
            plan.dropped.append(why.row("", ""))
    plan.cuts = cuts
    return True


def _survey(
    plan: Plan, sources: Sequence[Any], names: list[str], bounds: tuple[int, int]
) -> dict[int, tuple[Cut, dict[Planned, int], int | None]]:
    """What some pieces hold: cut number → the cut, its rows with their positions, and how far it was read."""
    size, max_bytes = bounds
    numbers = {name: number for number, name in enumerate(names)}
    seen = {(names[item.repository], item.file.path) for item in plan.files}
    found: dict[int, tuple[Cut, dict[Planned, int], int | None]] = {}
    num_rows = 0
    for index in sorted(range(len(plan.cuts)), key=lambda i: _hash(f"{plan.cuts[i].piece[:3]}")):
        if num_rows >= SURVEY * size:
            break
        cut = plan.cuts[index]
        source: RowSource = sources[cut.source]
        rows: dict[Planned, int] = {}
        until = None
        for position, item in enumerate(source.rows(cut.piece, max_bytes)):
            if num_rows >= SURVEY * size:
                until = position
                break
            if isinstance(item, CodeFile) and (item.repo, item.path) not in seen:
                seen.add((item.repo, item.path))
                if item.repo not in numbers:
                    numbers[item.repo] = len(names)
                    names.append(item.repo)
                rows[Planned(numbers[item.repo], SourceFile(item.path, item.bytes))] = position
                num_rows += 1
        found[index] = (cut, rows, until)
    return found


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


def write(scratch: Path, plan: Plan) -> None:
    """Write a plan down; `plan.parquet` comes last, so it is there only when all of it is."""
    write_dropped(scratch / LISTED, plan.dropped)
    with atomic(scratch / REPOSITORIES) as temporary:
        pairs = zip(plan.repositories, plan.source_of, strict=True)
        said = [{**vars(item), "signals": dict(item.signals), "root": str(item.root), "of": of} for item, of in pairs]
        temporary.write_text(json.dumps(said), encoding="utf-8")
    pieces = [
        {"job": job, "source": item.source, **item.piece._asdict(), "until": item.until, "drawn": item.drawn}
        for job, cuts in enumerate(plan.jobs)
        for item in cuts
    ]
    write_table(scratch / PIECES, pa.Table.from_pylist(pieces, schema=_PIECES_SCHEMA))
    files = [
        {"shard": shard, "repository": item.repository, **item.file._asdict()}
        for shard, some in enumerate(plan.shards)
        for item in some
    ]
    write_table(scratch / FILES, pa.Table.from_pylist(files, schema=_FILES_SCHEMA))


def read(scratch: Path) -> Plan:
    """The plan that `write` wrote, but for what was left out while listing."""
    plan = Plan()
    for said in json.loads((scratch / REPOSITORIES).read_text(encoding="utf-8")):
        plan.source_of.append(said.pop("of"))
        plan.repositories.append(Repository(**{**said, "root": Path(said["root"])}))
    shards: dict[int, list[Planned]] = {}
    for row in pq.read_table(scratch / FILES).to_pylist():
        file = SourceFile(row["path"], row["bytes"], row["license"], row["blob"])
        shards.setdefault(row["shard"], []).append(Planned(row["repository"], file))
    plan.shards = [tuple(some) for some in shards.values()]
    jobs: dict[int, list[Cut]] = {}
    for row in pq.read_table(scratch / PIECES).to_pylist():
        piece = Piece(row["place"], row["first"], row["end"], row["bytes"])
        drawn = None if row["drawn"] is None else tuple(row["drawn"])
        jobs.setdefault(row["job"], []).append(Cut(row["source"], piece, row["until"], drawn))
    plan.jobs = [tuple(some) for some in jobs.values()]
    return plan
