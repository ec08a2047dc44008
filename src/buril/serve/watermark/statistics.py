"""What a count of green tokens says: z, the exact chance of as many without a mark, and how often a mark is found."""

from __future__ import annotations

import math
from functools import lru_cache

FAR = 40.0
"""Standard deviations below the mean from which on a tail is 1, in every digit that a number here has."""
NOTHING = 1e-25
"""A term that small beside the largest adds nothing: there are fewer than 10^8 of them."""


def z_of(green: int, scored: int, gamma: float) -> float:
    """Standard deviations by which a count of green tokens is above what chance gives; 0 for none scored."""
    return (green - gamma * scored) / math.sqrt(gamma * (1 - gamma) * scored) if scored else 0.0


@lru_cache(maxsize=4096)
def tail(green: int, scored: int, share: float) -> float:
    """The chance of `green` or more of `scored` where each has the chance `share`: the exact binomial tail.

    Example:
        `tail(3, 3, 0.5)` is 0.125.
    """
    if green <= 0:
        return 1.0
    if green > scored:
        return 0.0
    up, down = math.log(share), math.log1p(-share)
    whole = math.lgamma(scored + 1)
    middle = scored * share
    most, terms = 0.0, []
    for count in range(max(green, int(middle - FAR * math.sqrt(middle * (1 - share)))), scored + 1):
        log = whole - math.lgamma(count + 1) - math.lgamma(scored - count + 1) + count * up + (scored - count) * down
        terms.append(math.exp(log))
        most = max(most, terms[-1])
        if count > middle and terms[-1] < NOTHING * most:
            break  # from here on they fall faster than in a geometric row
    return min(1.0, math.fsum(terms))


@lru_cache(maxsize=256)
def needed(scored: int, gamma: float, alpha: float) -> int:
    """The least count of green tokens that chance gives in fewer than `alpha` of all cases; above `scored` for none."""
    low, high = 0, scored + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if tail(middle, scored, gamma) <= alpha else (middle + 1, high)
    return low


def power(scored: int, gamma: float, share: float, alpha: float) -> float:
    """How often a mark is found whose tokens are green in `share` of the places that are scored."""
    return tail(needed(scored, gamma, alpha), scored, share)
