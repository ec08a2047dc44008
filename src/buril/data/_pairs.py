"""The compiled loops over pairs of texts: merge of sorted tables, buckets to verified pairs, clusters, what is kept.

All arrays may be mapped files. Texts are numbers; the order of those numbers comes from the texts' contents, so that
nothing here depends on the order in which files were collected. No bucket costs more than `NEIGHBOURS` comparisons a
member, and no cluster more than `MOST_KEPT`, whatever their size: boilerplate that a million files share is linear.

Legend: N texts, R rows of signatures, P bins, M pairs, W columns of a table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from buril.code._kernel import EMPTY, compiled
from buril.code.minhash import F64, I64, U32, U64

NEIGHBOURS = 64
"""In one bucket a text is compared with at most this many others."""
MOST_KEPT = 2048
"""In one cluster a text is compared with at most this many kept ones."""


class Signed(NamedTuple):
    """Where the signature of a text is: row `row_N[text]` of `rows_RP`."""

    rows_RP: U32
    row_N: I64


class Sets(NamedTuple):
    """Sorted sets or multisets of shingles: that of a text is `hashes[start_N2[text, 0] : start_N2[text, 1]]`."""

    hashes: U32
    start_N2: I64


class Rule(NamedTuple):
    """From which similarity texts are copies, and between which estimates of it the signatures don't decide alone."""

    threshold: float
    least: float
    sure: float


@compiled
def _before(table: U64, left: int, right: int) -> bool:
    """Whether one row of a table comes before another; of equal ones the first."""
    for column in range(table.shape[1]):
        if table[left, column] != table[right, column]:
            return bool(table[left, column] < table[right, column])
    return left < right


@compiled
def _sink(heap: I64, place: int, table: U64, head: I64) -> None:
    """Put the run at `place` of the heap where it belongs among those below it."""
    while True:
        least = place
        for child in (2 * place + 1, 2 * place + 2):
            if child < len(heap) and _before(table, head[heap[child]], head[heap[least]]):
                least = child
        if least == place:
            return
        heap[place], heap[least] = heap[least], heap[place]
        place = least


