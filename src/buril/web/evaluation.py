"""The evaluation section: base against tuned with intervals, the gates, and samples side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from buril.core.artifact import Artifact
from buril.web.samples import Sample, Strip, chosen, first_said, read_samples, strips
from buril.web.training import first, read_json

MAX_SIGHTINGS = 20
"""Tasks seen in training that the page shows."""
MAX_LANGUAGES = 60
"""Rows of the table by language, and of those by other groups."""
LOWER_IS_BETTER = (
    "perplexity",
    "loss",
    "bits_per",
    "insecure",
    "error",
    "timeout",
    "finding",
    "refus",
    "leak",
    "verbatim",
    "extractable",
    "longest_run",
)
HIGHER_IS_BETTER = (
    "pass",
    "match",
    "similarity",
    "accuracy",
    "bleu",
    "compile",
    "parse",
    "solved",
    "secure",
    "robust",
    "valid",
)
SHARES = (
    "rate",
    "pass",
    "tests",
    "worst",
    "drop",
    "match",
    "similarity",
    "accuracy",
    "share",
    "compile",
    "parse",
    "solved",
    "bleu",
    "extractable",
    "verbatim",
    "leak",
    "functional",
    "secure",
    "inconclusive",
    "baseline",
)


@dataclass(frozen=True)
class Measure:
    """A value with its 95 % interval (None where unknown) and the number of cases behind it."""

    value: float
    low: float | None = None
    high: float | None = None
    n: float | None = None


@dataclass(frozen=True)
class Score:
    """One metric of one suite, over all or of one language or other group, which `language` then names.

    `verdict` is a key of `words.VERDICTS`; `unit` is `share` for values between 0 and 1 that are read as percentages.
    `difference` is tuned minus base, as the evaluation computed it on the same cases; `p` its p-value.
    """

    suite: str
    metric: str
    unit: str
    base: Measure | None
    tuned: Measure | None
    difference: Measure | None
    p: float | None
    verdict: str
    language: str = ""


@dataclass(frozen=True)
class Gate:
    """A bound that the model had to keep. `met` is None where it could not be judged."""

    name: str
    rule: str
    value: float | None
    met: bool | None


@dataclass(frozen=True)
class Target:
    """A score to reach. `met` is None where nothing was measured; `sure` says that all of its interval meets it."""

    suite: str
    metric: str
    rule: str
    unit: str
    side: Measure | None
    met: bool | None
    sure: bool


@dataclass(frozen=True)
class Sighting:
    """A task that stands in the training data: how much of it, and the file that it stands in."""

    suite: str
    task: str
    share: float
    place: str
    license: str


@dataclass(frozen=True)
class Seen:
    """What of the asked tasks stands in the training data; `without` are the scores without it."""

    asked: int
    num_seen: int
    sightings: tuple[Sighting, ...]
    without: tuple[Score, ...]


@dataclass(frozen=True)
class Split:
    """The same metrics split by another group than the language; `group` is `repo`, `license` or a suite's own."""

    group: str
    scores: tuple[Score, ...]
    num_more: int


@dataclass(frozen=True)
class Evaluation:
    """All of the evaluation section; `languages` holds the same metrics split by language, `splits` by other groups.

    `seen` is None where no suite has tasks.
    """

    scores: tuple[Score, ...]
    gates: tuple[Gate, ...]
    samples: tuple[Sample, ...]
    num_samples: int
    strips: tuple[Strip, ...] = ()
    targets: tuple[Target, ...] = ()
    languages: tuple[Score, ...] = ()
    num_more_languages: int = 0
    seen: Seen | None = None
    splits: tuple[Split, ...] = ()


def gather_evaluation(artifacts: Mapping[str, Artifact]) -> Evaluation | None:
    """The evaluation section; None when nothing was evaluated."""
    artifact = artifacts.get("evaluate")
    if artifact is None:
        return None
    results = read_json(artifact, "results.json")
    scores: list[Score] = []
    languages: list[Score] = []
    for suite, part in _mapping(results.get("suites")).items():
        scores += _scores(suite, _mapping(part).get("metrics"))
        for language, found in _mapping(_mapping(part).get("by_language")).items():
            languages += _scores(suite, found, language=language)
    samples = read_samples(artifact)
    return Evaluation(
        splits=tuple(_splits(_mapping(results.get("suites")))),
        seen=_seen(_mapping(results.get("suites"))),
        scores=tuple(scores),
        languages=tuple(languages[:MAX_LANGUAGES]),
        num_more_languages=max(0, len(languages) - MAX_LANGUAGES),
        gates=tuple(_gate(item) for item in results.get("gates") or () if isinstance(item, Mapping)),
        targets=tuple(_target(item, scores) for item in results.get("targets") or () if isinstance(item, Mapping)),
        samples=tuple(chosen(samples)),
        strips=tuple(strips(samples)),
        num_samples=len(samples),
    )


