"""Cutting a pair to the functions in which its texts differ, and comparing what is left."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from typing import NamedTuple

from tree_sitter import Tree

from buril.code.excerpt import Span, excerpt, halves, kept_spans, outermost, words
from buril.code.language import language_of
from buril.code.parse import HardParse, error_ratio, parse
from buril.data.pair import Pair

MOST_COMPARED = 2_000
"""Lines between the first and the last difference of two texts that are compared one by one; more are one change."""

_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(")
_PUTS_TOGETHER = frozenset(
    {"format", "join", "str", "concat", "sprintf", "Sprintf", "String", "append", "toString", "encode"}
)


class Side(NamedTuple):
    """Functions (`spans`) in their file, with the file's tree."""

    source: bytes
    tree: Tree
    spans: tuple[Span, ...]

    @property
    def text(self) -> str:
        """The functions' own text."""
        return b"\n".join(self.source[start:end] for start, end in self.spans).decode("utf-8", "replace")


def side_by_side(language: str, one: Side, other: Side) -> tuple[str, str]:
    """Functions of two versions of a file, each with what they need before them.

    Both have the imports of either, where that makes a program, so that they part in a function and not before.
    """
    used = words(one.source, one.spans, language) | words(other.source, other.spans, language)
    heads: list[list[bytes]] = []
    rests: list[bytes] = []
    for side in (one, other):
        head, rest = halves(side.source, side.tree, side.spans, used)
        heads.append(head.splitlines(keepends=True))
        rests.append(rest)
    merged = b"".join(_merged(*heads))
    texts = [(merged + rest).decode("utf-8", "replace") for rest in rests]
    plain = [(b"".join(lines) + rest).decode("utf-8", "replace") for lines, rest in zip(heads, rests, strict=True)]
    if any(_unknown(language, new) != _unknown(language, old) for new, old in zip(texts, plain, strict=True)):
        texts = plain
    return texts[0], texts[1]


def _merged(one: list[bytes], other: list[bytes]) -> list[bytes]:
    """The lines of both, each once, in an order that both have."""
    found: list[bytes] = []
    for _kind, first, last, begin, end in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        found += one[first:last]
        found += [line for line in other[begin:end] if line not in one[first:last]]
    return found


def shortened(pair: Pair, most: int) -> Pair:
    """A pair whose texts have about `most` bytes: functions, classes and imports that the change has no use for go.

    What is left is whole functions with what encloses them, so a pair may stay longer than `most`. One whose texts are
    short, or can't be read, stays as it is.
    """
    if max(len(_raw(pair.secure)), len(_raw(pair.vulnerable))) <= most:
        return pair
    texts = (_raw(pair.secure), _raw(pair.vulnerable))
    try:
        trees = [parse(pair.language, text, bounded=True) for text in texts]
    except HardParse:
        return pair
    spans = [_kept(tree, pair.language, found, most) for tree, found in zip(trees, changes(*texts), strict=True)]
    used = words(texts[0], spans[0], pair.language) | words(texts[1], spans[1], pair.language)
    secure, vulnerable = (
        excerpt(text, tree, kept, used).decode("utf-8", "replace")
        for text, tree, kept in zip(texts, trees, spans, strict=True)
    )
    return pair if secure == vulnerable else pair._replace(secure=secure, vulnerable=vulnerable)


def _kept(tree: Tree, language: str, spans: list[Span], most: int) -> list[Span]:
    """The functions that some spans are in; of what is in none, the statement at the top of the file."""
    found: list[Span] = []
    known = outermost(tree, language, most)
    for start, end in spans:
        inside = [(item.start, item.end) for item in known if item.start < end and start < item.end]
        covered = any(first <= start and end <= last + 1 for first, last in inside)
        found += inside if covered else [*inside, *kept_spans(tree, [(start, end)])]
    return found


def changes(one: bytes, other: bytes) -> tuple[list[Span], list[Span]]:
    """The lines in which two texts differ, each with the line before, as bytes of the one and of the other."""
    first, second = one.splitlines(keepends=True), other.splitlines(keepends=True)
    before = common(first, second)
    after = common(first[before:][::-1], second[before:][::-1])
    middle = first[before : len(first) - after], second[before : len(second) - after]
    places = [(before, len(first) - after, before, len(second) - after)]
    if max(map(len, middle)) <= MOST_COMPARED:
        found = difflib.SequenceMatcher(None, *middle, autojunk=False).get_opcodes()
        places = [
            (before + begin, before + end, before + start, before + last)
            for kind, begin, end, start, last in found
            if kind != "equal"
        ]
    starts = _starts(first), _starts(second)
    return (
        [(starts[0][max(0, begin - 1)], starts[0][end]) for begin, end, _begin, _end in places],
        [(starts[1][max(0, begin - 1)], starts[1][end]) for _begin, _end, begin, end in places],
    )


def _starts(lines: list[bytes]) -> list[int]:
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    return starts


def common(one: list[bytes], other: list[bytes]) -> int:
    """How many lines two texts begin with alike."""
    number = 0
    for first, second in zip(one, other, strict=False):
        if first != second:
            break
        number += 1
    return number


def alike(one: str, other: str) -> float:
    """The share of lines that two texts have in common (0 to 1)."""
    return difflib.SequenceMatcher(None, one.splitlines(), other.splitlines(), autojunk=False).ratio()


def does_less(vulnerable: str, secure: str) -> bool:
    """Whether calls went and none came in their place: what is weak was moved elsewhere then, or given up.

    Calls that only put a text together do not count.
    """
    before, after = (Counter(_CALL.findall(text)) for text in (vulnerable, secure))
    gone = sum(number for name, number in (before - after).items() if name not in _PUTS_TOGETHER)
    return gone > (after - before).total()


def parses_alike(pair: Pair) -> bool:
    """Whether neither text has a place that its grammar does not know and the other text has not."""
    secure, vulnerable = _unknown(pair.language, pair.secure), _unknown(pair.language, pair.vulnerable)
    return secure is not None and secure == vulnerable


def _unknown(language: str, text: str) -> Counter[bytes] | None:
    """The places that a grammar does not know, by their text; None where there are too many of them."""
    try:
        tree = parse(language, _raw(text), bounded=True)
    except HardParse:
        return None
    if error_ratio(tree) > language_of(language).parse_tolerance:
        return None
    found: Counter[bytes] = Counter()
    pending = [tree.root_node]
    while pending:
        node = pending.pop()
        if node.is_error or node.is_missing:
            found[node.text or b""] += 1
        elif node.has_error:
            pending += node.children
    return found


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "replace")
