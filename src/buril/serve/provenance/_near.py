"""Near matches: the rows that hold most of a text's fingerprints close together.

Fingerprints that stand at very many places are left out on both sides. What is left must lie within a stretch of the
row twice as long as the text, so that a long file does not resemble everything.

Legend: F fingerprints of the text, H places that hold one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from buril.code.lexical import WINDOW
from buril.code.minhash import I64, U32
from buril.serve.provenance._part import Part
from buril.serve.provenance.segments import MOST_HELD

LEAST = 3
"""Fingerprints that a row must share with the text."""
ROOM = 2.0
"""How much longer than the text a stretch of a row may be."""
MOST_ROWS = 200
"""Rows, those with most fingerprints, that are looked at closely."""


class Near(NamedTuple):
    """A row that a text resembles: the tokens of the text that do, and where they stand in the row."""

    score: float
    part: Part
    row: int
    place: int
    span: int
    first: int
    last: int


def nearest_rows(parts: Sequence[Part], prints_F: U32, places_F: U32, least: float) -> list[Near]:
    """The rows of at least such a score, the nearest first."""
    if len(prints_F) < LEAST:
        return []
    ranges = [_ranges(part, prints_F) for part in parts]
    common = np.zeros(len(prints_F), dtype=np.bool_)
    for first_F, after_F in ranges:
        common |= after_F - first_F > MOST_HELD
    asked = np.flatnonzero(~common)
    num_asked = len(np.unique(prints_F[asked]))
    if num_asked < LEAST:
        return []
    reach = int(ROOM * (int(places_F[-1]) - int(places_F[0]) + WINDOW))
    found: list[Near] = []
    for part, (first_F, after_F) in zip(parts, ranges, strict=True):
        own_H = np.repeat(asked, (after_F - first_F)[asked])
        held_H = np.concatenate([part.places[first_F[at] : after_F[at]] for at in asked]) if len(asked) else own_H
        found += _of_part(part, held_H.astype(np.int64), (own_H, prints_F, places_F), (num_asked, reach))
    kept = [near for near in found if near.score >= least]
    return sorted(kept, key=lambda near: -near.score)  # of equals the order of the rows


def _ranges(part: Part, prints_F: U32) -> tuple[I64, I64]:
    return np.searchsorted(part.prints, prints_F, "left"), np.searchsorted(part.prints, prints_F, "right")


def _of_part(part: Part, held_H: I64, own: tuple[I64, U32, U32], bounds: tuple[int, int]) -> list[Near]:
    """The best stretch of every row of a segment that shares enough."""
    own_H, prints_F, places_F = own
    num_asked, reach = bounds
    order = np.argsort(held_H, kind="stable")
    held_H, own_H = held_H[order], own_H[order]
    row_H = np.searchsorted(part.first_tokens, held_H, side="right") - 1
    rows, counts = np.unique(row_H, return_counts=True)
    chosen = rows[np.argsort(-counts, kind="stable")][:MOST_ROWS]
    found = []
    for row in sorted(chosen[np.isin(chosen, rows[counts >= LEAST])].tolist()):
        mine = slice(*np.searchsorted(row_H, [row, row + 1]).tolist())
        count, first, last = _stretch(held_H[mine], prints_F[own_H[mine]], reach)
        if count >= LEAST:
            of_text = places_F[own_H[mine][first : last + 1]]
            place, end = int(held_H[mine][first]), int(held_H[mine][last]) + WINDOW
            span = min(end, part.end_of(row)) - place
            found.append(Near(count / num_asked, part, row, place, span, int(of_text.min()), int(of_text.max())))
    return found


def _stretch(held: I64, prints: U32, reach: int) -> tuple[int, int, int]:
    """The stretch with most different fingerprints: their number, and its first and last place."""
    best, first = (0, 0, 0), 0
    inside: dict[int, int] = {}
    names = prints.tolist()
    for last, place in enumerate(held.tolist()):
        inside[names[last]] = inside.get(names[last], 0) + 1
        while place - int(held[first]) > reach:
            inside[names[first]] -= 1
            if not inside[names[first]]:
                del inside[names[first]]
            first += 1
        if len(inside) > best[0]:
            best = (len(inside), first, last)
    return best
