"""Which lines of a file a model wrote, by the fingerprints of its completions.

A completion counts as the source of lines when enough of its fingerprints stand close together on them: as many tokens
apart as it has, with room for what an editor or a person put between. With names as they are, or, where fewer suffice
by themselves, without: so formatting, comments and new names are stood. Lines are then told by their tokens: one is a
completion's when half of its tokens stand in such fingerprints.

What it can't tell: lines of a completion that is too short to prove anything, or of which too little is left. A person
who writes what a model wrote, token for token, is taken for it.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from buril.code import winnow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

How = Literal["named", "nameless"]
SHAPES: dict[How, tuple[int, int]] = {"named": winnow.NAMED, "nameless": winnow.NAMELESS}
PART: dict[How, float] = {"named": 0.3, "nameless": 0.5}
"""Share of a completion's fingerprints that must stand together."""
LEAST: dict[How, int] = {"named": 14, "nameless": 30}
"""Tokens that these fingerprints must cover: fewer in a row are idioms, which people write too."""
ALONE: dict[How, int] = {"named": 10, "nameless": 30}
"""The same where all of its fingerprints stand there."""
HITS: dict[How, int] = {"named": 3, "nameless": 6}
"""Different fingerprints that there must be. Of a short text with names all; without names, a text of fewer is one that
goes round, such as a list of arguments, and proves nothing."""
SLACK = 24
"""Tokens that may stand between the parts of a completion, beside as many as it has."""


class Written(NamedTuple):
    """A completion: its id, the model's name, its lexical tokens, and how many fingerprints it has of each kind."""

    id: str
    model: str
    tokens: int
    named: int
    nameless: int


