"""Clocks: what is asked of the traffic of a served model each day, and the answers with their limits.

Inputs, against the training set and against earlier days; answers (log-probability, parse errors); outcomes
(acceptance, persistence, weaknesses in accepted lines); speed, against the model before. `ask_all` splits one chance of
a false alarm a day over all questions that can be asked (Bonferroni), so that all of them together raise no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal, NamedTuple

import numpy as np

from buril.code.tokenbag import I64
from buril.code.traffic import DAY_S, HOUR_S
from buril.monitor.history import ALL, History
from buril.monitor.reference import SIZES, Reference
from buril.monitor.statistics import (
    F64,
    Null,
    Outcome,
    against_days,
    bernoulli_steps,
    cusum,
    design_effect,
    highest,
    histogram_effect,
    innocent_events,
    innocent_shares,
    jensen_shannon,
    kolmogorov_smirnov,
    mix,
    poisson_steps,
)

MIN_DAYS = 5
"""Earlier days that a comparison with earlier days needs."""
MAX_DAYS = 28
BASELINE_DAYS = 14
"""The first days of a model, which say what is usual for it; for cumulative sums at most a half of its days."""
HORIZON_DAYS = 30
"""The limit of a cumulative sum is set for so many days at once."""
FALL, RISE = 0.8, 2.0
"""The changes that the cumulative sums look for: acceptance at four fifths, findings at twice what they were."""
MIN_EVENTS = 100
CLOCKS = (
    "tokens",
    "tokens-days",
    "languages",
    "logprob",
    "parse-errors",
    "acceptance",
    "persistence",
    "findings",
    "latency",
)

State = Literal["ok", "drift", "waiting"]


class Answer(NamedTuple):
    """The outcome of a question over `n` units; `since` is the day on which it began, where the clock knows."""

    outcome: Outcome
    n: int
    since: float | None = None


@dataclass(frozen=True)
class Reading:
    """One question with its answer. `waiting` where there is too little to answer it; times are since the epoch.

    `alpha` is the chance of a false alarm of this one question on one day.
    """

    clock: str
    language: str
    model: str
    state: State
    n: int = 0
    value: float | None = None
    limit: float | None = None
    p: float | None = None
    alpha: float | None = None
    since: float | None = None


class Watched(NamedTuple):
    """What is looked at: the traffic, the model, the one before it, the training set, the days of the window."""

    history: History
    model: str
    before: str | None
    reference: Reference | None
    window: int
    way: str


class Question(NamedTuple):
    """A clock and what it is about. `ask` is given the last day of the window and a chance; None: too little to say."""

    clock: str
    language: str
    ask: Callable[[int, float], Answer | None]


def ask_all(watched: Watched, last: int, alpha: float) -> list[Reading]:
    """The readings of all clocks for the window that ends with the day `last`."""
    questions = _questions(watched)
    able = [question for question in questions if question.ask(last, alpha) is not None]
    each = alpha / max(1, len(able))
    return [_reading(question, watched, last, each) for question in questions]


def _reading(question: Question, watched: Watched, last: int, alpha: float) -> Reading:
    answer = question.ask(last, alpha)
    about = (question.clock, question.language, watched.model)
    if answer is None:
        return Reading(*about, "waiting")
    value, limit, p = answer.outcome
    if not answer.outcome.found:
        return Reading(*about, "ok", answer.n, value, limit, p, alpha)
    since = answer.since if answer.since is not None else _since(question, last, alpha, watched.window)
    return Reading(*about, "drift", answer.n, value, limit, p, alpha, since)


def _since(question: Question, last: int, alpha: float, window: int) -> float:
    """The first day of the unbroken run of windows that find it."""
    first = last
    while last - first < MAX_DAYS:
        answer = question.ask(first - 1, alpha)
        if answer is None or not answer.outcome.found:
            break
        first -= 1
    return float((first - window + 1) * DAY_S)


def _questions(watched: Watched) -> list[Question]:
    found = [Question("languages", ALL, partial(_languages, watched))]
    for language in watched.history.languages(watched.model):
        found += [
            Question("tokens", language, partial(_tokens, watched, language)),
            Question("tokens-days", language, partial(_tokens_days, watched, language)),
            Question("logprob", language, partial(_shape, watched, (language, "logprob"))),
            Question("parse-errors", language, partial(_shape, watched, (language, "parse_errors"))),
        ]
    found += [
        Question("acceptance", ALL, partial(_share, watched, ("accepted", "partial"), "shown")),
        Question("persistence", ALL, partial(_share, watched, ("persisted",), "accepted")),
        Question("findings", ALL, partial(_findings, watched)),
        Question("latency", ALL, partial(_latency, watched)),
    ]
    return sorted(found, key=lambda item: CLOCKS.index(item.clock))


def _window(watched: Watched, last: int) -> range:
    return range(last - watched.window + 1, last + 1)


def _earlier(watched: Watched, language: str, last: int) -> list[int]:
    """The first days of the model, before the window. Not the latest: a slow change would make itself usual."""
    begin = last - watched.window + 1
    return [day for day in watched.history.days(watched.model, language) if day < begin][:BASELINE_DAYS]


# --- inputs


def _tokens(watched: Watched, language: str, last: int, alpha: float) -> Answer | None:
    """The token bag of prompts against that of the training part."""
    reference = watched.reference
    if reference is None or language not in reference.bags:
        return None
    bag, held = watched.history.bag(watched.model, language, "prompt", _window(watched, last))
    limit = reference.limit(language, held, chance=alpha, way=watched.way)
    if limit is None:
        return None
    return Answer(Outcome(float(jensen_shannon(bag, reference.bags[language])), limit, None), held)


def _tokens_days(watched: Watched, language: str, last: int, alpha: float) -> Answer | None:
    """The token bag of prompts against those of earlier days.

    A day of few requests is farther from the others by chance alone. So each divergence is divided by what chance makes
    of so many draws from the bag of all days, and the logarithms are compared.
    """
    history, window = watched.history, _window(watched, last)
    days = [history.bag(watched.model, language, "prompt", [day]) for day in _earlier(watched, language, last)]
    days = [(bag, held) for bag, held in days if held >= SIZES[0]]
    today, held = history.bag(watched.model, language, "prompt", window)
    if len(days) < MIN_DAYS or held < SIZES[0]:
        return None
    total = sum((bag for bag, _held in days), np.zeros_like(today))
    others = [_excess(bag, total - bag) for bag, _held in days]
    outcome = against_days(_excess(today, total), others, alpha=alpha)
    return Answer(Outcome(math.exp(outcome.value), math.exp(min(outcome.limit, 700.0)), outcome.p), held)


def _excess(bag: I64, rest: I64) -> float:
    """The logarithm of a divergence by that of as many independent tokens."""
    drawn = np.random.Generator(np.random.PCG64(0)).multinomial(int(bag.sum()), (rest + bag) / (rest + bag).sum())
    return math.log(max(1e-9, float(jensen_shannon(bag, rest))) / max(1e-9, float(jensen_shannon(drawn, rest))))


def _languages(watched: Watched, last: int, alpha: float) -> Answer | None:
    """The shares of languages against those of earlier days."""
    history, languages = watched.history, watched.history.languages(watched.model)
    earlier = _earlier(watched, ALL, last)
    if len(earlier) < MIN_DAYS or len(languages) < 2:
        return None

    def row(days: Sequence[int] | range) -> list[int]:
        return [history.counts(watched.model, of, days).numbers["requests"] for of in languages]

    today = row(_window(watched, last))
    if sum(today) < SIZES[0]:
        return None
    return Answer(mix(today, [row([day]) for day in earlier], alpha=alpha), sum(today))


# --- answers and speed


def _shape(watched: Watched, what: tuple[str, str], last: int, alpha: float) -> Answer | None:
    """A histogram of answers against that of earlier days."""
    return _compared(watched, what, (watched.model, _earlier(watched, what[0], last)), last, alpha)


def _latency(watched: Watched, last: int, alpha: float) -> Answer | None:
    """The time of requests against that of the model before; faster is no alarm."""
    if watched.before is None:
        return None
    days = watched.history.days(watched.before)[-MAX_DAYS:]
    return _compared(watched, (ALL, "latency_ms"), (watched.before, days), last, alpha)


def _compared(
    watched: Watched, what: tuple[str, str], usual: tuple[str, Sequence[int]], last: int, alpha: float
) -> Answer | None:
    history, (language, name), (model, days) = watched.history, what, usual
    now = history.histogram(watched.model, language, name, _window(watched, last)).sum(0)
    then = history.histogram(model, language, name, days)
    if len(days) < MIN_DAYS or now.sum() < MIN_EVENTS or then.sum() < MIN_EVENTS:
        return None
    width = max(len(now), then.shape[1])
    now, then = np.pad(now, (0, width - len(now))), np.pad(then, ((0, 0), (0, width - then.shape[1])))
    outcome = kolmogorov_smirnov(now, then.sum(0), effect=histogram_effect(then), alpha=alpha)
    places = np.arange(width)
    faster = (now * places).sum() / now.sum() <= (then.sum(0) * places).sum() / then.sum()
    if model != watched.model and faster:
        outcome = Outcome(0.0, outcome.limit, 1.0)
    return Answer(outcome, int(now.sum()))


# --- outcomes


class _Steps(NamedTuple):
    """Hours of a model: the first ones say what is usual, those after them are watched."""

    first: list[int]
    hours: list[int]


def _steps(watched: Watched, last: int) -> _Steps | None:
    """None before there are enough days to say what is usual."""
    days = [day for day in watched.history.days(watched.model) if day <= last]
    num = min(BASELINE_DAYS, len(days) // 2)
    if num < MIN_DAYS:
        return None
    edge, end = (days[num - 1] + 1) * 24, (last + 1) * 24
    return _Steps(list(range(days[0] * 24, edge)), list(range(edge, end)))


def _daily(values_S: F64) -> F64:
    """Hours added up to days."""
    return np.asarray(values_S.reshape(-1, 24).sum(1), np.float64)


def _share(watched: Watched, hits: tuple[str, ...], trials: str, last: int, alpha: float) -> Answer | None:
    """A share of events that has fallen, by a cumulative sum over single outcomes."""
    steps = _steps(watched, last)
    if steps is None:
        return None
    numbers = watched.history.numbers
    sizes, sums = numbers(watched.model, (trials,), steps.first), numbers(watched.model, hits, steps.first)
    if sizes.sum() < MIN_EVENTS or not 0 < sums.sum() < sizes.sum():
        return None
    before = float(sums.sum() / sizes.sum())
    effect = design_effect(_daily(sums), _daily(sizes), before * (1 - before))
    limit = _limit("share", sizes, Null(before, float(sizes.sum()), effect), alpha)
    seen = numbers(watched.model, (trials,), steps.hours)
    found = np.minimum(numbers(watched.model, hits, steps.hours), seen)
    return _summed(bernoulli_steps(found, seen, before, FALL * before), limit, steps, int(seen.sum()))


def _findings(watched: Watched, last: int, alpha: float) -> Answer | None:
    """Weaknesses a thousand accepted lines that have risen, by a cumulative sum of Poisson counts."""
    steps = _steps(watched, last)
    if steps is None:
        return None
    numbers = watched.history.numbers
    lines = numbers(watched.model, ("accepted_lines",), steps.first) / 1000
    seen = numbers(watched.model, ("accepted_findings",), steps.first)
    if lines.sum() <= 0:
        return None
    before = float((seen.sum() + 0.5) / lines.sum())  # none in so many lines is not none at all
    effect = design_effect(_daily(seen), _daily(lines), before)
    limit = _limit("events", lines, Null(before, float(lines.sum()), effect), alpha)
    exposure = numbers(watched.model, ("accepted_lines",), steps.hours) / 1000
    events = numbers(watched.model, ("accepted_findings",), steps.hours)
    return _summed(poisson_steps(events, exposure, before, RISE * before), limit, steps, round(1000 * exposure.sum()))


def _limit(kind: str, first_S: F64, null: Null, alpha: float) -> float:
    """What a cumulative sum passes within a month by chance, with a month's share of the chance of false alarms."""
    return float(np.quantile(_tops(kind, first_S.tobytes(), null), 1 - min(0.5, HORIZON_DAYS * alpha), method="higher"))


@lru_cache(maxsize=32)
def _tops(kind: str, first: bytes, null: Null) -> F64:
    """The highest points of simulated months whose hours are as busy as the first ones were."""
    typical = np.resize(np.frombuffer(first, np.float64), HORIZON_DAYS * 24)
    days = np.arange(len(typical)) // 24
    typical, days = typical[typical > 0], days[typical > 0]
    if kind == "share":
        drawn = innocent_shares(typical, days, null)
        return highest(bernoulli_steps(drawn, typical, null.before, FALL * null.before))
    return highest(poisson_steps(innocent_events(typical, days, null), typical, null.before, RISE * null.before))


def _summed(steps_S: F64, limit: float, steps: _Steps, n: int) -> Answer:
    found = cusum(steps_S, limit)
    now = float(found.path_S[-1]) if len(found.path_S) else 0.0
    since = float(steps.hours[found.zero + 1] * HOUR_S) if now > limit else None
    return Answer(Outcome(now, limit, None), n, since)
