"""The statistics of drift: distances between counts, tests of rates that vary from day to day, and cumulative sums.

Whoever looks every day and at many things needs chances that hold. Requests of one day resemble one another (they come
from few people and few repositories), so a test that takes them for independent cries wolf. Each test here divides what
it sees by the *design effect*: how much more days differ than chance alone would make them.

Sources: J. Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37 (1991); N. Smirnov,
"Table for estimating the goodness of fit of empirical distributions", Annals of Math. Statistics 19 (1948); E. S. Page,
"Continuous inspection schemes", Biometrika 41 (1954), and J. M. Lucas, "Counted data CUSUM's", Technometrics 27 (1985);
L. Kish, "Survey Sampling" (1965), for the design effect; W. H. Press et al., "Numerical Recipes", 6.4, for the
continued fraction of the incomplete beta function.

Legend: R rounds or windows, B bins, D days, S steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

ROUNDS = 2000
"""Paths of the simulation that sets the limit of a cumulative sum."""
RARE = 5
"""What is expected less often than this is too rare for a chi-square of its own."""
_TINY = 1e-300


def jensen_shannon(p_RB: npt.ArrayLike, q_B: npt.ArrayLike) -> F64:
    """The Jensen–Shannon divergence in bits between each row of counts and another count: 0 the same, 1 nothing shared.

    It is symmetric. Counts that are all zero are taken for a distribution without a place: the divergence is 1/2.

    Example:
        `jensen_shannon([2, 2], [1, 1])` is 0, `jensen_shannon([1, 0], [0, 1])` is 1.
    """
    p, q = np.asarray(p_RB, np.float64), np.asarray(q_B, np.float64)
    p = p / np.maximum(p.sum(-1, keepdims=True), 1)
    q = q / np.maximum(q.sum(-1, keepdims=True), 1)
    middle = np.maximum((p + q) / 2, _TINY)
    bits: F64 = sum((a * np.log2(np.maximum(a, _TINY) / middle)).sum(-1) for a in (p, q)) / 2
    return np.clip(bits, 0.0, 1.0)


class Outcome(NamedTuple):
    """A statistic, its limit, and the probability of as much where nothing has changed (None where it is not known)."""

    value: float
    limit: float
    p: float | None

    @property
    def found(self) -> bool:
        """Whether it is above the limit."""
        return self.value > self.limit


def design_effect(sums_D: npt.ArrayLike, sizes_D: npt.ArrayLike, variance: float) -> float:
    """How many times more days may vary than chance alone would make them: the upper 95 % bound, at least 1.

    From a handful of days it is known badly; what is not known counts against an alarm.

    Args:
        sums_D: the sum of each day.
        sizes_D: over how many units it is; days without any are left out.
        variance: of one unit within a day.
    """
    sums, sizes = np.asarray(sums_D, np.float64), np.asarray(sizes_D, np.float64)
    sums, sizes = sums[sizes > 0], sizes[sizes > 0]
    free = len(sizes) - 1
    if free < 1 or variance <= 0:
        return 1.0
    mean = sums.sum() / sizes.sum()
    seen = float((sizes * (sums / sizes - mean) ** 2).sum()) / free / variance
    return max(1.0, seen / f_limit(0.95, free, 1e7))


def histogram_effect(days_DB: npt.ArrayLike) -> float:
    """The design effect of a histogram's mean place, from one histogram a day."""
    days = np.asarray(days_DB, np.float64)
    place, total = np.arange(days.shape[1]), days.sum(0)
    if not total.sum():
        return 1.0
    mean = (total * place).sum() / total.sum()
    return design_effect(days @ place, days.sum(1), float((total * (place - mean) ** 2).sum() / total.sum()))


def kolmogorov_smirnov(
    first_B: npt.ArrayLike, second_B: npt.ArrayLike, *, effect: float = 1.0, alpha: float
) -> Outcome:
    """The largest distance between two cumulative histograms, with the limit for a chance of `alpha`.

    Both are binned in the same way, which makes the test cautious. Sizes are divided by the design effect.
    """
    first, second = np.asarray(first_B, np.float64), np.asarray(second_B, np.float64)
    sizes = first.sum() / effect, second.sum() / effect
    if min(sizes) <= 0:
        return Outcome(0.0, 1.0, 1.0)
    distance = float(np.abs(np.cumsum(first) / first.sum() - np.cumsum(second) / second.sum()).max())
    scale = math.sqrt(sizes[0] * sizes[1] / (sizes[0] + sizes[1]))
    x = distance * (scale + 0.12 + 0.11 / scale)
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101)) if x > 0.2 else 1.0
    limit = math.sqrt(-math.log(alpha / 2) / 2) / (scale + 0.12 + 0.11 / scale)
    return Outcome(distance, min(limit, 1.0), min(1.0, max(0.0, p)))


