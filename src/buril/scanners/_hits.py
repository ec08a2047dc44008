"""What hides in a text: every suspect place judged by its neighbours and by the region in which it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from buril.scanners import _characters as characters
from buril.scanners import _confusables as confusables
from buril.scanners._regions import Region, Regions

_WORDS = re.compile(r"\w+")
_ASCII_WORDS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ENDS_LINES = frozenset(("javascript", "typescript", "tsx", "csharp"))
"""Languages in which U+2028 and U+2029 end a line, and with it a comment."""
_ALIASES = frozenset(("julia", "haskell"))
"""Languages in which signs beyond ASCII are operators of their own."""
_OVERWRITES = frozenset("ABCDEFGHJKfsu")
_CONCEALS = re.compile("\x1b\\[(?:[0-9;]*;)?8(?:;[0-9;]*)?m")


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
    text = decoded(source)
    judge = _Judge(text, Regions(source, language), language)
    return sorted({*judge.characters(), *judge.identifiers()})


def _has_controls(source: bytes) -> bool:
    """Whether an ASCII text holds a control: one pass in C, and a second one only where there is a return."""
    if len(source.translate(None, characters.PROBE)) == len(source):
        return False
    return characters.PLAIN_CONTROLS.search(source) is not None


class _Judge:
    """The rules at work on one text."""

    def __init__(self, text: str, regions: Regions, language: str) -> None:
        self._text, self._regions, self._language = text, regions, language
        self._returns = text.count("\r") - text.count("\r\n")

    def characters(self) -> Iterator[Hit]:
        """Hits of single characters and of runs."""
        offsets, past = _Offsets(self._text), 0
        for place in characters.suspects(self._text):
            if place.at < past:
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
        start = offsets(at)
        return self._regions.at(start, start + len(encoded(self._text[at])))

    def _line(self, at: int) -> tuple[int, int]:
        end = self._text.find("\n", at)
        return self._text.rfind("\n", 0, at) + 1, len(self._text) if end < 0 else end

    def _bidi(self, place: characters.Place, offsets: _Offsets) -> str:
        start = offsets(place.at)
        first, last = self._regions.bounds(start, start + 3)
        if self._regions.at(start, start + 3) == "code":
            return "bidi-in-code"
        begin, end = self._line(place.at)
        begin = max(begin, place.at - len(decoded(encoded(self._text[begin : place.at])[-(start - first) :])))
        if last - start < 4 * (end - place.at):
            end = min(end, place.at + len(decoded(encoded(self._text[place.at : end])[: last - start])))
        piece = self._text[begin:end]
        if characters.unbalanced(piece):
            return "bidi-unbalanced"
        return "bidi-right-to-left" if characters.RIGHT_TO_LEFT.search(piece) else "bidi-balanced"

    def _mark(self, place: characters.Place, offsets: _Offsets) -> str:
        return "bidi-mark" if self._region(place.at, offsets) == "code" else ""

    def _invisible(self, place: characters.Place, offsets: _Offsets) -> Hit | None:
        text, at = self._text, place.at
        if hidden := self._run(at):
            return Hit(at, hidden, "hidden-text")
        flag = characters.FLAG.match(text, at)
        if flag and text[at - 1 : at] == characters.FLAG_BASE or characters.belongs(text, at):
            return None
        region = self._region(at, offsets)
        inside = all(sign.isascii() and sign.isalnum() for sign in (text[at - 1 : at] or " ", text[at + 1 : at + 2] or " "))
        if region == "code":
            return Hit(at, at + 1, "invisible-in-code")
        word = inside and place.sign != "\u00ad" and region == "string"
        return Hit(at, at + 1, "invisible-in-word") if word else None

    def _run(self, at: int) -> int:
        """Where a run that carries hidden text ends; 0 where none begins."""
        tags = characters.TAGS.match(self._text, at)
        if tags:
            flag = characters.FLAG.fullmatch(tags[0]) and self._text[at - 1 : at] == characters.FLAG_BASE
            return 0 if flag else tags.end()
        for pattern in (characters.VARIATIONS, characters.HIDDEN_RUN):
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
        if self._language not in _ENDS_LINES:
            return ""
        return "hidden-line" if self._region(place.at, offsets) == "comment" else ""

    def _control(self, place: characters.Place, offsets: _Offsets) -> Hit | None:
        at, text = place.at, self._text
        if place.sign == "\r":
            return Hit(at, at + 1, "hidden-line") if self._hides_a_line(at) else None
        if escape := characters.ESCAPE.match(text, at):
            kinds = escape["kind"] or escape["other"] or ""
            hides = kinds in _OVERWRITES if kinds else False
            rule = "terminal-hides" if hides or _CONCEALS.match(text, at) else "escape-sequence"
            return Hit(at, escape.end(), rule)
        if place.sign == "\b":
            return Hit(at, at + 1, "terminal-hides") if text[at - 1 : at].isprintable() and at else None
        return Hit(at, at + 1, "control-character") if self._region(at, offsets) == "code" else None

    def _hides_a_line(self, at: int) -> bool:
        """Whether a return alone stands between two pieces of a line, in a text whose lines end otherwise."""
        begin, end = self._line(at)
        if self._returns > self._text.count("\n"):
            return False  # lines that end as on a Macintosh of old
        return bool(self._text[begin:at].strip() and self._text[at:end].strip())

    def identifiers(self) -> Iterator[Hit]:
        """Hits of names with look-alike letters. Where no tree tells names from prose, only the sure ones."""
        text = self._text
        if not confusables.SUSPECT.search(text):
            return
        words, others = frozenset(_ASCII_WORDS.findall(text)), confusables.foreign(text)
        offsets = _Offsets(text)
        for word in _WORDS.finditer(text):
            if word[0].isascii() or not confusables.SUSPECT.search(word[0]):
                continue
            rule = confusables.judged(word[0], words, others)
            if rule and self._region(word.start(), offsets) == "code":
                yield Hit(word.start(), word.end(), rule)
