"""What a proposed pair has to stand before anything is learnt from it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from buril.code.codefile import Verdict, read_rows
from buril.code.license import allowed
from buril.core.stage import Inputs
from buril.data._pair_cut import alike, parses_alike, shortened
from buril.data._proof import WINDOW, windows
from buril.data.pair import Pair
from buril.scanners import INCONCLUSIVE, PARTIAL, Scanner, reads

if TYPE_CHECKING:
    from buril.data.pairs import Pairs

FAMILIES = (
    ("CWE-77", "CWE-78", "CWE-88"), ("CWE-94", "CWE-95"), ("CWE-326", "CWE-327", "CWE-328"), ("CWE-328", "CWE-916"),
    ("CWE-330", "CWE-338"), ("CWE-259", "CWE-798", "CWE-321"), ("CWE-22", "CWE-23", "CWE-73"), ("CWE-611", "CWE-776"),
    ("CWE-614", "CWE-1004"), ("CWE-94", "CWE-1336"),
)  # fmt: skip
"""Weaknesses that scanners call by one name or another."""
LEAST_ALIKE = 0.3
"""Share of its lines that a text keeps: what keeps less is not the same code without a weakness, but other code."""
HELD_OUT = 0.3
"""Share of a text's word windows in held-out code from which it counts as a part of it: a few are in all code."""
CONTAMINATED = 0.5
"""Share of a task's word n-grams in a text from which it counts as holding the task, as in `prepare`."""


class Prover:
    """Judges pairs one after the other, and remembers those that it let pass."""

    def __init__(self, told: Pairs.Settings, inputs: Inputs) -> None:
        self._told = told
        self._scanners: list[Scanner] = [ref.make() for ref in told.scan]
        self._seen: set[str] = set()
        self._held_out = _held_out(inputs)
        self._finder = _finder(told.against)

    def proved(self, pair: Pair) -> Pair | Verdict:
        """The pair, cut to size, with what was found to hold; or why it is dropped. What costs least comes first."""
        pair = shortened(pair, self._told.max_bytes)
        verdict = self._form(pair) or self._license(pair) or self._copied(pair)
        if verdict:
            return verdict._replace(step=pair.source)
        if not parses_alike(pair):
            return Verdict(pair.source, "does_not_parse")
        told_apart = self._told_apart(pair)
        if isinstance(told_apart, Verdict):
            return told_apart
        self._seen.add(pair.pair_id)
        return pair._replace(proofs=(*pair.proofs, "parses", *(("scanner",) if told_apart else ())))

    def _form(self, pair: Pair) -> Verdict | None:
        secure, vulnerable = pair.secure.strip(), pair.vulnerable.strip()
        if not secure or not vulnerable:
            return Verdict("", "empty")
        if secure == vulnerable:
            return Verdict("", "no_difference")
        if pair.pair_id in self._seen:
            return Verdict("", "duplicate")
        size = max(len(text.encode("utf-8", "replace")) for text in (pair.secure, pair.vulnerable))
        if size > self._told.max_bytes:
            return Verdict("", "too_long", f"{size} > {self._told.max_bytes}")
        share = 1.0 if pair.claim == "construction" else alike(pair.secure, pair.vulnerable)
        return Verdict("", "other_code", f"{share:.2f}") if share < LEAST_ALIKE else None

    def _license(self, pair: Pair) -> Verdict | None:
        told = self._told.licenses
        if told is None or allowed(pair.license, told):
            return None
        return Verdict("", "license", pair.license) if pair.license else Verdict("", "unknown_license")

    def _copied(self, pair: Pair) -> Verdict | None:
        """Whether held-out code or a task of an evaluation stands in it."""
        for text in (pair.secure, pair.vulnerable):
            share = _share(windows(text, WINDOW), self._held_out) if len(self._held_out) else 0.0
            if share >= HELD_OUT:
                return Verdict("", "in_held_out", f"{share:.2f}")
            if task := self._finder(text) if self._finder else "":
                return Verdict("", "contaminated", task)
        return None

    def _told_apart(self, pair: Pair) -> bool | Verdict:
        """Whether a scanner sees the weakness in one text and in the other not; or why that can't be believed."""
        must = pair.claim == "scanner"
        scanners = [scanner for scanner in self._scanners if reads(scanner, pair.language)]
        seen = [_weaknesses(scanner, pair.vulnerable, pair.language) for scanner in scanners]
        if must and (None in seen or not scanners):
            return Verdict(pair.source, "inconclusive")
        in_vulnerable = any(same(pair.cwe, cwe) for found in seen for cwe in found or ())
        if must and not in_vulnerable:
            return Verdict(pair.source, "nothing_seen", pair.cwe)
        left = [_weaknesses(scanner, pair.secure, pair.language) for scanner in scanners]
        if must and None in left:
            return Verdict(pair.source, "inconclusive")
        if any(same(pair.cwe, cwe) for found in left for cwe in found or ()):
            return Verdict(pair.source, "still_seen", pair.cwe)
        return in_vulnerable


def same(one: str, other: str) -> bool:
    """Whether two names of weaknesses may mean one."""
    return one == other or any(one in family and other in family for family in FAMILIES)


def _weaknesses(scanner: Scanner, text: str, language: str) -> set[str] | None:
    """The weaknesses that a scanner names; None when it could not read the text."""
    found = list(scanner.scan(text, language))
    if any(item.rule in (INCONCLUSIVE, PARTIAL) for item in found):
        return None
    return {item.cwe for item in found if item.cwe}


def _share(found: Collection[int], held_out: Any) -> float:
    """The share of some windows that are in a sorted array of others."""
    if not found:
        return 0.0
    wanted = np.fromiter(found, dtype=np.uint64, count=len(found))
    places = np.minimum(np.searchsorted(held_out, wanted), len(held_out) - 1)
    return float((held_out[places] == wanted).mean())


def _held_out(inputs: Inputs) -> Any:
    """The word windows of the held-out parts, sorted, where the split is read; 8 bytes a word of them."""
    found = [np.zeros(0, dtype=np.uint64)]
    for part in ("valid", "test") if "split" in inputs else ():
        for shard in inputs["split"].files(f"{part}/*.parquet"):
            for file in read_rows(shard):
                digests = windows(file.content, WINDOW)
                found.append(np.fromiter(digests, dtype=np.uint64, count=len(digests)))
    return np.unique(np.concatenate(found))


def _finder(against: tuple[str, ...]) -> Any:
    """What tells which evaluation task stands in a text, "" for none; None where there are no tasks."""
    if not against:
        return None
    from buril.code.tasktexts import Finder, digests, tasks_of

    tasks = tasks_of(against, digests(against))
    finder = Finder(tasks)

    def find(text: str) -> str:
        share_X = finder.shares(text.encode("utf-8", "replace"))
        if share_X is None or not len(share_X) or float(share_X.max()) < CONTAMINATED:
            return ""
        return str(tasks.task[int(np.argmax(share_X))])

    return find
