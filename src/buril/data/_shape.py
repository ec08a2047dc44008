"""The shape of a text: how often each byte occurs and how long its lines and its longest encoded-looking run are.

One compiled pass over the bytes (1 to 2 ms/MB); whatever judges a text by counts reads them from here. numba is
imported when the first text is looked at, and keeps the compiled code on disk.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

_ENCODED = np.zeros(256, dtype=np.bool_)
_ENCODED[list((string.ascii_letters + string.digits + "+/=").encode())] = True


class Shape(NamedTuple):
    """Counts of a text. `lines` as `wc -l` has it, a last line without a line break included; lengths in bytes."""

    counts: I64
    """How often each of the 256 bytes occurs."""
    lines: int
    longest_line: int
    longest_run: int
    """Longest run of the letters of base64, in bytes."""

    def of(self, codes: bytes) -> int:
        """How many bytes are one of `codes`."""
        return int(self.counts[list(codes)].sum())


def shape_of(source: bytes) -> Shape:
    r"""The shape of a text.

    Example:
        `shape_of(b"a\n\nbcd\n").lines` → 3
    """
    counts, longest, run = _kernel()(np.frombuffer(source, dtype=np.uint8), _ENCODED)
    lines = int(counts[10]) + (bool(source) and source[-1] != 10)
    return Shape(counts, lines, int(longest), int(run))


@cache
def _kernel() -> Callable[[U8, npt.NDArray[np.bool_]], tuple[I64, int, int]]:
    from numba import njit

    compiled: Callable[[U8, npt.NDArray[np.bool_]], tuple[I64, int, int]] = njit(cache=True)(_scan)
    return compiled


def _scan(codes: U8, encoded: npt.NDArray[np.bool_]) -> tuple[I64, int, int]:
    counts = np.zeros(256, dtype=np.int64)
    start = longest = run = best = 0
    for at in range(len(codes)):
        code = codes[at]
        counts[code] += 1
        if code == 10:
            longest = max(longest, at - start)
            start = at + 1
        if encoded[code]:
            run += 1
            best = max(best, run)
        else:
            run = 0
    if start < len(codes):
        longest = max(longest, len(codes) - start)
    return counts, longest, best