def mix(today_B: npt.ArrayLike, days_DB: npt.ArrayLike, *, alpha: float) -> Outcome:
    """Whether the shares of today's classes are those of earlier days, whose own variation is the yardstick.

    Pearson's chi-square of today against all days, over that of the days among themselves: an F ratio. Classes of which
    less than five are to be expected are taken together, and are expected to be one in a hundred at least: a class that
    is new counts when it is more.
    """
    today, days = np.asarray(today_B, np.float64), np.asarray(days_DB, np.float64)
    days = days[days.sum(1) > 0]
    if len(days) < 2 or not today.sum():
        return Outcome(0.0, 1.0, 1.0)
    kept = days.sum(0) / days.sum() * today.sum() >= RARE
    rest = np.column_stack([days[:, ~kept].sum(1), 0.01 * days.sum(1)]).max(1)
    free, freedom = int(kept.sum()), (len(days) - 1) * max(1, int(kept.sum()) - 1)
    days, today = np.column_stack([days[:, kept], rest]), np.append(today[kept], today[~kept].sum())
    if not today[-1] or not free:
        days, today, free = days[:, :-1], today[:-1], free - 1
    if free < 1:
        return Outcome(0.0, 1.0, 1.0)
    known = days[:, : int(kept.sum())]
    among = sum(_pearson(day, known.sum(0) / known.sum() * day.sum()) for day in known) / freedom
    sizes = today.sum(), days.sum()
    ratio = _pearson(today, days.sum(0) / days.sum() * sizes[0]) / (1 + sizes[0] / sizes[1]) / free / max(1.0, among)
    return Outcome(ratio, f_limit(alpha, free, freedom), f_tail(ratio, free, freedom))


def _pearson(seen: F64, expected: F64) -> float:
    return float(((seen - expected) ** 2 / np.maximum(expected, 0.5)).sum())


def against_days(today: float, days_D: Sequence[float], *, alpha: float) -> Outcome:
    """Whether one number is above those of earlier days, taken as normal: one-sided, by Student's t."""
    days = np.asarray(days_D, np.float64)
    free = len(days) - 1
    if free < 2:
        return Outcome(today, math.inf, 1.0)
    spread = max(float(days.std(ddof=1)), 1e-9) * math.sqrt(1 + 1 / len(days))
    limit = float(days.mean()) + spread * math.sqrt(f_limit(2 * alpha, 1, free))
    score = (today - float(days.mean())) / spread
    tail = f_tail(score * score, 1, free) / 2
    return Outcome(today, limit, tail if score > 0 else 1 - tail)


def f_tail(value: float, first: float, second: float) -> float:
    """The probability that a ratio of Fisher's F distribution is larger than `value`."""
    return 1.0 if value <= 0 else _beta(second / (second + first * value), second / 2, first / 2)


def f_limit(alpha: float, first: float, second: float) -> float:
    """The ratio that Fisher's F distribution passes with probability `alpha`, by bisection."""
    low, high = 0.0, 1.0
    while f_tail(high, first, second) > alpha and high < 1e12:
        low, high = high, high * 2
    for _round in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if f_tail(middle, first, second) > alpha else (low, middle)
    return high


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(1 - x)) / a
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 300):
        for odd in (False, True):
            top = -(a + m) * (a + b + m) * x if odd else m * (b - m) * x
            ratio = top / ((a + 2 * m) * (a + 2 * m + (1 if odd else -1)))
            c, d = _away(1 + ratio / c), 1 / _away(1 + ratio * d)
            result *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return front * result


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


# --- cumulative sums


class Cusum(NamedTuple):
    """A cumulative sum over steps of time: its path, the first step above its limit (or None), the last one at zero.

    Where it is above the limit, the change is estimated to have begun right after it was last at zero (-1: at once).
    """

    path_S: F64
    crossed: int | None
    zero: int