class Source(Protocol):
    """What knows the fingerprints of completions."""

    def hits(self, asked: NDArray[np.uint64], how: How) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of the place of a hash among those asked for, and the number of a completion that has it."""

    def written(self, number: int) -> Written | None:
        """The completion of a number; None where it is none any more."""


class Piece(NamedTuple):
    """Lines in a row (from 1, both included) that one completion wrote, and the share of it that is there."""

    first: int
    last: int
    id: str
    model: str
    share: float
    how: How

    def record(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**self._asdict(), "share": round(self.share, 3)}


class Attributed(NamedTuple):
    """Of a text: how many lines that are not blank were looked at, how many of them a model wrote, and which."""

    lines: int
    generated: int
    pieces: tuple[Piece, ...]

    def at(self, first: int, last: int) -> Piece | None:
        """What wrote any line from `first` to `last`, the nearest to the whole first."""
        found = [piece for piece in self.pieces if piece.first <= last and first <= piece.last]
        return max(found, key=lambda piece: piece.share, default=None)


class _Claim(NamedTuple):
    """The tokens of a text that stand in fingerprints of one completion."""

    written: Written
    share: float
    how: How
    tokens: set[int]


def attributed(text: str, source: Source, added: Sequence[range] | None = None) -> Attributed:
    """Tell which lines of a text were written by whom.

    Args:
        text: a whole file, so that strings and comments begin where they do.
        source: the completions.
        added: the lines that are asked about, from 1; None for all. What stands on others proves nothing.
    """
    rows = text.split("\n")
    asked = [False, *(added is None or any(number in part for part in added) for number in range(1, len(rows) + 1))]
    total = sum(asked[number] and not row.isspace() and row != "" for number, row in enumerate(rows, 1))
    tokens, places = winnow.placed(text)
    starts = list(accumulate((len(row) + 1 for row in rows), initial=0))
    lines = [bisect.bisect_right(starts, place) for place in places]
    claims = _claims(tokens, lines, asked, source)
    owners = _filled(_owners(claims, lines), set(lines), asked)
    generated = [number for number in owners if rows[number - 1].strip()]
    return Attributed(total, len(generated), tuple(_pieces(owners)))


def _claims(tokens: list[str], lines: Sequence[int], asked: Sequence[bool], source: Source) -> list[_Claim]:
    """The completions of which enough stands on the lines that are asked about, the nearest to their whole first."""
    found: dict[str, _Claim] = {}
    for how in SHAPES:
        read = winnow.nameless(tokens) if how == "nameless" else tokens
        for claim in _of_kind(read, lines, asked, source, how):
            if claim.written.id not in found:
                found[claim.written.id] = claim
    return sorted(found.values(), key=lambda claim: (-claim.share, claim.how, claim.written.id))


def _of_kind(
    tokens: list[str], lines: Sequence[int], asked: Sequence[bool], source: Source, how: How
) -> list[_Claim]:  # fmt: skip
    import numpy as np

    length = SHAPES[how][0]
    prints = winnow.prints(tokens, SHAPES[how])
    before = np.concatenate([[0], np.cumsum([asked[line] for line in lines], dtype=np.int64)])
    kept = before[np.minimum(prints.places + length, len(tokens))] - before[prints.places] == length
    hashes, places = prints.hashes[kept], prints.places[kept]
    asked_M, owner_M = source.hits(hashes, how)
    if not len(owner_M):
        return []
    order = np.lexsort((asked_M, owner_M))
    asked_M, owner_M = asked_M[order], owner_M[order]
    owners, begins, counts = np.unique(owner_M, return_index=True, return_counts=True)
    claims = []
    for owner, begin, count in zip(owners.tolist(), begins.tolist(), counts.tolist(), strict=True):
        written = source.written(owner) if count > 1 else None
        if written is not None:
            mine = asked_M[begin : begin + count]
            claim = _claim(written, places[mine].tolist(), hashes[mine].tolist(), how, lines)
            claims += [claim] if claim else []
    return claims


def _claim(
    written: Written, places: list[int], hashes: list[int], how: How, lines: Sequence[int]
) -> _Claim | None:  # fmt: skip
    """What a completion may claim of the tokens at which its fingerprints begin; None where that proves nothing."""
    whole = getattr(written, how)
    least = min(HITS[how], whole) if how == "named" else HITS[how]
    needed = max(math.ceil(PART[how] * whole), least)
    length, reach = SHAPES[how][0], 2 * written.tokens + SLACK
    covered: set[int] = set()
    best = end = 0
    for begin, place in enumerate(places):
        while end < len(places) and places[end] <= place + reach:
            end += 1
        together = len(set(hashes[begin:end]))
        if together < needed:
            continue
        tokens = {token for start in places[begin:end] for token in range(start, start + length)}
        if len(tokens) >= (ALONE if together == whole else LEAST)[how]:
            best = max(best, together)
            covered |= tokens
            covered |= _edges(tokens, written.tokens, how, lines) if together == whole else set()
    return _Claim(written, min(1.0, best / whole), how, covered) if covered else None


def _edges(tokens: set[int], whole: int, how: How, lines: Sequence[int]) -> set[int]:
    """The tokens at both ends of a text that is there as a whole: its first and last few may be in no fingerprint.

    How many they are together is known; they are shared out so that the text begins and ends with lines, if it can.
    """
    most, first, last = SHAPES[how][1] - 1, min(tokens), max(tokens)
    rest = whole - len(tokens)
    if last - first + 1 != len(tokens) or not 0 < rest <= 2 * most:
        return set()

    def fits(before: int) -> tuple[bool, bool]:
        begin, end = first - before, last + rest - before
        if begin < 0 or end >= len(lines):
            return False, False
        starts = begin == 0 or lines[begin - 1] != lines[begin]
        return (end + 1 == len(lines) or lines[end + 1] != lines[end]), starts

    before = max(range(max(0, rest - most), min(rest, most) + 1), key=fits)
    edges = {*range(first - before, first), *range(last + 1, last + 1 + rest - before)}
    return {token for token in edges if 0 <= token < len(lines)}


def _owners(claims: Sequence[_Claim], lines: Sequence[int]) -> dict[int, _Claim]:
    """Whose each line is: the first claim, by its share, that covers half of the line's tokens."""
    numbers: dict[int, int] = {}
    for line in lines:
        numbers[line] = numbers.get(line, 0) + 1
    found: dict[int, _Claim] = {}
    for claim in claims:
        mine: dict[int, int] = {}
        for token in claim.tokens:
            mine[lines[token]] = mine.get(lines[token], 0) + 1
        for line, number in mine.items():
            if 2 * number >= numbers[line]:
                found.setdefault(line, claim)
    return found


def _filled(owners: dict[int, _Claim], told: set[int], asked: Sequence[bool]) -> dict[int, _Claim]:
    """The same with the lines between two of one completion that hold no token: comments, the inside of strings."""
    found = dict(sorted(owners.items()))
    ordered = sorted(told)
    for one, other in zip(ordered, ordered[1:], strict=False):
        claim = owners.get(one)
        if claim is not None and owners.get(other) is claim:
            found.update((line, claim) for line in range(one + 1, other) if asked[line])
    return dict(sorted(found.items()))


def _pieces(owners: dict[int, _Claim]) -> list[Piece]:
    """Lines in a row with one owner as pieces."""
    pieces: list[Piece] = []
    for line, claim in owners.items():
        last = pieces[-1] if pieces else None
        if last and last.last == line - 1 and last.id == claim.written.id:
            pieces[-1] = last._replace(last=line)
        else:
            pieces.append(Piece(line, line, claim.written.id, claim.written.model, claim.share, claim.how))
    return pieces
