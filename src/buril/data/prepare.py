"""Prepare: clean and redact every kept file in one fused pass, with one parse a file, and note what was seen.

Rows are read a shard at a time by several processes; each row goes through the same list of steps
(`buril.data.step`). A step adds signals, verdicts and redactions and edits the text; none deletes a row, so `select`
can say of every file why it was left out. What a row becomes depends on that row, the settings and the numbers that its
repository's placeholders have: nothing else, so a cache by content hash can stand in front of `_row`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BeforeValidator

from buril.code.codefile import from_table
from buril.code.language import languages
from buril.core.artifact import canonical
from buril.core.errors import BurilError, nearest
from buril.core.estimate import Estimate
from buril.core.plugins import PluginKind, Ref, plugin
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.core.workers import each
from buril.data import _scan
from buril.data._earlier import COLLECTED, index
from buril.data._pass import Done, Job, Number, kept_rows, num_rows, prepare_shard
from buril.data.step import Shared, Step
from buril.data.steps.generated import Generated
from buril.data.steps.quality import Quality
from buril.data.steps.secrets import digest
from buril.data.steps.syntax import Syntax
from buril.scanners import FAMILIES, PERSONAL, SECRETS, Family


def _known_rules(value: Any) -> Any:
    names = (value,) if isinstance(value, str) else value
    if isinstance(names, list | tuple):
        for name in names:
            if name not in FAMILIES:
                raise BurilError("D201", name=name, suggestion=nearest(str(name), list(FAMILIES)))
        return tuple(names)
    return value


class Prepare(Stage):
    """Cleans, redacts and judges the files that dedup kept."""

    name = "prepare"
    version = 2

    class Settings(BaseSettings):
        """What is done to each file."""

        comments: Literal["none", "noise", "all"] = "noise"
        """Comments to remove. `noise`: licence headers, switched-off code, banners, to-do notes; `all`: every one that
        no tool reads; `none`: keep them as they are. Docstrings always stay."""
        indent: Literal["normalise", "keep"] = "normalise"
        """`normalise`: spaces for tabs where the language allows it, no white space at line ends, LF, one line break at
        the end. What stands inside literals is never touched."""
        redact: Annotated[tuple[Family, ...], BeforeValidator(_known_rules)] = (SECRETS, PERSONAL)
        """What to replace by placeholders. `secrets`: tokens, keys, passwords. `personal`: what identifies a person:
        addresses, telephones, names after their marks, cards, accounts, the numbers of nine countries; or parts of it:
        `gdpr`, `latam`, `cards`, `mexico`, `argentina`, `brazil`, `chile`, `colombia`, `ecuador`, `peru`, `spain`,
        `uruguay`."""
        scan: Annotated[tuple[Ref, ...], PluginKind("scanner")] = ()
        """Scanners whose findings are noted on each row, on the text as it is after cleaning."""
        steps: Annotated[tuple[Ref, ...], PluginKind("step")] = ()
        """Further steps, run after buril's own in this order, on the same tree."""
        generated: Generated.Settings = Generated.Settings()
        """Thresholds for files that no person wrote."""
        quality: Quality.Settings = Quality.Settings()
        """Thresholds for texts that are no code worth learning from."""
        syntax: Syntax.Settings = Syntax.Settings()
        """How much of a file may be unreadable to its grammar."""
        workers: int = runtime(0, ge=0)
        """Processes, a shard each; 0 for one a processor. Each needs about 500 MB."""

    settings: Settings

    def needs(self) -> tuple[str, ...]:
        """Reads what was collected, and which of it dedup kept."""
        return ("collect", "dedup")

    def chain(self) -> tuple[Ref, ...]:
        """The steps in order: first what can reject a row without a tree, then what shares the tree.

        Raises:
            BurilError: D203 when `steps` names one that runs anyway.
        """
        told = self.settings
        chosen: list[tuple[str, dict[str, Any]]] = [
            ("language", {}),
            ("generated", dict(told.generated)),
            ("quality", dict(told.quality)),
        ]
        if told.indent == "normalise":
            chosen.append(("newlines", {}))
        chosen.append(("syntax", dict(told.syntax)))
        chosen.append(("encoding", {}))
        if told.comments != "none":
            chosen.append(("comments", {"remove": told.comments}))
        if told.redact:
            chosen.append(("secrets", {"rules": told.redact}))
        if told.indent == "normalise":
            chosen.append(("indent", {}))
        own = [_ref(name, values) for name, values in chosen]
        for extra in told.steps:
            if extra.name in dict(chosen):
                raise BurilError("D203", name=extra.name)
        return (*own, *told.steps)

    def parts(self) -> dict[str, int]:
        """Versions of the steps, the scanners and the languages' facts."""
        used = [(ref.kind, ref.name) for ref in (*self.chain(), *self.settings.scan)]
        used += [("scanner", "secrets")] if self.settings.redact else []
        found = {f"{kind}:{name}": int(plugin(kind, name).version) for kind, name in used}
        return {**found, **{f"language:{name}": facts.version for name, facts in languages().items()}}

    def observe(self) -> Any:
        """Versions of the grammars, which decide what a tree looks like, and of the programs that scan."""
        from importlib.metadata import version

        grammars = {package: version(package) for package in ("tree-sitter", "tree-sitter-language-pack")}
        return {**grammars, **_scan.observed(self.settings.scan)}

    def assume(self, work: float) -> Estimate:
        """Some 4 MB/s of code a process, which is about 1 MB/s of what the store holds compressed."""
        return Estimate(seconds=1 + work / 1e6, ram_mb=500, disk_mb=work / 1e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write `rows/NNNNN.parquet`, one for each shard of `collect`, with the rows that dedup kept."""
        jobs = self._jobs(inputs, out)
        waiting = [job for job in jobs if not out.has(f"rows/{job.target.name}")]
        total = sum(num_rows(job.shard) for job in jobs)
        left_out = sum(num_rows(job.shard) for job in jobs) - sum(num_rows(job.shard) for job in waiting)
        if waiting:
            _scan.check(self.settings.scan)
        waiting = _numbered(waiting, jobs, self.settings.workers)
        earlier = index(out.earlier, out.scratch / "earlier") if waiting and out.earlier else None
        speeds = self._prepare([job._replace(earlier=earlier) for job in waiting], out, left_out, total)
        out.text("logs/speed.jsonl", "".join(canonical(item._asdict()).decode() + "\n" for item in speeds))
        collected = _signal_names([job.shard for job in jobs])
        return {**_metrics(out, [job.target for job in jobs]), COLLECTED: collected}

    def _prepare(self, waiting: Sequence[Job], out: Output, done: int, total: int) -> list[Done]:
        """Do the shards that wait and say how far it is, with what was refused so far."""
        speeds: list[Done] = []
        dropped: Counter[str] = Counter()
        try:
            if len(waiting) == 1:
                speeds.append(
                    prepare_shard(
                        waiting[0], lambda rows, refused: out.progress(done + rows, total, "files", dropped=refused)
                    )
                )
            else:
                for speed in each(prepare_shard, waiting, self.settings.workers, stage=self.name):
                    speeds.append(speed)
                    dropped.update(speed.dropped)
                    done += num_rows(waiting[0].shard.with_name(speed.shard))
                    out.progress(done, total, "files", dropped=dict(dropped))
        except MemoryError as problem:
            raise BurilError("S008", stage=self.name) from problem
        out.progress(total, total, "files", dropped=dict(sum((Counter(item.dropped) for item in speeds), Counter())))
        if reused := sum(item.reused for item in speeds):
            out.note(_("{num_files} files are taken over from an earlier run").format(num_files=reused))
        return sorted(speeds, key=lambda item: item.shard)

    def _jobs(self, inputs: Inputs, out: Output) -> list[Job]:
        """One job a shard.

        Raises:
            BurilError: D202 when dedup's rows are not collect's.
        """
        duplicates = inputs["dedup"].path("duplicates.parquet")
        first, jobs, steps = 0, [], self.chain()
        for ref in steps:
            ref.make()  # what a step compiles once a process (the patterns of redaction), forked workers inherit
        for shard in inputs["collect"].files("rows/*.parquet"):
            target, marks = out.path(f"rows/{shard.name}"), out.scratch / f"{shard.stem}.at"
            jobs.append(Job(shard, duplicates, first, steps, self.settings.scan, {}, target, marks))
            first += num_rows(shard)
        if first != num_rows(duplicates):
            raise BurilError("D202", collected=first, judged=num_rows(duplicates))
        return jobs


def _ref(name: str, values: dict[str, Any]) -> Ref:
    return Ref(kind="step", name=name, settings=plugin("step", name).Settings.model_validate(values))


def _numbered(waiting: list[Job], jobs: Sequence[Job], workers: int) -> list[Job]:
    """Jobs with the numbers of those repositories whose rows lie in several shards, which must be known to all.

    Only digests of values leave a worker.
    """
    if not waiting or not any(ref.name == "secrets" for ref in waiting[0].steps):
        return waiting
    repos = [set(pq.read_table(job.shard, columns=["repo"])["repo"].unique().to_pylist()) for job in jobs]
    times = Counter(repo for found in repos for repo in found)
    split = frozenset(repo for repo, count in times.items() if count > 1)
    asked = [job for job, found in zip(jobs, repos, strict=True) if found & split]
    values = dict(each(partial(_values, repos=split), asked, workers, stage="prepare"))
    given: dict[Number, int] = {}
    last: Counter[tuple[str, str]] = Counter()
    for shard in sorted(values):
        for repo, rule, value in values[shard]:
            if (repo, rule, value) not in given:
                last[repo, rule] += 1
                given[repo, rule, value] = last[repo, rule]
    of_shard = {job.shard: found for job, found in zip(jobs, repos, strict=True)}
    return [
        job._replace(fixed={key: number for key, number in given.items() if key[0] in of_shard[job.shard]})
        for job in waiting
    ]


def _values(job: Job, repos: frozenset[str]) -> tuple[str, list[Number]]:
    """The shard's name and, in the order of its rows, the digests of what is to be redacted in these repositories."""
    steps: list[Step] = [ref.make() for ref in job.steps if ref.name in ("language", "newlines")]
    secrets = next(ref.make() for ref in job.steps if ref.name == "secrets")
    found: dict[Number, None] = {}
    for file in (file for table in kept_rows(job) for file in from_table(table)):
        if file.repo in repos:
            shared = Shared(file)
            for step in steps:
                step.apply(file, shared)
            for span in secrets.scanner.spans(shared.source, file.language):
                found[file.repo, span.rule, digest(shared.source, span)] = None
    return job.shard.name, list(found)


def _signal_names(shards: Sequence[Path]) -> list[str]:
    """The signals that collected rows have."""
    names: set[str] = set()
    for shard in shards:
        signals = pc.list_flatten(pq.read_table(shard, columns=["signals"])["signals"])
        names.update(pc.unique(pc.struct_field(signals, "name")).to_pylist())
    return sorted(names)


def _metrics(out: Output, targets: Sequence[Path]) -> Metrics:
    """Counts over all shards, read from what was written, so that a resumed run counts what it did before."""
    files = size = 0
    redactions: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    for target in targets:
        table = pq.read_table(target, columns=["bytes", "redactions", "verdicts", "findings"])
        out.rows[f"rows/{target.name}"] = table.num_rows
        files, size = files + table.num_rows, size + sum(table["bytes"].to_pylist())
        redactions.update(item["rule"] for row in table["redactions"].to_pylist() for item in row)
        verdicts.update(row[0]["reason"] for row in table["verdicts"].to_pylist() if row)
        findings.update(f"{item['scanner']}:{item['rule']}" for row in table["findings"].to_pylist() for item in row)
    return {
        "files": files,
        "mb": round(size / 1e6, 3),
        "rejected": sum(verdicts.values()),
        "redactions": dict(sorted(redactions.items())),
        "verdicts": dict(sorted(verdicts.items())),
        "findings": dict(sorted(findings.items())),
    }
