"""Token bags: how often the words and signs of a text fall into 4,096 bins, and nothing else of the text.

A token is a word (letters, digits, `_` and bytes above 0x7F, no digit first), a number or one sign; all numbers are one
token. Its bin is its CRC-32 modulo 4,096. One text counts a token at most four times, so that no text outweighs the
others and a word that one person repeats does not stand out. Only the last 2,000 bytes are read: what is nearest the
place where the model writes, and a bound on the cost (0.1 ms).

What it does not do: keep order, names or characters. Whoever has a bag and guesses a word can see whether its bin is
empty; that a bin is not empty says little, as many words share it.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections import Counter

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]

VERSION = 1
"""Goes up when the same text gives another bag: bags of two versions don't compare."""
BINS = 4096
MOST = 4
"""How often one text counts a token at most."""
MAX_BYTES = 2000
_TOKEN = re.compile(rb"[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*|[0-9]+|[^\sA-Za-z0-9_\x80-\xff]")
_DIGITS = frozenset(b"0123456789")


def add_bag(text: str, bins: I64) -> None:
    """Add the tokens of one text to an array of `BINS` counts."""
    raw = text[-MAX_BYTES:].encode("utf-8", "surrogatepass")[-MAX_BYTES:]
    counts = Counter(_TOKEN.findall(raw))
    numbers = [token for token in counts if token[0] in _DIGITS]
    if numbers:
        counts[b"0"] = sum(counts.pop(token) for token in numbers)
    places = [zlib.crc32(token) & (BINS - 1) for token in counts]
    np.add.at(bins, places, np.minimum(np.fromiter(counts.values(), np.int64, len(counts)), MOST))


def bag(text: str) -> I64:
    """The bag of one text.

    Example:
        `bag("a = a + 1").sum()` is 5.
    """
    bins = np.zeros(BINS, np.int64)
    add_bag(text, bins)
    return bins


def to_text(bins: I64) -> str:
    """Counts as a short text: packed, in base 64."""
    return base64.b64encode(zlib.compress(bins.astype("<u4").tobytes(), 6)).decode("ascii")


def from_text(text: str) -> I64:
    """The counts that `to_text` wrote.

    Raises:
        ValueError: for what it did not write.
    """
    try:
        raw = zlib.decompress(base64.b64decode(text, validate=True))
    except (binascii.Error, zlib.error) as problem:
        raise ValueError(str(problem)) from problem
    bins = np.frombuffer(raw, "<u4").astype(np.int64)
    if len(bins) != BINS:
        raise ValueError(f"{len(bins)} bins, not {BINS}")
    return bins
