"""How much differential privacy a federated training gives: the ε of its Gaussian noise, exactly.

Every client takes part in every round, so nothing is sampled. Rounds of the Gaussian mechanism with noise multiplier σ
are then together one Gaussian mechanism with σ/√rounds, for which the relation of ε and δ is known in closed form
(Balle and Wang 2018, arXiv 1805.06530; Dong et al. 2022, "Gaussian differential privacy"). No accountant bounds it
tighter; tests hold it to those of Opacus. Sampling clients at random would need one of those.
"""

from __future__ import annotations

import math

HIGHEST = 1e6
"""An ε above which infinity is said: it protects nobody."""


def epsilon(noise: float, *, rounds: int, delta: float) -> float:
    """The ε, for one client more or less, that so many rounds give at a δ.

    Args:
        noise: deviation of the noise on the sum of updates, as a multiple of the clipping norm.
        rounds: rounds whose result was shown to anybody, those that were computed twice counted twice.
        delta: the chance for which ε need not hold.

    Example:
        `epsilon(1.0, rounds=1, delta=1e-5)` is about 4.38.
    """
    if rounds == 0:
        return 0.0
    shift = math.sqrt(rounds) / noise
    low, high = 0.0, 1.0
    if _delta(0.0, shift) <= delta:
        return 0.0
    while _delta(high, shift) > delta:
        low, high = high, 2 * high
        if high > HIGHEST:
            return math.inf
    for _halving in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _delta(middle, shift) > delta else (low, middle)
    return high


def _delta(eps: float, shift: float) -> float:
    """The least δ of a Gaussian mechanism at an ε; `shift` is sensitivity by deviation.

    It is Φ(shift/2 − ε/shift) − exp(ε)·Φ(−shift/2 − ε/shift), the second term by its logarithm: exp(ε) overflows.
    """
    second = eps + _log_normal(-shift / 2 - eps / shift)
    return _normal(shift / 2 - eps / shift) - (math.exp(second) if second > -700 else 0.0)


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _log_normal(x: float) -> float:
    """The logarithm of Φ(x); far below zero by the asymptotic series, where Φ itself is zero in floating point."""
    if x > -30:
        return math.log(_normal(x))
    square = x * x
    series = 1 - 1 / square + 3 / square**2 - 15 / square**3
    return -square / 2 - math.log(-x * math.sqrt(2 * math.pi)) + math.log(series)
