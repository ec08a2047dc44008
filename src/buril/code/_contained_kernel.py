"""The compiled loop of the step `contamination`: which n-grams of evaluation texts stand in a file.

Legend: H hashes known, K slots of the table, E entries (pairs of hash and text), X texts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from buril.code._kernel import FACTOR, WORD, compiled, mixed, word
from buril.code.minhash import I64, U8, U64, Flags

_0, _1 = np.uint64(0), np.uint64(1)
MARKS = 1 << 23
"""Bits, eight to a byte, that say at once that an n-gram is not known; most are not, and a megabyte stays cached."""
RING = 16
"""Words that are remembered: a power of two from the largest n on."""
_7, _3 = np.uint64(7), np.uint64(3)


class Index(NamedTuple):
    """Which texts have an n-gram: those of the hash in slot s are `text_E[first_K[s] : last_K[s]]`."""

    marks: U8
    hash_K: U64
    first_K: I64
    last_K: I64
    text_E: I64


class Room(NamedTuple):
    """Working memory, both as long as the table: which slots were seen (clean before and after), and their list."""

    seen_K: Flags
    slots: I64


@compiled
def slot_of(hash_K: U64, hashed: np.uint64) -> int:
    """The slot of a hash in a table with open addressing, or the empty one where it would stand."""
    mask = np.uint64(len(hash_K) - 1)
    slot = hashed & mask
    while hash_K[np.int64(slot)] != _0 and hash_K[np.int64(slot)] != hashed:
        slot = (slot + _1) & mask
    place: int = np.int64(slot)
    return place


@compiled
def known(gram: np.uint64, marks: U8, hash_K: U64) -> int:
    """The slot of an n-gram, -1 where no text has it."""
    mark = gram & np.uint64(MARKS - 1)
    if (marks[np.int64(mark >> _3)] >> (mark & _7)) & _1:
        slot = slot_of(hash_K, gram)
        if hash_K[slot] == gram:
            return slot
    return -1


@compiled
def count(data: U8, sizes: tuple[int, int], index: Index, room: Room, count_X: I64) -> int:
    """How many different n-grams of each text stand in a file, for both sizes (the larger first); how many in all."""
    seen_K, slots = room
    long_size, brief_size = sizes
    marks, hash_K, first_K, last_K, text_E = index
    high_long, high_brief, mask = _1, _1, RING - 1
    for place in range(long_size):
        high_long *= FACTOR
        high_brief *= FACTOR if place < brief_size else _1
    ring = np.zeros(RING, dtype=np.uint64)
    long, brief, found, words, at, end = _0, _0, 0, 0, _0, np.uint64(len(data))
    while True:
        while at < end and not WORD[data[at]]:
            at += _1
        if at >= end:
            break
        at, hashed = word(data, at, end)
        long = (long + hashed - ring[(words - long_size) & mask] * high_long) * FACTOR
        brief = (brief + hashed - ring[(words - brief_size) & mask] * high_brief) * FACTOR
        ring[words & mask] = hashed
        words += 1
        for total, size in ((long, long_size), (brief, brief_size)):
            slot = known(mixed(total), marks, hash_K) if words >= size else -1
            if slot >= 0 and not seen_K[slot]:
                seen_K[slot] = True
                slots[found] = slot
                found += 1
    for slot in slots[:found]:
        seen_K[slot] = False
        for entry in range(first_K[slot], last_K[slot]):
            count_X[text_E[entry]] += 1
    return found
