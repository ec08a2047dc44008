from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.evaluate.interval import bootstrap, mcnemar, paired_bootstrap, paired_shares, wilson
from buril.evaluate.metrics.bleu import Bleu
from buril.evaluate.metrics.edit_similarity import EditSimilarity, distance
from buril.evaluate.metrics.exact_match import ExactMatch
from buril.evaluate.metrics.pass_at_k import PassAtK
from buril.evaluate.suite import Measure


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_is_the_share_of_draws_with_a_pass(n: int) -> None:
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        draws = list(itertools.combinations([1] * c + [0] * (n - c), k))
        assert PassAtK().score(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_of_many_samples_does_not_overflow() -> None:
    assert PassAtK().score(5000, 1, 100) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (15, 50, 0.1910, 0.4375)],
)
def test_wilson_agrees_with_published_values(passed: int, n: int, low: float, high: float) -> None:
    found = wilson(passed, n)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_bootstrap_of_a_mean_agrees_with_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = bootstrap(values.tolist(), [1.0] * 400, seed=3)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)
    assert found == bootstrap(values.tolist(), [1.0] * 400, seed=3) and found != bootstrap(
        values.tolist(), [1.0] * 400, seed=4
    )


def test_bootstrap_weighs_units_by_their_size() -> None:
    assert bootstrap([10, 0], [90, 10], seed=0).value == pytest.approx(0.1)
    assert bootstrap([2, 2], [1, 1], seed=0, transform=np.exp) == pytest.approx((math.e**2, math.e**2, math.e**2, 2))


def test_pairing_sees_what_unpaired_intervals_hide() -> None:
    hard = np.random.default_rng(2).uniform(0, 100, 60)
    first, second = (hard.tolist(), [1.0] * 60), ((hard - 1 + np.sin(np.arange(60)) / 2).tolist(), [1.0] * 60)
    found = paired_bootstrap(first, second, seed=0)
    assert found.high < 0 and found.p < 0.01
    same = paired_bootstrap(first, first, seed=0)
    assert same == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("b", "c", "p"), [(1, 7, 0.0703125), (0, 5, 0.0625), (3, 3, 1.0), (0, 0, 1.0), (25, 11, 0.02882)]
)
def test_mcnemar_exact(b: int, c: int, p: float) -> None:
    assert mcnemar(b, c) == pytest.approx(p, abs=1e-5)


def test_the_interval_of_two_shares_holds_what_was_not_asked() -> None:
    """The formula by hand, and how often it holds the truth, also where few units differ."""
    assert paired_shares(0, 0, 12)[:3] == pytest.approx((0, -0.13999, 0.13999), abs=1e-4)
    # cells 5.5 and 1.5 of 22: centre -4/22, half 1.96 * sqrt(7 - 16/22) / 22
    assert paired_shares(5, 1, 20)[:3] == pytest.approx((-0.2, -4 / 22 - 0.223128, -4 / 22 + 0.223128), abs=1e-5)
    random = np.random.default_rng(0)
    for only_first, only_second in ((0.02, 0.02), (0.1, 0.03), (0.3, 0.1)):
        drawn = random.multinomial(40, [only_first, only_second, 1 - only_first - only_second], size=4000)
        held = [paired_shares(b, c, 40) for b, c, _same in drawn.tolist()]
        truth = only_second - only_first
        assert np.mean([found.low <= truth <= found.high for found in held]) > 0.94


def test_a_share_is_compared_by_mcnemar_over_common_units() -> None:
    first, second = Measure("share", "higher"), Measure("share", "higher")
    for index in range(9):
        first.add(str(index), index == 0)
        second.add(str(8 - index), index < 8)
    second.add("other", 1)
    found = first.difference(second, 0)
    assert found is not None and found.p == pytest.approx(mcnemar(1, 8)) and found.value == pytest.approx(7 / 9)


def test_bleu_by_hand() -> None:
    assert Bleu().score("return a + b", "return a + b") == pytest.approx(1.0)
    # 1-grams 3/4, 2-grams (1+1)/(3+1), 3-grams (0+1)/(2+1), 4-grams (0+1)/(1+1)
    assert Bleu().score("return a - b", "return a + b") == pytest.approx((3 / 4 * 2 / 4 * 1 / 3 * 1 / 2) ** 0.25)
    # two of four tokens: every n-gram is right, the brevity penalty is exp(1 - 4/2)
    assert Bleu().score("return a", "return a + b") == pytest.approx(math.exp(-1))
    assert Bleu().score("x", "y") == 0.0 == Bleu().score("", "y") and Bleu().score("", "") == 1.0


def test_bleu_counts_a_repeated_token_once() -> None:
    assert Bleu().score("a a a a", "a b c d") < 0.35


def slow_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_bit_vector_distance_is_the_distance(a: str, b: str) -> None:
    assert distance(a, b) == slow_distance(a, b)


def test_edit_similarity_and_exact_match() -> None:
    assert EditSimilarity().score("kitten", "sitting") == pytest.approx(1 - 3 / 7)
    assert EditSimilarity().score(" x\n", "x") == 1.0 == EditSimilarity().score("", " ")
    assert ExactMatch().score("  a  \n b \n", "a\n b") == 1.0
    assert ExactMatch().score("a\nb", "a\n b") == 0.0
