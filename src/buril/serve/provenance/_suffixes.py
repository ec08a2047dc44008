"""Suffix arrays over tokens: built by doubling in numpy, searched by compiled loops.

A suffix array lists all places of a text in the order of what stands from there on, so that whatever begins alike lies
side by side: the longest run that a query shares with the text is found by halving, and all places that hold a run are
one interval. The order is by the tokens' 32-bit hashes, which is as good as any.

Building doubles the depth to which the order is known (Manber and Myers 1993), and only for the places that still
equal another one (Larsson and Sadakane 2007), so it costs n log n for text as it is written and n log² n for any.
It takes some 45 bytes of memory a token beside the tokens themselves.

Legend: T tokens of a segment, Q tokens of a query.
"""

from __future__ import annotations

import numpy as np

from buril.code.lexical import END
from buril.code.minhash import I64, U32


def suffix_array(tokens_T: U32) -> U32:
    """The places of a text, which ends with `END`, in the order of what follows from each; every `END` is another.

    Example:
        `suffix_array(np.array([7, 5, 7, END], np.uint32))` → `[1, 0, 2, 3]`
    """
    num_tokens = len(tokens_T)
    order = np.argsort(tokens_T, kind="stable")  # stable: the ends keep their order
    values = tokens_T[order]
    fresh = np.ones(num_tokens, dtype=np.bool_)
    fresh[1:] = (values[1:] != values[:-1]) | (values[1:] == END)
    slots = np.arange(num_tokens, dtype=np.int64)
    rank_T = np.empty(num_tokens, dtype=np.uint32)
    rank_T[order] = slots[_heads(fresh)]
    found: U32 = order.astype(np.uint32)
    places, slots = _unsure(fresh, order, slots)
    del order, values
    depth = 1
    while len(places):
        keys = rank_T[places].astype(np.uint64) << np.uint64(32) | rank_T[places + depth]
        order = np.argsort(keys)
        places, keys = places[order], keys[order]
        found[slots] = places
        fresh = np.ones(len(places), dtype=np.bool_)
        fresh[1:] = keys[1:] != keys[:-1]
        rank_T[places] = slots[_heads(fresh)]
        places, slots = _unsure(fresh, places, slots)
        depth *= 2
    return found


def _heads(fresh: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> I64:
    """For every entry the number of the first one of its group."""
    heads: I64 = np.maximum.accumulate(np.where(fresh, np.arange(len(fresh)), 0))
    return heads


def _unsure(fresh: np.ndarray[tuple[int], np.dtype[np.bool_]], places: I64, slots: I64) -> tuple[I64, I64]:
    """The places, and their slots, whose group has more than one."""
    alone = fresh.copy()
    alone[:-1] &= fresh[1:]
    return places[~alone], slots[~alone]
