"""One pass over a text for the heads of all rules at once.

With `hyperscan` (a binding of Vectorscan, BSD) all heads are one automaton, some 400 MB/s of code on one core whatever
their number. Heads have one length each, so that where one begins follows from where it ends: the library's own
starts of match would cost two thirds of the speed. Where the package has no wheel, words are found by `_keywords.py`
and the other heads by `re`: far slower (0.9 MB/s), the same results.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from buril.scanners._database import database
from buril.scanners._keywords import Keywords
from buril.scanners._rules import Rule

Places = dict[int, list[int]]
"""Rule's index → ascending offsets in bytes where one of its heads begins."""


def engine(rules: tuple[Rule, ...]) -> Callable[[bytes], Places]:
    """What finds the heads of `rules`; made once a process for the same rules, and inherited by its forks."""
    return _made(rules, _library() is not None)


@cache
def _made(rules: tuple[Rule, ...], fast: bool) -> Callable[[bytes], Places]:
    return Automaton(rules) if fast else Plain(rules)


@cache
def _library() -> Any:
    """The package, or None where it is not installed or its library does not load on this processor."""
    try:
        import hyperscan
    except (ImportError, OSError):
        return None
    return hyperscan


class Automaton:
    """All heads in one hyperscan database."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        library = _library()
        owners: dict[tuple[bytes, bool], list[tuple[int, int]]] = {}
        for index, rule in enumerate(rules):
            for head in rule.heads:
                owners.setdefault((head.expression, head.caseless), []).append((head.length, index))
        self._owners = list(owners.values())
        self._database = database(library, list(owners)) if owners else None
        self._scratch = _Scratch(library)

    def __call__(self, source: bytes) -> Places:
        """Where heads begin in `source`."""
        if self._database is None or not source:
            return {}
        hits: set[tuple[int, int]] = set()

        def note(head: int, _start: int, end: int, _flags: int, _context: object) -> None:
            hits.add((head, end))

        self._database.scan(source, match_event_handler=note, scratch=self._scratch.of(self._database))
        found: dict[int, set[int]] = {}
        for head, end in hits:
            for length, index in self._owners[head]:
                if end >= length:
                    found.setdefault(index, set()).add(end - length)
        return {index: sorted(found[index]) for index in sorted(found)}


class _Scratch(threading.local):
    """What a scan works in: each thread has its own, since two scans at once in one are an error."""

    def __init__(self, library: Any) -> None:
        self._library, self._made = library, None

    def of(self, found: Any) -> Any:
        """This thread's for a database."""
        if self._made is None:
            self._made = self._library.Scratch(found)
        return self._made


class Plain:
    """The same with numpy and `re` alone; it may give more places than the automaton, never fewer."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._words: dict[bytes, list[tuple[int, int]]] = {}
        shared: dict[tuple[bytes, bool], list[int]] = {}
        for index, rule in enumerate(rules):
            for head in rule.heads:
                for word in head.words:
                    self._words.setdefault(word.lower(), []).append((index, head.lead))
                if not head.words:
                    shared.setdefault((head.plain, head.caseless), []).append(index)
        self._patterns = [
            (re.compile(plain, re.DOTALL | (re.IGNORECASE if caseless else 0)), indices)
            for (plain, caseless), indices in shared.items()
        ]
        self._keywords = Keywords(self._words)

    def __call__(self, source: bytes) -> Places:
        """Where heads begin in `source`."""
        found: dict[int, set[int]] = {}
        for word, places in self._keywords.find(source).items():
            for index, lead in self._words[word]:
                found.setdefault(index, set()).update(place - lead for place in places if place >= lead)
        for pattern, indices in self._patterns:
            places = [match.start() for match in pattern.finditer(source)]
            for index in indices if places else ():
                found.setdefault(index, set()).update(places)
        return {index: sorted(found[index]) for index in sorted(found)}