def bernoulli_steps(successes_S: npt.ArrayLike, trials_S: npt.ArrayLike, before: float, after: float) -> F64:
    """The log-likelihood ratio of each step: for a share of `after` rather than `before`.

    It is a sum over single outcomes, so a step of a hundred events counts as a hundred steps of one would.
    """
    hits, trials = np.asarray(successes_S, np.float64), np.asarray(trials_S, np.float64)
    return hits * math.log(after / before) + (trials - hits) * math.log((1 - after) / (1 - before))


def poisson_steps(events_S: npt.ArrayLike, exposure_S: npt.ArrayLike, before: float, after: float) -> F64:
    """The log-likelihood ratio of each step: for `after` events a unit of exposure rather than `before`."""
    seen, exposure = np.asarray(events_S, np.float64), np.asarray(exposure_S, np.float64)
    return seen * math.log(after / before) - (after - before) * exposure


def cusum(steps_S: F64, limit: float) -> Cusum:
    """Page's cumulative sum: it adds the steps up, never falls below zero, and is compared with the limit."""
    total, path, zero = 0.0, [], -1
    crossed = None
    for place, step in enumerate(steps_S):
        total = max(0.0, total + float(step))
        zero = place if total == 0.0 else zero
        path.append(total)
        if crossed is None and total > limit:
            crossed = place
    return Cusum(np.array(path), crossed, zero)


def highest(draws_RS: F64) -> F64:
    """The highest value (R) of the cumulative sum of each simulated path: their quantiles are limits.

    An innocent path passes the quantile of 1 - alpha anywhere in its length with probability alpha.
    """
    total, top = np.zeros(len(draws_RS)), np.zeros(len(draws_RS))
    for step_R in draws_RS.T:
        total = np.maximum(0.0, total + step_R)
        top = np.maximum(top, total)
    return top


class Null(NamedTuple):
    """What innocent steps are drawn from: a rate, the units it was measured over, and the design effect of days."""

    before: float
    size: float = math.inf
    effect: float = 1.0
    seed: int = 0


def innocent_shares(trials_S: npt.ArrayLike, days_S: npt.ArrayLike, null: Null) -> F64:
    """Successes (R, S) where the share stays what it was.

    It was measured, so each path has a true share of its own around it; and each day has one of its own around that.
    """
    trials, days = np.asarray(trials_S, np.int64), np.asarray(days_S, np.int64)
    random = np.random.Generator(np.random.PCG64(null.seed))
    true_R = np.full(ROUNDS, null.before)
    if math.isfinite(null.size):
        known = null.size / null.effect
        true_R = random.beta(null.before * known + 0.5, (1 - null.before) * known + 0.5, ROUNDS)
    shares_RS = np.repeat(true_R[:, None], len(trials), 1)
    if null.effect > 1.0:
        size = max(2.0, float(np.bincount(days, trials).max()))
        rho = min(0.5, max(1e-9, (null.effect - 1) / (size - 1)))  # n·p(1-p)·(1 + (n-1)·rho) is `effect` times n·p(1-p)
        spread_R1 = (true_R * (1 - rho) / rho)[:, None], ((1 - true_R) * (1 - rho) / rho)[:, None]
        shares_RS = random.beta(*spread_R1, (ROUNDS, int(days.max()) + 1))[:, days]
    return random.binomial(np.broadcast_to(trials, shares_RS.shape), shares_RS).astype(np.float64)


def innocent_events(exposure_S: npt.ArrayLike, days_S: npt.ArrayLike, null: Null) -> F64:
    """Events (R, S) at a rate that stays what it was; paths and days have rates of their own, as with shares."""
    exposure, days = np.asarray(exposure_S, np.float64), np.asarray(days_S, np.int64)
    random = np.random.Generator(np.random.PCG64(null.seed))
    mean_RS = np.broadcast_to(exposure * null.before, (ROUNDS, len(exposure)))
    if math.isfinite(null.size):
        seen = null.before * null.size / null.effect + 0.5
        mean_RS = mean_RS * random.gamma(seen, 1 / seen, (ROUNDS, 1))
    if null.effect > 1.0:
        size = max(1e-9, float(np.bincount(days, exposure).max()) * null.before)
        shape = size / (null.effect - 1)  # a gamma factor of mean 1: the variance of a day is `effect` times its mean
        mean_RS = mean_RS * random.gamma(shape, 1 / shape, (ROUNDS, int(days.max()) + 1))[:, days]
    return random.poisson(mean_RS).astype(np.float64)
