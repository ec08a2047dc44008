"""The statistics of drift: known values, properties, and chances that simulation confirms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buril.monitor.statistics import (
    Null,
    against_days,
    bernoulli_steps,
    cusum,
    design_effect,
    f_limit,
    f_tail,
    highest,
    histogram_effect,
    innocent_events,
    innocent_shares,
    jensen_shannon,
    kolmogorov_smirnov,
    mix,
    poisson_steps,
)

counts = st.lists(st.integers(0, 1000), min_size=6, max_size=6).filter(any)
RANDOM = np.random.default_rng(5)


@settings(max_examples=100, deadline=None)
@given(counts, counts)
def test_jensen_shannon_is_symmetric_bounded_and_blind_to_size(first: list[int], second: list[int]) -> None:
    found = float(jensen_shannon(first, second))
    assert found == pytest.approx(float(jensen_shannon(second, first)), abs=1e-12)
    assert 0 <= found <= 1
    assert float(jensen_shannon(first, first)) == pytest.approx(0, abs=1e-12)
    assert float(jensen_shannon([3 * count for count in first], second)) == pytest.approx(found, abs=1e-9)


def test_jensen_shannon_has_its_known_values() -> None:
    assert float(jensen_shannon([1, 0], [0, 1])) == pytest.approx(1)
    assert float(jensen_shannon([1, 1], [1, 0])) == pytest.approx(0.311278, abs=1e-6)
    assert jensen_shannon(np.array([[1, 0], [1, 1]]), [1, 0]).tolist() == pytest.approx([0, 0.311278], abs=1e-6)
    from scipy.spatial.distance import jensenshannon

    first, second = RANDOM.integers(0, 50, 400), RANDOM.integers(0, 50, 400)
    assert float(jensen_shannon(first, second)) == pytest.approx(jensenshannon(first, second, 2) ** 2)


@pytest.mark.parametrize(
    ("value", "first", "second"), [(0.3, 1, 5), (2.0, 3, 7), (4.5, 2, 60), (1.0, 40, 40), (90, 1, 3)]
)
def test_the_tail_of_f_is_scipys(value: float, first: int, second: int) -> None:
    from scipy.stats import f

    assert f_tail(value, first, second) == pytest.approx(f.sf(value, first, second), rel=1e-9)
    assert f_limit(f_tail(value, first, second), first, second) == pytest.approx(value, rel=1e-6)


def test_kolmogorov_and_smirnov_as_scipy_has_them() -> None:
    from scipy.stats import ks_2samp

    first, second = RANDOM.integers(0, 400, 300), RANDOM.integers(20, 420, 500)
    ours = kolmogorov_smirnov(np.bincount(first, minlength=420), np.bincount(second, minlength=420), alpha=0.01)
    theirs = ks_2samp(first, second, method="asymp")
    assert ours.value == pytest.approx(theirs.statistic) and ours.p == pytest.approx(theirs.pvalue, rel=0.3)
    assert kolmogorov_smirnov([0, 0], [1, 1], alpha=0.01).p == 1.0


def rate(trials: int, draw: object) -> float:
    return sum(bool(draw()) for _trial in range(trials)) / trials  # type: ignore[operator]


def test_the_chances_of_tests_over_days_are_those_they_state() -> None:
    """Days that vary by more than chance: the tests allow for it, and one that does not would not pass here."""
    random = np.random.default_rng(11)

    def day(shift: float = 0.0) -> np.ndarray:
        return np.bincount(
            np.clip(random.normal(10 + random.normal(0, 0.5) + shift, 2, 400).round(), 0, 20).astype(int), minlength=21
        )

    def shape(allow: bool) -> bool:
        days = np.stack([day() for _ in range(14)])
        effect = histogram_effect(days) if allow else 1.0
        return kolmogorov_smirnov(day(), days.sum(0), effect=effect, alpha=0.01).found

    assert rate(400, lambda: shape(True)) <= 0.02 < rate(100, lambda: shape(False))

    def mixed() -> bool:
        days = [random.multinomial(300, random.dirichlet([60, 30, 10])) for _ in range(15)]
        return mix(days[0], days[1:], alpha=0.02).found

    assert rate(1500, mixed) == pytest.approx(0.02, abs=0.012)
    assert rate(4000, lambda: against_days(random.normal(), random.normal(size=8), alpha=0.02).found) == pytest.approx(
        0.02, abs=0.008
    )
    assert (
        rate(60, lambda: kolmogorov_smirnov(day(3), sum(day() for _ in range(14)), effect=20, alpha=0.01).found) > 0.95
    )


def test_a_language_that_was_never_asked_for_is_found() -> None:
    days = [RANDOM.multinomial(300, RANDOM.dirichlet([60, 30, 10])).tolist() + [0] for _ in range(14)]
    assert mix([120, 60, 20, 100], days, alpha=0.001).found
    assert not mix(days[0], days[1:], alpha=0.001).found
    assert mix([1, 1, 1, 1], days[:1], alpha=0.001).p == 1.0


def test_the_design_effect_sees_days_that_vary() -> None:
    random = np.random.default_rng(3)
    sizes = np.full(40, 500)
    chance, varied = random.binomial(sizes, 0.3), random.binomial(sizes, random.beta(30, 70, 40))
    assert design_effect(chance, sizes, 0.21) < 2
    assert design_effect(varied, sizes, 0.21) > 3
    assert (
        design_effect([3], [10], 0.21) == design_effect([3, 1], [10, 0], 0.2) == design_effect([0, 0], [9, 9], 0) == 1
    )


def test_a_sum_over_single_events_is_a_sum_over_their_hours() -> None:
    events = RANDOM.random(400) < 0.3
    single = bernoulli_steps(events, np.ones(400), 0.3, 0.2)
    hours = bernoulli_steps(events.reshape(-1, 20).sum(1), np.full(20, 20), 0.3, 0.2)
    assert np.allclose(single.reshape(-1, 20).sum(1), hours)
    found = cusum(np.array([-1.0, 2, 2, -9, 1, 3, 1]), 3.5)
    assert found.path_S.tolist() == [0, 2, 4, 0, 1, 4, 5] and (found.crossed, found.zero) == (2, 3)


def test_innocent_months_pass_the_limit_as_often_as_was_asked() -> None:
    """The rate of alarms is measured on months that the limit was not set on; a fall and a rise are found in days."""
    trials, days = np.full(300, 40), np.repeat(np.arange(30), 10)
    for effect in (1.0, 3.0):
        null = Null(0.3, effect=effect)
        tops = highest(bernoulli_steps(innocent_shares(trials, days, null), trials, 0.3, 0.24))
        limit = float(np.quantile(tops, 0.95))
        again = innocent_shares(trials, days, null._replace(seed=1))
        assert (highest(bernoulli_steps(again, trials, 0.3, 0.24)) > limit).mean() == pytest.approx(0.05, abs=0.02)
        fallen = innocent_shares(trials, days, Null(0.2, effect=effect, seed=2))[:200]
        late = [cusum(row, limit).crossed for row in bernoulli_steps(fallen, trials, 0.3, 0.24)]
        assert None not in late and np.median([place for place in late if place is not None]) <= 40, "four days"
    exposure = np.full(300, 0.12)
    for effect in (1.0, 2.0):
        null = Null(4.0, effect=effect)
        limit = float(np.quantile(highest(poisson_steps(innocent_events(exposure, days, null), exposure, 4, 8)), 0.95))
        again = innocent_events(exposure, days, null._replace(seed=1))
        assert (highest(poisson_steps(again, exposure, 4, 8)) > limit).mean() == pytest.approx(0.05, abs=0.02)
        risen = poisson_steps(innocent_events(exposure, days, Null(12.0, effect=effect, seed=2))[:200], exposure, 4, 8)
        assert all(cusum(row, limit).crossed is not None for row in risen)


def test_innocent_days_vary_as_much_as_they_are_said_to() -> None:
    trials, days = np.full(240, 50), np.repeat(np.arange(10), 24)
    for draw, variance in ((innocent_shares, 0.21), (innocent_events, 0.3)):
        for effect in (1.0, 4.0):
            daily = draw(trials, days, Null(0.3, effect=effect)).reshape(-1, 10, 24).sum(2)
            assert daily.var(axis=1, ddof=1).mean() / (1200 * variance) == pytest.approx(effect, rel=0.1)
    unsure = innocent_shares(trials, days, Null(0.3, size=400.0)).sum(1) / trials.sum()
    assert unsure.std() == pytest.approx(math.sqrt(0.21 / 400 + 0.21 / 12_000), rel=0.1)