@compiled
def merge(table: U64, heads: I64, heap: I64, merged: U64, unique: bool) -> int:
    """Merge the sorted runs `table[heads[i]:heads[i + 1]]`, none of them empty; `heap` numbers the runs from 0.

    Gives the rows written; with `unique`, one of equal rows.
    """
    head = heads[:-1].copy()
    for place in range(len(heap) // 2, -1, -1):
        _sink(heap, place, table, head)
    filled = 0
    while len(heap) > 0:
        run = heap[0]
        row = head[run]
        same = unique and filled > 0
        if same:
            for column in range(table.shape[1]):
                same = same and merged[filled - 1, column] == table[row, column]
        if not same:
            merged[filled] = table[row]
            filled += 1
        head[run] += 1
        if head[run] == heads[run + 1]:
            heap[0] = heap[-1]
            heap = heap[:-1]
        if len(heap) > 0:
            _sink(heap, 0, table, head)
    return filled


@compiled
def root(parent_N: I64, text: int) -> int:
    """The smallest text of the cluster; paths are halved on the way."""
    while parent_N[text] != text:
        parent_N[text] = parent_N[parent_N[text]]
        text = parent_N[text]
    return text


@compiled
def unite(parent_N: I64, pairs_M2: U64) -> None:
    """Join the clusters of pairs."""
    for pair in range(len(pairs_M2)):
        left, right = root(parent_N, np.int64(pairs_M2[pair, 0])), root(parent_N, np.int64(pairs_M2[pair, 1]))
        parent_N[max(left, right)] = min(left, right)


@compiled
def flatten(parent_N: I64) -> None:
    """Make every text point at its root."""
    for text in range(len(parent_N)):
        parent_N[text] = root(parent_N, text)


@compiled
def estimate(signed: Signed, left: int, right: int) -> float:
    """Estimated Jaccard similarity of two texts: the share of equal bins; 0 where both are empty."""
    one, other = signed.rows_RP[signed.row_N[left]], signed.rows_RP[signed.row_N[right]]
    equal = 0
    for place in range(len(one)):
        equal += one[place] == other[place]
    return 0.0 if one[0] == EMPTY else equal / len(one)


@compiled
def jaccard(sets: Sets, left: int, right: int) -> float:
    """Exact Jaccard similarity of the sets (or multisets) of two texts; 0 where both are empty."""
    one, one_end = sets.start_N2[left, 0], sets.start_N2[left, 1]
    other, other_end = sets.start_N2[right, 0], sets.start_N2[right, 1]
    total, common = one_end - one + other_end - other, 0
    while one < one_end and other < other_end:
        first, second = sets.hashes[one], sets.hashes[other]
        common += first == second
        one += first <= second
        other += second <= first
    return common / (total - common) if total else 0.0


@compiled
def bucket_pairs(records_M2: U64, signed: Signed, rule: Rule, found_M3: U64) -> tuple[int, int]:
    """Pairs that share a key and may be copies: (left, right, 1 where the signatures are sure).

    `records_M2` is sorted (key, text); a text is compared with those up to `NEIGHBOURS` before it in its bucket that
    no sure pair of this call has joined it with. What the clusters are does not depend on how long the records of one
    call are, as long as calls overlap by `NEIGHBOURS`. Stops when `found_M3` is full.

    Returns the pairs found and the records done.
    """
    parent = np.arange(len(records_M2))
    filled, begin = 0, 0
    for place in range(len(records_M2)):
        if records_M2[place, 0] != records_M2[begin, 0]:
            begin = place
        first = max(begin, place - NEIGHBOURS)
        if filled + place - first > len(found_M3):
            return filled, place
        text = np.int64(records_M2[place, 1])
        for beside in range(place - 1, first - 1, -1):
            if root(parent, place) == root(parent, beside):
                continue
            other = np.int64(records_M2[beside, 1])
            similar = estimate(signed, text, other)
            if similar >= rule.least:
                sure = similar >= rule.sure
                found_M3[filled, 0], found_M3[filled, 1] = np.uint64(min(text, other)), np.uint64(max(text, other))
                found_M3[filled, 2] = np.uint64(sure)
                filled += 1
                if sure:
                    left, right = root(parent, place), root(parent, beside)
                    parent[max(left, right)] = min(left, right)
    return filled, len(records_M2)


@compiled
def decide(parent_N: I64, pairs_M2: U64, sets: Sets, least: float) -> int:
    """Join the pairs whose sets are similar enough and that no cluster holds yet; gives how many were compared."""
    compared = 0
    for pair in range(len(pairs_M2)):
        left, right = np.int64(pairs_M2[pair, 0]), np.int64(pairs_M2[pair, 1])
        one, other = root(parent_N, left), root(parent_N, right)
        if one != other:
            compared += 1
            if jaccard(sets, left, right) >= least:
                parent_N[max(one, other)] = min(one, other)
    return compared


@compiled
def choose(members: I64, signed: Signed, sets: Sets, rule: Rule, chosen: tuple[I64, F64]) -> None:
    """In one cluster (texts in order of preference) keep what resembles nothing kept so far; the rest are copies.

    `chosen` receives, by text, the one kept in its stead and how similar they are.
    """
    of_N, similarity_N = chosen
    kept = np.empty(min(len(members), MOST_KEPT), dtype=np.int64)
    num_kept = 0
    for text in members:
        for place in range(num_kept):
            if estimate(signed, text, kept[place]) < rule.least:
                continue
            similar = jaccard(sets, text, kept[place])
            if similar >= rule.threshold:
                of_N[text], similarity_N[text] = kept[place], similar
                break
        else:
            if num_kept < len(kept):
                kept[num_kept] = text
                num_kept += 1


@compiled
def choose_all(table_MW: U64, signed: Signed, sets: Sets, rule: Rule, chosen: tuple[I64, F64]) -> None:
    """`choose` for every cluster of a table sorted (root, preference…, text)."""
    begin = 0
    for row in range(1, len(table_MW) + 1):
        if row == len(table_MW) or table_MW[row, 0] != table_MW[begin, 0]:
            if row - begin > 1:
                choose(table_MW[begin:row, -1].astype(np.int64), signed, sets, rule, chosen)
            begin = row
