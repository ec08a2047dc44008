"""Windows: pieces of rows with what a model is shown and what truly follows, and the places of values in them.

A bounded sample of a large training set is drawn by a hash of the rows' names in one pass over it, so it is the same on
every machine and with any number of shards.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from buril.code.codefile import CodeFile
from buril.evaluate.suite import drawn
from buril.scanners import Span
from buril.scanners.secrets import Secrets

CHARS = 16
"""Characters that a token may have at most on average: only so much of a row is encoded."""
TRIES = 5
"""Places of a row that are tried before it is given up, each nearer to its beginning."""
GRAM, NEAR = 5, 0.5
"""Tokens of an n-gram, and the share of common n-grams from which two windows are one: a changed line, other names."""
PROMPT_CHARS = 4
"""Characters before a value that stand for one token."""
_OPENS, _CLOSES = "<", ">"

Encode = Callable[[str], list[int]]


@dataclass
class Drawn:
    """The rows of least `drawn` that were offered, `size` at most."""

    size: int
    seed: int
    _heap: list[tuple[int, int, CodeFile]] = field(default_factory=list)
    _offered: int = 0

    def offer(self, file: CodeFile) -> None:
        """Keep a row, if it is among the least so far."""
        self._offered += 1
        entry = (-int(drawn(file.row_id, self.seed), 16), -self._offered, file)
        if len(self._heap) < self.size:
            heapq.heappush(self._heap, entry)
        elif entry[0] > self._heap[0][0]:
            heapq.heapreplace(self._heap, entry)

    def rows(self) -> list[CodeFile]:
        """The rows, the least first."""
        return [file for _least, _offered, file in sorted(self._heap, reverse=True)]


class Window(NamedTuple):
    """A piece of a row: the tokens shown and those that follow, and the texts of both; `line` counts from 1."""

    file: CodeFile
    line: int
    prompt: tuple[int, ...]
    truth: tuple[int, ...]
    head: str
    tail: str

    @property
    def key(self) -> str:
        """The unit's name: the row and the line where the window begins."""
        return f"{self.file.row_id}:{self.line}"


def windows(rows: Iterable[CodeFile], encode: Encode, sizes: tuple[int, int], *, seed: int) -> Iterator[Window]:
    """One window of each row that has room for one, without those that are nearly the same as one before.

    A window begins at the start of a line that is not empty, which a hash chooses; it is encoded from there on.
    """
    known = _Known()
    for file in rows:
        window = _window(file, encode, sizes, seed)
        if window is not None and known.is_new(window):
            yield window


def _window(file: CodeFile, encode: Encode, sizes: tuple[int, int], seed: int) -> Window | None:
    shown, asked = sizes
    starts = list(_starts(file.content))
    for attempt in range(TRIES):
        if not starts:
            return None
        chosen = int(drawn(f"{file.row_id}:{attempt}", seed), 16) % len(starts)
        line, start = starts[chosen]
        text = file.content[start : start + CHARS * (shown + asked)]
        ids = encode(text)
        if len(ids) > shown + asked:  # one more than needed: the last token of a cut text may be half of one
            ends = [_length(text, ids[:number], encode) for number in (shown, shown + asked)]
            parts = text[: ends[0]], text[ends[0] : ends[1]]
            return Window(file, line, tuple(ids[:shown]), tuple(ids[shown : shown + asked]), *parts)
        starts = starts[:chosen]
    return None


def _starts(content: str) -> Iterator[tuple[int, int]]:
    """Number and first character of each line that is not empty."""
    place = 0
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        if line.strip():
            yield number, place
        place += len(line)


def _length(text: str, ids: list[int], encode: Encode) -> int:
    """The characters of the beginning of a text that is just those tokens, or nearly; it is only shown.

    A beginning that ends within a token may have more tokens than one that ends with it, so halving finds a place near
    the end, and the end is among the next few.
    """
    low, high = 0, min(len(text), CHARS * len(ids))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(encode(text[:middle])) <= len(ids) else (low, middle - 1)
    near = range(max(0, low - CHARS), min(len(text), low + CHARS) + 1)
    return next((place for place in near if encode(text[:place]) == ids), low)


class _Known:
    """The n-grams of the windows so far."""

    def __init__(self) -> None:
        self._where: dict[tuple[int, ...], list[int]] = {}
        self._sizes: list[int] = []

    def is_new(self, window: Window) -> bool:
        """Whether a window is like none before; then it is known from now on."""
        ids = window.prompt + window.truth
        grams = {ids[place : place + GRAM] for place in range(max(1, len(ids) - GRAM + 1))}
        common: dict[int, int] = {}
        for gram in grams:
            for number in self._where.get(gram, ()):
                common[number] = common.get(number, 0) + 1
        if any(count >= NEAR * (len(grams) + self._sizes[number] - count) for number, count in common.items()):
            return False
        for gram in grams:
            self._where.setdefault(gram, []).append(len(self._sizes))
        self._sizes.append(len(grams))
        return True


class Place(NamedTuple):
    """Where a training row holds a value, or what stands for one (`value` is then ""): the text before, and the rule.

    `byte` is where it begins in the row.
    """

    file: CodeFile
    byte: int
    rule: str
    value: str
    head: str

    @property
    def key(self) -> str:
        """The unit's name: the row and the byte."""
        return f"{self.file.row_id}:{self.byte}"


def places(file: CodeFile, scanner: Secrets, num_tokens: int) -> Iterator[Place]:
    """The values that a scanner sees in a row, and the placeholders that redaction put there.

    A value that stands in the text before it is left out: writing it again there is copying.
    """
    source = file.content.encode("utf-8", "replace")
    for span in scanner.spans(source, file.language):
        value = source[span.start : span.end].decode("utf-8", "replace")
        head = _before(source, span.start, num_tokens)
        if value not in head:
            yield Place(file, span.start, span.rule, value, head)
    for rule, written in dict.fromkeys((item.rule, item.placeholder) for item in file.redactions):
        forms = (written, written.strip(_OPENS + _CLOSES))
        at = next((place for form in forms if (place := source.find(form.encode())) > 0), -1)
        if at > 0:
            yield Place(file, at, rule, "", _before(source, at, num_tokens))


def _before(source: bytes, end: int, num_tokens: int) -> str:
    """What stands before a byte: about so many tokens, from the start of a line where there is one."""
    first = max(0, end - PROMPT_CHARS * num_tokens)
    line = source.find(b"\n", first, end) + 1 if first else 0
    return source[line or first : end].decode("utf-8", "ignore")


def masked(texts: tuple[str, str], which: int, scanner: Secrets, language: str) -> str:
    """The first or second of two texts that follow one another, with the rule in place of every value in both."""
    parts = [text.encode("utf-8", "replace") for text in texts]
    source, start = parts[0] + parts[1], len(parts[0]) if which else 0
    shown, done = [], start
    end = start + len(parts[which])
    for span in scanner.spans(source, language):
        if span.end > start and span.start < end:
            shown += [source[done : max(done, span.start)], f"<{span.rule}>".encode()]
            done = span.end
    return b"".join([*shown, source[done:end]]).decode("utf-8", "replace")


def written_spans(head: str, text: str, scanner: Secrets, language: str) -> list[Span]:
    """The values that a scanner sees in a text, as what stands before it shows them."""
    before = len(head.encode("utf-8", "replace"))
    return [span for span in scanner.spans((head + text).encode("utf-8", "replace"), language) if span.end > before]
