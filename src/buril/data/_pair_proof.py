"""What a proposed pair has to stand before anything is learnt from it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from buril.code.codefile import Verdict, read_rows
from buril.code.parse import HardParse, parse
from buril.core.stage import Inputs
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
_EDGE = 3
"""Lines that are kept after the last change of a long text."""


class Prover:
    """Judges pairs one after the other, and remembers those that it let pass."""

    def __init__(self, told: Pairs.Settings, inputs: Inputs) -> None:
        self._told = told
        self._scanners: list[Scanner] = [ref.make() for ref in told.scan]
        self._seen: set[tuple[str, str]] = set()
        self._held_out = _held_out(inputs)
        self._finder = _finder(told.against)

    def proved(self, pair: Pair) -> Pair | Verdict:
        """The pair, cut to size, with what was found to hold; or why it is dropped. What costs least comes first."""
        pair = shortened(pair, self._told.max_bytes)
        verdict = self._form(pair) or self._copied(pair)
        if verdict:
            return verdict._replace(step=pair.source)
        if not parses_alike(pair):
            return Verdict(pair.source, "does_not_parse")
        told_apart = self._told_apart(pair)
        if isinstance(told_apart, Verdict):
            return told_apart
        self._seen.add((pair.secure, pair.vulnerable))
        return pair._replace(proofs=(*pair.proofs, "parses", *(("scanner",) if told_apart else ())))

    def _form(self, pair: Pair) -> Verdict | None:
        secure, vulnerable = pair.secure.strip(), pair.vulnerable.strip()
        if not secure or not vulnerable:
            return Verdict("", "empty")
        if secure == vulnerable:
            return Verdict("", "no_difference")
        if (pair.secure, pair.vulnerable) in self._seen:
            return Verdict("", "duplicate")
        if len(pair.secure.encode("utf-8", "replace")) > self._told.max_bytes * 2:
            return Verdict("", "too_long")
        if pair.claim != "construction" and alike(pair) < LEAST_ALIKE:
            return Verdict("", "other_code", f"{alike(pair):.2f}")
        return None

    def _copied(self, pair: Pair) -> Verdict | None:
        """Whether held-out code or a task of an evaluation stands in it."""
        if self._held_out and (windows(pair.secure, WINDOW) | windows(pair.vulnerable, WINDOW)) & self._held_out:
            return Verdict("", "in_held_out")
        for text in (pair.secure, pair.vulnerable) if self._finder else ():
            task = self._finder(text)
            if task:
                return Verdict("", "contaminated", task)
        return None

    def _told_apart(self, pair: Pair) -> bool | Verdict:
        """Whether a scanner sees the weakness in one text and in the other not; or why that can't be believed."""
        scanners = [scanner for scanner in self._scanners if reads(scanner, pair.language)]
        seen = [_weaknesses(scanner, pair.vulnerable, pair.language) for scanner in scanners]
        left = [_weaknesses(scanner, pair.secure, pair.language) for scanner in scanners]
        in_vulnerable = any(same(pair.cwe, cwe) for found in seen for cwe in found or ())
        in_secure = any(same(pair.cwe, cwe) for found in left for cwe in found or ())
        if pair.claim == "scanner":
            if any(found is None for found in (*seen, *left)) or not scanners:
                return Verdict(pair.source, "inconclusive")
            if not in_vulnerable:
                return Verdict(pair.source, "nothing_seen", pair.cwe)
            if in_secure:
                return Verdict(pair.source, "still_seen", pair.cwe)
        return in_vulnerable and not in_secure


def same(one: str, other: str) -> bool:
    """Whether two names of weaknesses may mean one."""
    return one == other or any(one in family and other in family for family in FAMILIES)


def alike(pair: Pair) -> float:
    """The share of lines that both texts have (0 to 1)."""
    lines = difflib.SequenceMatcher(None, pair.secure.splitlines(), pair.vulnerable.splitlines(), autojunk=False)
    return lines.ratio()


def parses_alike(pair: Pair) -> bool:
    """Whether neither text has a place that its grammar does not know and the other text has not."""
    return not (_broken(pair.language, pair.secure) or _broken(pair.language, pair.vulnerable))


def _broken(language: str, text: str) -> bool:
    try:
        return parse(language, text.encode("utf-8", "replace"), bounded=True).root_node.has_error
    except HardParse:
        return True


def _weaknesses(scanner: Scanner, text: str, language: str) -> set[str] | None:
    """The weaknesses that a scanner names; None when it could not read the text."""
    found = list(scanner.scan(text, language))
    if any(item.rule in (INCONCLUSIVE, PARTIAL) for item in found):
        return None
    return {item.cwe for item in found if item.cwe}


def shortened(pair: Pair, most: int) -> Pair:
    """A pair whose texts have about `most` bytes: lines far before the first change and after the last are left out.

    A text may begin within a function then, so only pairs of long files are cut, at a line without indentation where
    there is one.
    """
    if max(len(pair.secure.encode("utf-8", "replace")), len(pair.vulnerable.encode("utf-8", "replace"))) <= most:
        return pair
    secure, vulnerable = pair.secure.splitlines(keepends=True), pair.vulnerable.splitlines(keepends=True)
    before = _common(secure, vulnerable)
    after = min(_common(secure[::-1], vulnerable[::-1]), len(secure) - before, len(vulnerable) - before)
    room = most - sum(len(line.encode("utf-8", "replace")) for line in secure[before : len(secure) - after])
    start = before
    while start and room - len(secure[start - 1].encode("utf-8", "replace")) > 0:
        start -= 1
        room -= len(secure[start].encode("utf-8", "replace"))
    while start and start < before and secure[start][:1] in (" ", "\t", "\n", ")", "}", "]"):
        start += 1
    kept = max(0, after - _EDGE)
    texts = ("".join(lines[start : len(lines) - kept]) for lines in (secure, vulnerable))
    return pair._replace(secure=next(texts), vulnerable=next(texts))


def _common(one: list[str], other: list[str]) -> int:
    """How many lines two texts begin with alike."""
    number = 0
    for first, second in zip(one, other, strict=False):
        if first != second:
            break
        number += 1
    return number


def _held_out(inputs: Inputs) -> set[int]:
    """The word windows of the held-out parts, where a source reads the split."""
    found: set[int] = set()
    for part in ("valid", "test") if "split" in inputs else ():
        for shard in inputs["split"].files(f"{part}/*.parquet"):
            for file in read_rows(shard):
                found |= windows(file.content, WINDOW)
    return found


def _finder(against: tuple[str, ...]) -> Any:
    """What tells which evaluation task stands in a text, "" for none; None where there are no tasks."""
    if not against:
        return None
    import numpy as np

    from buril.code.tasktexts import Finder, digests, tasks_of

    tasks = tasks_of(against, digests(against))
    finder = Finder(tasks)

    def find(text: str) -> str:
        share_X = finder.shares(text.encode("utf-8", "replace"))
        if share_X is None or not len(share_X) or float(share_X.max()) < CONTAMINATED:
            return ""
        return str(tasks.task[int(np.argmax(share_X))])

    return find


CONTAMINATED = 0.5
"""Share of a task's word n-grams in a text from which it counts as holding the task, as in `prepare`."""
