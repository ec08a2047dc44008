"""Select: which prepared files go on to the split. The only place where thresholds are applied.

Steps before it gave signals, findings and verdicts; here they become a decision, so that changing a threshold costs
seconds and not a new parse. Whatever was left out anywhere, from collect to here, stands in `dropped.parquet` with the
stage, the step, the reason and a detail: one row a file, its first reason.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BeforeValidator, Field

from buril.code.codefile import DROPPED_SCHEMA, SCHEMA, CodeFile, Finding, Verdict, from_table, write_table
from buril.code.license import allowed
from buril.core.artifact import Artifact
from buril.core.errors import BurilError, nearest
from buril.core.estimate import Estimate
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.data._candidates import Placed, write_pairs
from buril.scanners import INCONCLUSIVE, PARTIAL

PERMISSIVE = (
    "mit", "mit-0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "isc", "0bsd", "zlib", "unlicense", "cc0-1.0",
    "psf-2.0", "python-2.0", "bsl-1.0", "hpnd", "internal",
)  # fmt: skip
OPEN_ISSUE_AGE = "open_issue_age_days"
COVERAGE = "coverage"
Unknown = Literal["drop", "keep"]

_DAYS = {"d": 1, "w": 7, "m": 30, "y": 365}
_SELECTED = pa.schema(
    [
        ("row_id", pa.string()),
        ("repo", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("license", pa.string()),
        ("bytes", pa.int64()),
        ("shard", pa.int32()),
        ("index", pa.int32()),
    ]
)
_REASONS_SHOWN = 5
_SEVERITIES = ("high", "medium", "low")
_PAIR = "_pair"


def days(value: Any) -> Any:
    """An age as days: `180d`, `26w`, `6m` (30 days each), `1y`, or a plain number; anything else is left as it is.

    Example:
        `days("26w")` → `182`
    """
    found = re.fullmatch(r"\s*(\d+)\s*([dwmy])\s*", value) if isinstance(value, str) else None
    return int(found[1]) * _DAYS[found[2]] if found else value


class Findings(BaseSettings):
    """What becomes of a file in which a scanner found something, by severity.

    `pair` leaves the file out of what is learnt from and lists it in `pairs_candidates.parquet`, where training for
    security looks for its fix.
    """

    high: Literal["drop", "pair", "keep"] = "drop"
    """A finding of high severity; dropped by default: a model writes what it has read."""
    medium: Literal["drop", "pair", "keep"] = "keep"
    """A finding of medium severity; kept by default: most are matters of style or context."""
    low: Literal["drop", "pair", "keep"] = "keep"
    """A finding of low severity."""
    inconclusive: Literal["drop", "keep"] = "drop"
    """A file of which a scanner could read nothing; dropped by default: nobody knows what it holds."""
    partial: Literal["drop", "keep"] = "keep"
    """A file of which a scanner could not read some lines; kept by default: in C, macros make many such files."""

    def of(self, finding: Finding) -> str:
        """`drop`, `pair` or `keep`."""
        kind = finding.rule if finding.rule in (INCONCLUSIVE, PARTIAL) else finding.severity
        return str(getattr(self, kind, "keep"))


class Select(Stage):
    """Applies licences, languages, thresholds and the mixture; keeps a reason for every file left out."""

    name = "select"
    version = 2
    small: ClassVar[dict[str, Any]] = {"max_files": 400}

    class Settings(BaseSettings):
        """What a file must be to be learnt from."""

        languages: tuple[str, ...] | None = None
        """Languages to keep; none given: all."""
        licenses: tuple[str, ...] | None = PERMISSIVE
        """SPDX identifiers to allow, and `internal` for your own code. The default allows permissive licences alone;
        null allows every licence that is known."""
        unknown_license: Literal["drop", "keep"] = "drop"
        """Files whose licence nobody could tell. Dropped by default: no licence is no permission."""
        min_coverage: float | None = Field(None, ge=0, le=1)
        """Least share of lines that the repository's tests reach (signal `coverage`, 0 to 1)."""
        max_open_issue_age: Annotated[int | None, BeforeValidator(days)] = Field(None, ge=0)
        """Greatest age of the repository's oldest open issue: `180d`, `26w`, `6m`, `1y`, or days (signal
        `open_issue_age_days`)."""
        min: dict[str, float] = {}
        """Least value of any other signal: `{stars: 10}`. A file below is dropped."""
        max: dict[str, float] = {}
        """Greatest value of any other signal: `{parse_errors: 0.1}`. A file above is dropped."""
        unknown: Unknown | dict[str, Unknown] = "drop"
        """Files that lack a signal that a threshold asks for: one word for all of them, or one for each, such as
        `{coverage: drop, open_issue_age_days: keep}`; signals that are not named there are dropped."""
        findings: Findings = Findings()
        """What to do with files in which scanners found something, by severity."""
        ignore: tuple[str, ...] = ()
        """Reasons of prepare's verdicts that do not drop a file, e.g. `[minified]`."""
        mixture: dict[str, Annotated[float, Field(gt=0, le=1)]] = {}
        """Greatest share of the selected bytes a language may have (to within a file): `{javascript: 0.3}`."""
        max_files: int | None = Field(None, ge=1)
        """Most files to keep, drawn by the seed; none given: all."""
        max_bytes: int | None = Field(None, ge=1)
        """Most bytes to keep, drawn by the seed; none given: all."""
        seed: int = 0
        """Which files are drawn where the mixture or a maximum leaves some out."""

    settings: Settings

    def needs(self) -> tuple[str, ...]:
        """Reads what was collected, which are copies, and what prepare found."""
        return ("collect", "dedup", "prepare")

    def assume(self, work: float) -> Estimate:
        """It reads no text: some 100 MB/s."""
        return Estimate(seconds=1 + work / 100e6, ram_mb=300 + work / 5e6, disk_mb=1 + work / 100e6)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Write `selected.parquet`, `dropped.parquet`, `pairs_candidates.parquet` and `summary.json`."""
        before = [_dropped_by_collect(inputs["collect"]), _dropped_by_dedup(inputs["collect"], inputs["dedup"])]
        prepared = list(_prepared(inputs["prepare"]))
        self._check_signals(prepared, out)
        kept: list[Placed] = []
        pairs: list[Placed] = []
        dropped: list[dict[str, Any]] = []
        for item in prepared:
            # A pair is one only when nothing else speaks against the file.
            found = next(self._reasons(item.file), None) or self._finding(item.file, "pair")
            if found is None:
                kept.append(item)
                continue
            dropped.append(item.file.dropped(*found))
            if found[1].reason.endswith(_PAIR):
                pairs.append(item)
        kept = self._drawn(kept, dropped)
        dropped_table = pa.concat_tables([*before, pa.Table.from_pylist(dropped, schema=DROPPED_SCHEMA)])
        summary = _summary(kept, dropped_table)
        if not kept:
            raise self._nothing_left(prepared, dropped_table)
        self._write(out, kept, dropped_table, summary)
        write_pairs(out, pairs)
        self._warn_absent(kept, out)
        return {"files": len(kept), "mb": summary["selected"]["bytes"] / 1e6, "dropped": len(dropped_table)}

    def _reasons(self, file: CodeFile) -> Iterator[tuple[str, Verdict]]:
        """Why a file is left out (stage and verdict), in the order in which they count."""
        told = self.settings
        for verdict in file.verdicts:
            if verdict.reason not in told.ignore:
                yield "prepare", verdict
        if told.languages is not None and file.language.lower() not in {name.lower() for name in told.languages}:
            yield "select", Verdict("languages", "language", file.language)
        if not file.license:
            if told.unknown_license == "drop":
                yield "select", Verdict("licenses", "unknown_license")
        elif told.licenses is not None and not allowed(file.license, told.licenses):
            yield "select", Verdict("licenses", "license", file.license)
        if found := self._finding(file, "drop"):
            yield found
        for name, least in self._min().items():
            yield from self._threshold(file, name, least=least)
        for name, most in self._max().items():
            yield from self._threshold(file, name, most=most)

    def _finding(self, file: CodeFile, action: str) -> tuple[str, Verdict] | None:
        """The gravest finding to which an action applies, as a reason."""
        found = [item for item in file.findings if self.settings.findings.of(item) == action]
        if not found:
            return None
        finding = min(found, key=lambda item: (_SEVERITIES.index(item.severity), item.line))
        kind = finding.rule if finding.rule in (INCONCLUSIVE, PARTIAL) else finding.severity
        place = f"{finding.scanner} {finding.rule}{f' {finding.cwe}' if finding.cwe else ''}, line {finding.line}"
        return "select", Verdict("findings", f"finding_{kind}{_PAIR if action == 'pair' else ''}", place)

    def _threshold(
        self, file: CodeFile, name: str, *, least: float = float("-inf"), most: float = float("inf")
    ) -> Iterator[tuple[str, Verdict]]:
        value = file.signals.get(name)
        if value is None:
            if self._unknown(name) == "drop":
                yield "select", Verdict(name, "unknown_signal")
        elif value < least:
            yield "select", Verdict(name, "below_minimum", f"{value:g} < {least:g}")
        elif value > most:
            yield "select", Verdict(name, "above_maximum", f"{value:g} > {most:g}")

    def _unknown(self, name: str) -> Unknown:
        """What becomes of files that lack a signal."""
        told = self.settings.unknown
        return told.get(name, "drop") if isinstance(told, dict) else told

    def _min(self) -> dict[str, float]:
        given = {} if self.settings.min_coverage is None else {COVERAGE: self.settings.min_coverage}
        return given | self.settings.min

    def _max(self) -> dict[str, float]:
        age = self.settings.max_open_issue_age
        given = {} if age is None else {OPEN_ISSUE_AGE: float(age)}
        return given | self.settings.max

    def _check_signals(self, prepared: Sequence[Placed], out: Output) -> None:
        """A threshold on a signal that no file has is a slip of the pen, unless the unknown is to be kept."""
        known = {name for item in prepared for name in item.file.signals}
        told = self.settings.unknown
        for name in told if isinstance(told, dict) else ():
            if name not in self._min() and name not in self._max():
                known_names = sorted({*self._min(), *self._max()})
                raise BurilError("D042", signal=name, suggestion=nearest(name, known_names))
        asked = [("min", name) for name in self.settings.min] + [("max", name) for name in self.settings.max]
        for field, name in asked:
            if name in known or not prepared:
                continue
            if self._unknown(name) == "drop":
                raise BurilError("D103", name=field, signal=name, suggestion=nearest(name, sorted(known)))
            out.warn(_("no file has the signal `{signal}` that `select.{name}` names").format(name=field, signal=name))

    def _warn_absent(self, kept: Sequence[Placed], out: Output) -> None:
        present = {item.file.language.lower() for item in kept}
        absent = [name for name in self.settings.languages or () if name.lower() not in present]
        if absent:
            out.note(_("no file was selected of: {languages}").format(languages=", ".join(absent)))

    def _drawn(self, kept: list[Placed], dropped: list[dict[str, Any]]) -> list[Placed]:
        """Apply the mixture and the maxima: files leave in an order that the seed and the row's name decide."""
        room = _room(kept, self.settings.mixture)
        left_files, left_bytes = self.settings.max_files, self.settings.max_bytes
        chosen: set[str] = set()
        for item in sorted(kept, key=lambda item: _draw(item.file.row_id, self.settings.seed)):
            file, size = item.file, item.file.bytes
            if file.language in room and size > room[file.language]:
                dropped.append(file.dropped("select", Verdict("mixture", "mixture", file.language)))
            elif left_files is not None and left_files < 1:
                dropped.append(file.dropped("select", Verdict("max_files", "max_files")))
            elif left_bytes is not None and size > left_bytes:
                dropped.append(file.dropped("select", Verdict("max_bytes", "max_bytes")))
            else:
                chosen.add(file.row_id)
                if file.language in room:
                    room[file.language] -= size
                left_files = None if left_files is None else left_files - 1
                left_bytes = None if left_bytes is None else left_bytes - size
        return [item for item in kept if item.file.row_id in chosen]

    def _write(self, out: Output, kept: Sequence[Placed], dropped: pa.Table, summary: Mapping[str, Any]) -> None:
        rows = [
            {**{name: getattr(file, name) for name in _SELECTED.names[:6]}, "shard": shard, "index": place}
            for file, shard, place in kept
        ]
        write_table(out.path("dropped.parquet"), dropped)
        write_table(out.path("selected.parquet"), pa.Table.from_pylist(rows, schema=_SELECTED))
        out.text("summary.json", json.dumps(summary, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        out.rows.update({"dropped.parquet": len(dropped), "selected.parquet": len(rows)})

    def _nothing_left(self, prepared: Sequence[Placed], dropped: pa.Table) -> BurilError:
        """The error that says what took the files away and what to change."""
        counted = Counter(zip(dropped["step"].to_pylist(), dropped["reason"].to_pylist(), strict=True)).most_common()
        shown = ", ".join(f"{step}: {reason} {count}" for (step, reason), count in counted[:_REASONS_SHOWN])
        main = next((reason for (_step, reason), _count in counted), "")
        languages = ", ".join(sorted({item.file.language for item in prepared}))
        licenses = ", ".join(sorted({item.file.license for item in prepared} - {""}))
        hints = {
            "": _("nothing was collected: check the sources below `collect:`"),
            "language": _("set select.languages to some of: {found}").format(found=languages),
            "license": _("add the licences you may use to select.licenses; found: {found}").format(found=licenses),
            "unknown_license": _("if you may use this code, set select.unknown_license to keep"),
            "unknown_signal": _("set select.unknown to keep, or remove the threshold"),
            "finding_inconclusive": _(
                "set select.findings to {{inconclusive: keep}} to learn from what was not scanned"
            ).format(),
            "finding_high_pair": _(
                "select.findings: {{high: pair}} keeps files with findings for pairs alone"
            ).format(),
            "finding_high": _("set select.findings to {{high: keep}} to learn from code with findings").format(),
        }
        usual = _("loosen the threshold, or add the reason to select.ignore")
        total = len(dropped)
        return BurilError("D102", dropped=total, total=total, reasons=shown or "—", suggestion=hints.get(main, usual))


def _draw(row_id: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\0{row_id}".encode(), digest_size=16).digest()


def _room(kept: Sequence[Placed], mixture: Mapping[str, float]) -> dict[str, float]:
    """Bytes that each language of the mixture may have, so that its share of what is then left is not above its limit.

    Raises:
        BurilError: D104 when all languages there are have a limit and the limits add up to less than 1.
    """
    sizes: dict[str, float] = defaultdict(float)
    for item in kept:
        sizes[item.file.language] += item.file.bytes
    limits = {name: mixture[name] for name in sizes if name in mixture}
    if kept and len(limits) == len(sizes) and sum(limits.values()) < 1 - 1e-9:
        raise BurilError("D104", languages=", ".join(sorted(sizes)))
    held: set[str] = set()  # the languages that are cut down to their limit
    while True:
        free = sum(size for name, size in sizes.items() if name not in held)
        total = free / max(1e-9, 1 - sum(limits[name] for name in held))
        over = {name for name in limits if name not in held and sizes[name] > limits[name] * total}
        if not over:
            return {name: limits[name] * total for name in held}
        held |= over


def _prepared(prepare: Artifact) -> Iterator[Placed]:
    """All prepared files, without their text."""
    columns = [name for name in SCHEMA.names if name != "content"]
    for path in prepare.files("rows/*.parquet"):
        table = pq.read_table(path, columns=columns)
        table = table.append_column("content", pa.array([""] * len(table), type=pa.large_string()))
        for place, file in enumerate(from_table(table)):
            yield Placed(file, int(path.stem), place)


def _dropped_by_collect(collect: Artifact) -> pa.Table:
    path = collect.path("dropped.parquet")
    return pq.read_table(path, schema=DROPPED_SCHEMA) if path.exists() else DROPPED_SCHEMA.empty_table()


def _dropped_by_dedup(collect: Artifact, dedup: Artifact) -> pa.Table:
    """The rows that are copies, each naming the file that was kept in its stead."""
    names = ["row_id", "repo", "commit", "path", "language", "license", "bytes"]
    tables = [pq.read_table(path, columns=names) for path in collect.files("rows/*.parquet")]
    rows = pa.concat_tables(tables) if tables else SCHEMA.empty_table().select(names)
    copies = pq.read_table(dedup.path("duplicates.parquet"))
    place = dict(zip(copies["row_id"].to_pylist(), range(len(copies)), strict=True))
    left_out = pc.invert(copies["kept"])
    rows_out, copies_out = rows.filter(left_out), copies.filter(left_out)
    kept = rows.take(pa.array([place[name] for name in copies_out["of"].to_pylist()], type=pa.int64()))
    seen = zip(kept["repo"].to_pylist(), kept["path"].to_pylist(), copies_out["similarity"].to_pylist(), strict=True)
    columns = {
        **{name: rows_out[name] for name in names},
        "stage": pa.array(["dedup"] * len(rows_out), type=pa.string()),
        "step": copies_out["kind"],
        "reason": pa.array(["duplicate"] * len(rows_out), type=pa.string()),
        "detail": pa.array([f"duplicate of {repo}/{path} ({like:.3f})" for repo, path, like in seen], type=pa.string()),
    }
    return pa.table(columns, schema=DROPPED_SCHEMA)


def _summary(kept: Sequence[Placed], dropped: pa.Table) -> dict[str, Any]:
    """Counts for people and pages: what was selected by language, licence and repository; what was dropped and why."""
    shares: dict[str, dict[str, dict[str, int]]] = {}
    for title, field in (("languages", "language"), ("licenses", "license"), ("repositories", "repo")):
        files: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for item in kept:
            files[getattr(item.file, field)] += 1
            sizes[getattr(item.file, field)] += item.file.bytes
        shares[title] = {name: {"files": files[name], "bytes": sizes[name]} for name in files}
    stages, steps, reasons = (dropped[name].to_pylist() for name in ("stage", "step", "reason"))
    return {
        "selected": {"files": len(kept), "bytes": sum(item.file.bytes for item in kept), **shares},
        "dropped": {
            "files": len(dropped),
            "stages": dict(Counter(stages)),
            "languages": dict(Counter(dropped["language"].fill_null("").to_pylist())),
            "repositories": dict(Counter(dropped["repo"].fill_null("").to_pylist())),
            "reasons": dict(Counter(".".join(parts) for parts in zip(stages, steps, reasons, strict=True))),
        },
    }
