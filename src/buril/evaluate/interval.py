"""Intervals and paired tests: how sure a score is, and whether two models differ.

All intervals are at 95 %. Resampling is seeded, so the same scores always give the same interval.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927);
B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979), percentile interval;
Q. McNemar, "Note on the sampling error of the difference between correlated proportions", Psychometrika 12 (1947),
in its exact binomial form; A. Agresti and Y. Min, "Simple improved confidence intervals for comparing matched
proportions", Statistics in Medicine 24 (2005).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Z_95 = 1.959963984540054
ROUNDS = 2000
"""Resamplings: the ends of a 95 % interval then wander by about 1 % of its width."""


class Interval(NamedTuple):
    """A score with the ends of its 95 % interval, over `n` units."""

    value: float
    low: float
    high: float
    n: int


class Difference(NamedTuple):
    """Second minus first, its 95 % interval, and the two-sided probability of one as large if the two were equal."""

    value: float
    low: float
    high: float
    p: float


Transform = Callable[["NDArray[np.float64]"], "NDArray[np.float64]"]


def wilson(num_successes: float, n: int) -> Interval:
    """The Wilson score interval of a share; unlike the normal one it is sound for 0 of n and n of n.

    Example:
        `wilson(8, 10)` is 0.8 within 0.490 to 0.943.
    """
    if n == 0:
        return Interval(0.0, 0.0, 1.0, 0)
    share, z2 = num_successes / n, Z_95 * Z_95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if num_successes == 0 else max(0.0, centre - half)
    high = 1.0 if num_successes == n else min(1.0, centre + half)
    return Interval(share, low, high, n)


def bootstrap(
    numerators: Sequence[float], denominators: Sequence[float], *, seed: int, transform: Transform | None = None
) -> Interval:
    """The interval of sum(numerators) / sum(denominators) when the units are drawn again, with replacement.

    A mean has denominators of 1; a ratio of sums (loss over tokens) weighs each unit by its size. `transform`
    (for example exp) is put on the ratio.
    """
    import numpy as np

    num_N, den_N = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    change: Transform = transform or (lambda x: x)
    value = float(change(np.array([num_N.sum() / den_N.sum()]))[0])
    draws_R = change(_draws(num_N, den_N, _weights(len(num_N), seed)))
    low, high = np.quantile(draws_R, [0.025, 0.975])
    return Interval(value, float(low), float(high), len(num_N))


def paired_bootstrap(
    first: tuple[Sequence[float], Sequence[float]],
    second: tuple[Sequence[float], Sequence[float]],
    *,
    seed: int,
    transform: Transform | None = None,
) -> Difference:
    """Second minus first over the same units in the same order, each given as (numerators, denominators).

    Both models are drawn with the same units each time: what makes a unit hard for both cancels out.
    """
    import numpy as np

    change: Transform = transform or (lambda x: x)
    weights_RN = _weights(len(first[0]), seed)
    values, draws = [], []
    for numerators, denominators in (first, second):
        num_N, den_N = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
        values.append(float(change(np.array([num_N.sum() / den_N.sum()]))[0]))
        draws.append(change(_draws(num_N, den_N, weights_RN)))
    delta_R = draws[1] - draws[0]
    low, high = np.quantile(delta_R, [0.025, 0.975])
    below, above = int((delta_R <= 0).sum()), int((delta_R >= 0).sum())
    p = min(1.0, 2 * (min(below, above) + 1) / (len(delta_R) + 1))
    return Difference(values[1] - values[0], float(low), float(high), p)


def paired_shares(num_only_first: int, num_only_second: int, n: int) -> Difference:
    """Second minus first of two shares over the same `n` units, of which one model alone solved so many.

    Half a unit is added to each of the four cells (Agresti and Min 2005). So where no unit changed the interval is not
    empty, as a bootstrap's is: it holds what units that were not asked might have shown.

    Example:
        `paired_shares(0, 0, 12)` is 0 within -0.140 to 0.140.
    """
    size, first, second = n + 2.0, num_only_first + 0.5, num_only_second + 0.5
    centre = (second - first) / size
    half = Z_95 * math.sqrt(first + second - (second - first) ** 2 / size) / size
    value = (num_only_second - num_only_first) / n
    return Difference(
        value, max(-1.0, centre - half), min(1.0, centre + half), mcnemar(num_only_first, num_only_second)
    )


def mcnemar(num_only_first: int, num_only_second: int) -> float:
    """Two-sided exact p that the units only one of two models solved split this unevenly by chance.

    Example:
        `mcnemar(1, 7)` is 0.0703.
    """
    n, fewer = num_only_first + num_only_second, min(num_only_first, num_only_second)
    tail: float = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
    return min(1.0, 2 * tail)


def _weights(n: int, seed: int) -> NDArray[np.float64]:
    """How often each of `n` units is drawn in each round: one row a round."""
    import numpy as np

    random = np.random.Generator(np.random.PCG64(seed))
    return random.multinomial(n, np.full(n, 1 / n), size=ROUNDS).astype(np.float64)


def _draws(
    num_N: NDArray[np.float64], den_N: NDArray[np.float64], weights_RN: NDArray[np.float64]
) -> NDArray[np.float64]:
    import numpy as np

    # not a BLAS product: its summation order, and so the last bit, may change with the number of threads
    top_R = np.einsum("rn,n->r", weights_RN, num_N)
    bottom_R = np.einsum("rn,n->r", weights_RN, den_N)
    ratio: NDArray[np.float64] = np.divide(top_R, bottom_R, out=np.zeros_like(top_R), where=bottom_R > 0)
    return ratio
