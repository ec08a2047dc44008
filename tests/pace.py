"""How slow this machine is just now, so that what is told in seconds means the same work everywhere."""

from __future__ import annotations

import statistics
import time

REFERENCE_S = 0.012
"""Processor seconds that the work takes on the machine that the tests' seconds were told on."""


def pace() -> float:
    """Times as slow as that machine, 1 at least: the same work in Python, measured now, five times, the middle one.

    A bound on seconds of the processor says that work grows as it should; on a slower processor, or one whose caches
    others use, the same work takes longer.
    """
    return max(1.0, statistics.median(_work() for _round in range(5)) / REFERENCE_S)


def _work() -> float:
    began = time.process_time()
    words: dict[str, int] = {}
    for number in range(40_000):
        word = f"name_{number % 997}"
        words[word] = words.get(word, 0) + len(word.split("_"))
    assert len(words) == 997
    return time.process_time() - began
