"""The report: everything a chain made, on one static HTML page that needs no network, no script and no server.

`gather` reads finished artifacts and never changes them; `write_report` renders what it found, `to_json` gives the
same numbers to programs. Paths, repository names, code and completions come from outside: the page escapes them all
and carries a policy that forbids scripts, so that a hostile file name stays text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.estimate import Machine
from buril.core.text import _, language
from buril.web import page
from buril.web.alignment import AlignmentPart, gather_alignment
from buril.web.evaluation import Evaluation, Score, gather_evaluation
from buril.web.facets import DataFacets, gather_data
from buril.web.federation import FederationPart, gather_federation
from buril.web.lineage import Lineage, gather_lineage
from buril.web.stages import RunFacts, StageRow, command_of, run_facts, stage_rows
from buril.web.training import Training, gather_training

FORMAT = 1
HEADLINES = 5
"""Results that the headline tells; the others stand in the evaluation."""
SHARED_METRICS = ("pass@1", "tests@1")
"""Metrics that several suites have: a sentence about one names its suite."""
FIRST_METRICS = ("perplexity", "pass@1", "insecure_rate", "exact_match", "edit_similarity")


@dataclass(frozen=True)
class ReportData:
    """All that the page shows. A part is None where its stages have not been run."""

    name: str
    command: str
    run: RunFacts
    stages: tuple[StageRow, ...]
    data: DataFacets | None
    training: Training | None
    federation: FederationPart | None
    alignment: AlignmentPart | None
    evaluation: Evaluation | None
    lineage: Lineage
    environment: dict[str, str]


def gather(
    artifacts: Mapping[str, Artifact],
    *,
    name: str,
    events: list[dict[str, Any]] | None = None,
    command: str = "",
    machine: Machine = Machine(),  # noqa: B008  frozen
) -> ReportData:
    """Read what the page needs from the artifacts of a chain, by stage; any of them may be missing.

    Args:
        artifacts: the artifacts by the name of their stage.
        name: what the model is called.
        events: the events of the run that the page is about; without them it does not say what was reused.
        command: the command that makes all this again; by default the one that the events recorded.
        machine: its mean power, for the estimate of energy.

    Raises:
        BurilError: S002 when a file of an artifact can't be read.
    """
    parts: dict[str, Any] = {}
    readers = {
        "data": gather_data,
        "training": gather_training,
        "federation": lambda found: gather_federation(found.get("train")),
        "alignment": lambda found: gather_alignment(found.get("align")),
        "evaluation": gather_evaluation,
        "lineage": gather_lineage,
    }
    for part, reader in readers.items():
        try:
            parts[part] = reader(artifacts)
        except (OSError, ValueError, LookupError, TypeError) as problem:
            folders = sorted({str(artifact.folder.parent.parent) for artifact in artifacts.values()})
            raise BurilError("S002", path=", ".join(folders), problem=f"{part}: {problem}") from problem
    newest = max(artifacts.values(), key=lambda artifact: artifact.manifest.started, default=None)
    return ReportData(
        name=name, command=command or command_of(events), run=run_facts(artifacts, events, machine),
        stages=stage_rows(artifacts, events), environment=dict(newest.manifest.environment) if newest else {}, **parts,
    )  # fmt: skip


def to_json(data: ReportData) -> dict[str, object]:
    """The page's twin for programs, as plain JSON values: the same numbers, without rounding or translation."""
    return {"format": FORMAT, **_finite(asdict(data))}


def _finite(value: Any) -> Any:
    """JSON has no NaN: what is not finite becomes null. Named tuples keep their names."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "_asdict"):
        return _finite(value._asdict())
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def write_report(path: Path, data: ReportData) -> None:
    """Write the page as one HTML file, in the language in force, whole or not at all.

    Raises:
        BurilError: W110 when the file can't be written.
    """
    page.write(path, render(data), "W110")


def render(data: ReportData) -> str:
    """The HTML text of the page."""
    from buril.web import figures

    return page.template("report.html").render(
        report=data,
        language=language(),
        css=page.style(),
        sentence=sentence,
        headlines=headlines(data.evaluation),
        training_figures=figures.training_figures(data.training) if data.training else [],
        score_figures=figures.score_figures(data.evaluation) if data.evaluation else [],
        language_figures=figures.language_figures(data.evaluation) if data.evaluation else [],
        split_figures=figures.split_figures(data.evaluation) if data.evaluation else {},
        strip_figures=figures.strip_figures(data.evaluation) if data.evaluation else [],
        lineage_figure=figures.lineage_figure(data.lineage),
    )


def headlines(evaluation: Evaluation | None) -> list[Score]:
    """The results worth telling first: known metrics in their order, then what differs measurably."""
    if evaluation is None:
        return []

    def rank(score: Score) -> tuple[int, bool]:
        known = FIRST_METRICS.index(score.metric) if score.metric in FIRST_METRICS else len(FIRST_METRICS)
        return known, score.verdict in ("none", "unknown")

    return sorted((score for score in evaluation.scores if score.base and score.tuned), key=rank)[:HEADLINES]


def sentence(score: Score) -> str:
    """One result in plain words, with the interval of the difference where it is known.

    Example:
        “Perplexity on held-out code fell from 8.41 to 6.12 (95 % interval of the difference: −2.51 to −2.07).”
    """
    from buril.web import words

    assert score.base is not None
    assert score.tuned is not None
    templates = {
        "fell": _("{what} fell from {base} to {tuned}"),
        "rose": _("{what} rose from {base} to {tuned}"),
        "same": _("{what}: {base} before, {tuned} after; no measurable difference"),
        "moved": _("{what}: {base} before, {tuned} after"),
    }
    measurable = score.verdict in ("better", "worse", "changed")
    way = (
        "moved"
        if score.verdict == "unknown"
        else "same"
        if not measurable
        else "fell"
        if score.tuned.value < score.base.value
        else "rose"
    )
    values = {side: words.quantity(getattr(score, side).value, score.unit) for side in ("base", "tuned")}
    what = words.metric_name(score.metric)
    if what == score.metric:
        what = f"{score.suite}, {score.metric}"
    elif score.metric in SHARED_METRICS:
        what = f"{what} ({score.suite})"
    text = templates[way].format(what=what, **values)
    change = score.difference
    if change is None or change.low is None or change.high is None:
        return text + "."
    between = words.change(change.low, change.high, score.unit)
    said = _("(95 % interval of the difference: {interval}).").replace(" %", f"{words.THIN}%")
    return f"{text} {said.format(interval=between)}"