def _seen(suites: Mapping[str, Any]) -> Seen | None:
    """What the suites with tasks say of the training data."""
    told = {suite: _mapping(part["seen"]) for suite, part in suites.items() if "seen" in _mapping(part)}
    if not told:
        return None
    sightings = [
        Sighting(suite, task, float(said.get("share", 0)), f"{said.get('repo', '')}/{said.get('path', '')}",
                 str(said.get("license", "")))
        for suite, part in told.items() for task, said in _mapping(part.get("tasks")).items()
    ]  # fmt: skip
    return Seen(
        sum(int(part.get("asked", 0)) for part in told.values()),
        sum(int(part.get("seen", 0)) for part in told.values()),
        tuple(sorted(sightings, key=lambda item: (-item.share, item.suite, item.task))[:MAX_SIGHTINGS]),
        tuple(score for suite, part in told.items() for score in _scores(suite, part.get("metrics_without"))),
    )


def _splits(suites: Mapping[str, Any]) -> Iterator[Split]:
    """The tables by other groups, the groups with most units first."""
    found: dict[str, list[Score]] = {}
    for suite, part in suites.items():
        for group, split in _mapping(_mapping(part).get("by")).items():
            for name, table in _mapping(split).items():
                found.setdefault(group, []).extend(_scores(suite, table, language=name))
    for group, scores in sorted(found.items()):
        ordered = sorted(scores, key=lambda score: (score.suite, -_size(score), score.language))
        yield Split(group, tuple(ordered[:MAX_LANGUAGES]), max(0, len(scores) - MAX_LANGUAGES))


def _size(score: Score) -> float:
    measure = score.tuned or score.base
    return (measure.n if measure else None) or 0


def _scores(suite: str, table: object, *, language: str = "") -> list[Score]:
    """The metrics of one table; those that neither model has are left out."""
    scores = [_score(suite, metric, _mapping(said), language) for metric, said in _mapping(table).items()]
    return [score for score in scores if score.base or score.tuned]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _score(suite: str, metric: str, said: Mapping[str, Any], language: str) -> Score:
    base, tuned, difference = (_measure(said.get(name)) for name in ("base", "tuned", "difference"))
    p = first(_mapping(said.get("difference")), "p", "p_value")
    unit = str(said["unit"]) if said.get("unit") in ("share", "") else _unit(metric, base, tuned)
    better = str(said.get("better") or said.get("direction") or _direction(metric))
    number = next((side.n for side in (difference, tuned, base) if side and side.n is not None), None)
    verdict = _verdict(difference, p, better, number)
    return Score(suite, metric, unit, base, tuned, difference, p, verdict, language)


def _measure(value: object) -> Measure | None:
    said = {"value": value} if isinstance(value, int | float) else _mapping(value)
    number = first(said, "value", "mean")
    return None if number is None else Measure(number, first(said, "low"), first(said, "high"), first(said, "n"))


def _unit(metric: str, *measures: Measure | None) -> str:
    """`share` for metrics that are named like one and whose values all lie between 0 and 1."""
    inside = all(0 <= measure.value <= 1 for measure in measures if measure)
    return "share" if inside and any(part in metric.lower() for part in SHARES) else ""


def _direction(metric: str) -> str:
    """Whether less or more of a metric is better, from its name; empty when the name does not tell."""
    name = metric.lower()
    if any(part in name for part in LOWER_IS_BETTER):
        return "lower"
    return "higher" if any(part in name for part in HIGHER_IS_BETTER) else ""


def _verdict(difference: Measure | None, p: float | None, better: str, number: float | None = None) -> str:
    """In one word: a difference counts when its 95 % interval leaves out zero, or without one when p < 0.05.

    One case alone has no spread: its interval is a point, and says nothing of the next case.
    """
    if difference is None:
        return "unknown"
    if number is not None and number < 2:
        measurable = False
    elif difference.low is not None and difference.high is not None:
        measurable = difference.low > 0 or difference.high < 0
    else:
        measurable = p is not None and p < 0.05
    if not measurable or difference.value == 0:
        return "none"
    if better not in ("lower", "higher"):
        return "changed"
    return "better" if (difference.value < 0) == (better == "lower") else "worse"


def _gate(said: Mapping[str, Any]) -> Gate:
    met = first_said(said, "held", "met")
    name, rule = first_said(said, "gate", "name"), first_said(said, "wanted", "rule")
    return Gate(str(name or ""), str(rule or ""), first(said, "value"), met if isinstance(met, bool) else None)


def _target(said: Mapping[str, Any], scores: Sequence[Score]) -> Target:
    suite, metric = str(said.get("suite", "")), str(said.get("metric", ""))
    unit = next((score.unit for score in scores if (score.suite, score.metric) == (suite, metric)), "")
    met = said.get("met")
    return Target(
        suite, metric, str(said.get("wanted", "")), unit, _measure(said), met if isinstance(met, bool) else None,
        said.get("sure") is True,
    )  # fmt: skip
