"""What hides in a text: every suspect place judged by its neighbours and by the region in which it stands."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from buril.scanners import _characters as characters
from buril.scanners import _confusables as confusables
from buril.scanners._regions import Region, Regions
from buril.scanners._unicode_rules import RANK, RULES

_WORD_SIGN = re.compile(r"\w")
_ASCII_WORDS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ENDS_LINES = frozenset(("javascript", "typescript", "tsx", "csharp"))
"""Languages in which U+2028 and U+2029 end a line, and with it a comment."""
_ALIASES = frozenset(("julia", "haskell"))
"""Languages in which signs beyond ASCII are operators of their own."""
_WORD_END = re.compile(r"[A-Za-z0-9_]+\Z")
_WORD_START = re.compile(r"[A-Za-z0-9_]+")
_WORD = 3
"""Letters from which on a word at whose edge something stands is looked for elsewhere."""
_SOFT_HYPHEN = "\u00ad"
_NEAR = 200
"""Characters on each side of a place that are looked at."""


class Hit(NamedTuple):
    """A rule and the characters it is about: offsets in characters of the text."""

    start: int
    end: int
    rule: str


class _Offsets:
    """From characters to bytes; asked in ascending order, it reads the text once."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._bytes = text, 0, 0

    def __call__(self, at: int) -> int:
        if at < self._at:
            self._at = self._bytes = 0
        self._bytes += len(encoded(self._text[self._at : at]))
        self._at = at
        return self._bytes


def encoded(text: str) -> bytes:
    """The bytes of a text, those that are no UTF-8 as they were."""
    return text.encode("utf-8", "surrogateescape")


def decoded(source: bytes) -> str:
    """A text whose every byte, valid or not, comes back with `encoded`."""
    return source.decode("utf-8", "surrogateescape")


def hits(source: bytes, language: str) -> list[Hit]:
    """Everything that hides, in order of its place; hits may meet."""
    if source.isascii() and not _has_controls(source):
        return []
    judge = _Judge(source, language)
    return sorted({*judge.signs(), *judge.identifiers()})


def disjoint(found: list[Hit]) -> list[Hit]:
    """The hits that do not meet, in order; of two that do, the worse."""
    taken: list[Hit] = []
    for hit in sorted(found, key=lambda item: (RANK[RULES[item.rule].severity], item)):
        at = bisect(taken, hit)
        if (at == 0 or taken[at - 1].end <= hit.start) and (at == len(taken) or hit.end <= taken[at].start):
            taken.insert(at, hit)
    return taken


def _has_controls(source: bytes) -> bool:
    """Whether an ASCII text holds a control: one pass in C, and a second one only where there is a return."""
    if len(source.translate(None, characters.PROBE)) == len(source):
        return False
    return characters.PLAIN_CONTROLS.search(source) is not None


