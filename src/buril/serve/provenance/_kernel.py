"""The compiled loops of the look-up: how long a run of a query stands in a text, and where.

Legend: T tokens of a segment, Q tokens of a query.
"""

from __future__ import annotations

from buril.code._kernel import compiled
from buril.code.minhash import I64, U32


@compiled
def longest(tokens_T: U32, suffixes_T: U32, query_Q: U32, deep: int, lengths_Q: I64) -> None:
    """For every place of the query, how many tokens from there on stand somewhere in the text: `deep` at most.

    What is known to be equal at both ends of the halved range is not compared again.
    """
    for start in range(len(query_Q)):
        low, high, at_low, at_high, best = 0, len(suffixes_T), 0, 0, 0
        most = min(deep, len(query_Q) - start)
        while low < high:
            middle = (low + high) // 2
            place, same = suffixes_T[middle], min(at_low, at_high)
            while same < most and tokens_T[place + same] == query_Q[start + same]:
                same += 1
            best = max(best, same)
            if same < most and tokens_T[place + same] < query_Q[start + same]:
                low, at_low = middle + 1, same
            else:
                high, at_high = middle, same
        lengths_Q[start] = best


@compiled
def around(tokens_T: U32, query_Q: U32, start: int, place: int) -> tuple[int, int]:
    """How many tokens before and from a place of the text on are those of the query around `start`."""
    left, right = 0, 0
    while left < min(start, place) and tokens_T[place - left - 1] == query_Q[start - left - 1]:
        left += 1
    while start + right < len(query_Q) and tokens_T[place + right] == query_Q[start + right]:
        right += 1
    return left, right


@compiled
def interval(tokens_T: U32, suffixes_T: U32, run_Q: U32) -> tuple[int, int]:
    """The part of the suffix array whose places hold a run: first, and one past the last."""
    bounds = (0, 0)
    for after in range(2):
        low, high = 0, len(suffixes_T)
        while low < high:
            middle, same = (low + high) // 2, 0
            place = suffixes_T[middle]
            while same < len(run_Q) and tokens_T[place + same] == run_Q[same]:
                same += 1
            below = same == len(run_Q) if after else False
            if below or (same < len(run_Q) and tokens_T[place + same] < run_Q[same]):
                low = middle + 1
            else:
                high = middle
        bounds = (bounds[1], low)
    return bounds
