"""The evaluation section: base against tuned with intervals, the gates, and samples side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from buril.core.artifact import Artifact
from buril.web.training import first, read_json, read_lines

MAX_SAMPLES = 6
"""Samples shown of all suites together."""
MAX_SIGHTINGS = 20
"""Tasks seen in training that the page shows."""
MAX_LANGUAGES = 60
"""Rows of the table by language."""
MAX_NOTE = 300
"""Characters shown of what a judge said."""
MAX_TEXT = 1600
"""Characters shown of a prompt or a completion."""
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
SCORES = ("edit_similarity", "exact_match", "bleu", "passed_share")
"""Fields of a sample that tell how near it came, the most telling first."""
SHARES = (
    "rate",
    "pass",
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
    """One metric of one suite, of all languages or of one.

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
class Answer:
    """One model's answer to a sample: its text and what was said of it.

    `passed` is None without a judge; `score` is what tells two answers apart (None where nothing does); `measured`
    are the scores it got where it was compared with a text.
    """

    text: str
    passed: bool | None
    note: str
    score: float | None = None
    measured: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Sample:
    """One task with the answers of both models; texts longer than `MAX_TEXT` are cut.

    `place` says where a held-out task was taken from, `reference` what stands there.
    """

    suite: str
    task: str
    place: str
    prompt: str
    reference: str
    base: Answer | None
    tuned: Answer | None


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
class Evaluation:
    """All of the evaluation section; `languages` holds the same metrics split by language.

    `seen` is None where no suite has tasks.
    """

    scores: tuple[Score, ...]
    gates: tuple[Gate, ...]
    samples: tuple[Sample, ...]
    num_samples: int
    languages: tuple[Score, ...] = ()
    num_more_languages: int = 0
    seen: Seen | None = None


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
    samples = _samples(artifact)
    return Evaluation(
        seen=_seen(_mapping(results.get("suites"))),
        scores=tuple(scores),
        languages=tuple(languages[:MAX_LANGUAGES]),
        num_more_languages=max(0, len(languages) - MAX_LANGUAGES),
        gates=tuple(_gate(item) for item in results.get("gates") or () if isinstance(item, Mapping)),
        samples=tuple(_chosen(samples)),
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
    return Score(suite, metric, unit, base, tuned, difference, p, _verdict(difference, p, better), language)


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


def _verdict(difference: Measure | None, p: float | None, better: str) -> str:
    """In one word: a difference counts when its 95 % interval leaves out zero, or without one when p < 0.05."""
    if difference is None:
        return "unknown"
    if difference.low is not None and difference.high is not None:
        measurable = difference.low > 0 or difference.high < 0
    else:
        measurable = p is not None and p < 0.05
    if not measurable or difference.value == 0:
        return "none"
    if better not in ("lower", "higher"):
        return "changed"
    return "better" if (difference.value < 0) == (better == "lower") else "worse"


def _gate(said: Mapping[str, Any]) -> Gate:
    met = _said(said, "held", "met")
    name, rule = _said(said, "gate", "name"), _said(said, "wanted", "rule")
    return Gate(str(name or ""), str(rule or ""), first(said, "value"), met if isinstance(met, bool) else None)


def _samples(artifact: Artifact) -> list[Sample]:
    """The samples of all suites, base and tuned joined by task."""
    found: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for path in artifact.files("samples/*.jsonl"):
        suite, _dot, model = path.name.removesuffix(".jsonl").rpartition(".")
        for index, row in enumerate(read_lines(artifact, f"samples/{path.name}")):
            task = str(_said(row, "task", "task_id", "id", "row_id") or index)
            # a task may have been tried several times: its first answer, the greedy one, stands for the others
            found.setdefault((suite, task), {}).setdefault(model, row)
    return [_sample(suite, task, rows) for (suite, task), rows in sorted(found.items(), key=_natural)]


def _natural(item: tuple[tuple[str, str], object]) -> list[tuple[bool, int, str]]:
    """Sorts `task/9` before `task/10`."""
    parts = re.split(r"(\d{1,18})", "\0".join(item[0]))
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _sample(suite: str, task: str, rows: Mapping[str, Mapping[str, Any]]) -> Sample:
    one = next(iter(rows.values()))
    place = " · ".join(str(one[name]) for name in ("repo", "path") if one.get(name))
    return Sample(
        suite=suite,
        task=str(_said(one, "function", "name") or task),
        place=place,
        prompt=_end(_said(one, "prompt", "prefix", "input")),
        reference=_cut(_said(one, "reference", "expected")),
        base=_answer(rows.get("base")),
        tuned=_answer(rows.get("tuned")),
    )


def _said(row: Mapping[str, Any], *names: str) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _answer(row: Mapping[str, Any] | None) -> Answer | None:
    if row is None:
        return None
    text = _said(row, "completion", "output", "text", "answer")
    if text is None and isinstance(row.get("completions"), list) and row["completions"]:
        text = row["completions"][0]
    passed = row.get("passed")
    status = str(row.get("status") or "")
    if not isinstance(passed, bool):
        passed = status == "pass" if status else None
    measured = tuple((name, value) for name in SCORES if (value := first(row, name)) is not None)
    score = float(passed) if passed is not None else measured[0][1] if measured else None
    return Answer(_cut(text), passed, "" if passed else _note(row)[:MAX_NOTE], score, measured)


def _note(row: Mapping[str, Any]) -> str:
    """What the judge said of a failure: its own words, else the first call that went wrong, else the bare status."""
    said = _said(row, "verdict", "detail", "error", "note")
    if said:
        return str(said)
    calls = row.get("calls")
    for call in map(_mapping, calls if isinstance(calls, list) else ()):
        if call.get("status") != "pass":
            return f"({call.get('args', '')}) → {call.get('got', '')} ≠ {call.get('expected', '')}"
    return str(row.get("status") or "")


def _cut(text: object) -> str:
    full = "" if text is None else str(text)
    return full if len(full) <= MAX_TEXT else full[:MAX_TEXT] + " …"


def _end(text: object) -> str:
    """The end of a prompt, from the start of a line: what the answer goes on from."""
    full = "" if text is None else str(text)
    if len(full) <= MAX_TEXT:
        return full
    tail = full[-MAX_TEXT:]
    return "…\n" + (tail.partition("\n")[2] or tail)


def _chosen(samples: Sequence[Sample]) -> list[Sample]:
    """Samples in turn from gains, losses and ties of each suite, in the order of the tasks: none is picked by hand."""
    kinds: dict[tuple[int, str], list[Sample]] = {}
    for sample in samples:
        if any(answer and answer.text for answer in (sample.base, sample.tuned)):
            kinds.setdefault((_change(sample), sample.suite), []).append(sample)
    order = sorted(kinds, key=lambda kind: ((1, -1, 0).index(kind[0]), kind[1]))
    deepest = max(map(len, kinds.values()), default=0)
    chosen = [kinds[kind][depth] for depth in range(deepest) for kind in order if depth < len(kinds[kind])]
    return chosen[:MAX_SAMPLES]


def _change(sample: Sample) -> int:
    """1 where the tuned model did better, -1 where worse, 0 where the two did the same or can't be compared."""
    before, after = (answer.score if answer else None for answer in (sample.base, sample.tuned))
    return 0 if before is None or after is None else (after > before) - (after < before)