class _Judge:
    """The rules at work on one text."""

    def __init__(self, source: bytes, language: str) -> None:
        text = decoded(source)
        self._source, self._text, self._language = source, text, language
        self._regions = Regions(source, language)
        self._judged_to, self._bidi_rule = 0, ""
        self._returns, self._breaks = text.count("\r") - text.count("\r\n"), text.count("\n")

    def signs(self) -> Iterator[Hit]:
        """Hits of single characters and of runs."""
        offsets, past = _Offsets(self._text), 0
        for place in characters.suspects(self._text):
            if place.at < past:
                continue
            if flag := characters.flag(self._text, place.at):
                past = flag
                continue
            for hit in self._judged(place, offsets):
                past = max(past, hit.end)
                yield hit

    def _judged(self, place: characters.Place, offsets: _Offsets) -> Iterator[Hit]:
        kind = characters.kind(place.sign)
        if kind == "control":
            found = self._control(place, offsets)
        elif kind == "invisible":
            found = self._invisible(place, offsets)
        else:
            rule = getattr(self, f"_{kind}")(place, offsets)
            found = Hit(place.at, place.at + 1, rule) if rule else None
        if found is not None:
            yield found

    def _region(self, at: int, offsets: _Offsets) -> Region:
        return self._regions.at(offsets(at)) if self._regions.known else "text"

    def _bidi(self, place: characters.Place, offsets: _Offsets) -> str:
        start = offsets(place.at)
        if self._regions.at(start) == "code":
            return "bidi-in-code"
        if start >= self._judged_to:
            first, last = self._regions.bounds(start)
            begin = max(first, self._source.rfind(b"\n", first, start) + 1)
            end = self._source.find(b"\n", start, last)
            self._judged_to = last if end < 0 else end
            self._bidi_rule = _bidi_rule(decoded(self._source[begin : self._judged_to]))
        return self._bidi_rule

    def _mark(self, place: characters.Place, offsets: _Offsets) -> str:
        return "bidi-mark" if self._region(place.at, offsets) == "code" else ""

    def _invisible(self, place: characters.Place, offsets: _Offsets) -> Hit | None:
        text, at = self._text, place.at
        if hidden := self._run(at):
            return Hit(at, hidden, "hidden-text")
        if characters.belongs(text, at):
            return None
        region = self._region(at, offsets)
        if region == "code":
            return Hit(at, at + 1, "invisible-in-code")
        word = place.sign != _SOFT_HYPHEN and region != "comment" and self._splits_a_word(at, region)
        return Hit(at, at + 1, "invisible-in-word") if word else None

    def _splits_a_word(self, at: int, region: Region) -> bool:
        """Whether an invisible character makes a word another one.

        In a string it stands between two letters, or at the edge of a word that the text has elsewhere; where nothing
        is known of the place, it parts a word that the text has elsewhere.
        """
        left = _WORD_END.search(self._text, max(0, at - _NEAR), at)
        right = _WORD_START.match(self._text, at + 1)
        if left and right:
            return region == "string" or left[0] + right[0] in self._words
        found = left or right
        return region == "string" and found is not None and len(found[0]) >= _WORD and self._text.count(found[0]) > 1

    def _run(self, at: int) -> int:
        """Where a run that carries hidden text ends; 0 where none begins."""
        for pattern in (characters.TAGS, characters.VARIATIONS, characters.HIDDEN_RUN):
            if found := pattern.match(self._text, at):
                return found.end()
        return 0

    def _space(self, place: characters.Place, offsets: _Offsets) -> str:
        return "unusual-space" if self._region(place.at, offsets) == "code" else ""

    def _symbol(self, place: characters.Place, offsets: _Offsets) -> str:
        if self._language in _ALIASES:
            return ""
        return "lookalike-symbol" if self._region(place.at, offsets) == "code" else ""

    def _separator(self, place: characters.Place, offsets: _Offsets) -> str:
        if self._language not in _ENDS_LINES or not self._regions.known:
            return ""
        return "hidden-line" if self._regions.at(offsets(place.at) - 1) == "comment" else ""

    def _control(self, place: characters.Place, offsets: _Offsets) -> Hit | None:
        at, text = place.at, self._text
        if place.sign == "\r":
            return Hit(at, at + 1, "hidden-line") if self._hides_a_line(at) else None
        if escape := characters.ESCAPE.match(text, at):
            rule = characters.escape_rule(escape)
            return Hit(at, escape.end(), rule) if rule else None
        if erased := characters.ERASING.match(text, at):
            return Hit(at, erased.end(), "terminal-hides")
        return Hit(at, at + 1, "control-character") if self._region(at, offsets) == "code" else None

    def _hides_a_line(self, at: int) -> bool:
        """Whether a return alone stands between two pieces of a line, in a text whose lines end otherwise."""
        if self._returns > self._breaks:
            return False  # lines that end as on a Macintosh of old
        before = self._text[max(0, at - _NEAR) : at].rpartition("\n")[2]
        return bool(before.strip() and self._text[at : at + _NEAR].partition("\n")[0].strip())

    def identifiers(self) -> Iterator[Hit]:
        """Hits of names with look-alike letters, and of words elsewhere that the text has in plain ASCII too."""
        text, past = self._text, 0
        offsets = _Offsets(text)
        for letter in confusables.SUSPECT.finditer(text):
            at = letter.start()
            if at < past:
                continue
            region = self._region(at, offsets)
            if region == "comment":
                continue
            start, past = self._word(at)
            word, rule = text[start:past], ""
            if region == "code":
                rule = confusables.judged(word, self._words, self._others)
            elif confusables.disguised(word, self._words):
                rule = "confusable-word"
            if rule:
                yield Hit(start, past, rule)

    def _word(self, at: int) -> tuple[int, int]:
        start, end = at, at + 1
        while start and _WORD_SIGN.match(self._text, start - 1):
            start -= 1
        while _WORD_SIGN.match(self._text, end):
            end += 1
        return start, end

    @cached_property
    def _words(self) -> frozenset[str]:
        return frozenset(_ASCII_WORDS.findall(self._text))

    @cached_property
    def _others(self) -> bool:
        return confusables.foreign(self._text)


def _bidi_rule(piece: str) -> str:
    """The rule for a line, or the part of it that one string or comment holds."""
    if characters.unbalanced(piece):
        return "bidi-unbalanced"
    return "bidi-right-to-left" if characters.RIGHT_TO_LEFT.search(piece) else "bidi-balanced"
