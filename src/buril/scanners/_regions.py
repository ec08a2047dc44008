"""Where in a text a byte stands: in code, in a string or in a comment. The tree is made on the first question."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cache, cached_property
from typing import Literal, NamedTuple

from tree_sitter import Language as Grammar
from tree_sitter import Query, QueryCursor, Tree

from buril.code.language import languages
from buril.code.parse import error_ratio, parse

Region = Literal["code", "string", "comment", "text"]
"""`text`: nothing is known, because there is no grammar for it or it does not fit."""
MAX_ERRORS = 0.5
"""Share of a file in parse errors (0 to 1) from which on the tree says nothing: it is another language or prose. Less
is normal here, since what we look for is what breaks a parse."""
SMALL = 1_000
"""Bytes up to which a tree is believed whatever its errors: one bad character may be half of a short text."""
_KINDS: tuple[tuple[Region, re.Pattern[str]], ...] = (
    ("code", re.compile(r"interpolation$|substitution$|expansion$|^embedded|splice|template_argument|type_identifier")),
    ("comment", re.compile(r"comment|^pod$|haddock|marginalia")),
    (
        "string",
        re.compile(
            r"string|rune|heredoc|nowdoc|^char|_char|regex|(?:^|_)text$|quoted|template_(?:literal|chars|fragment)"
            r"|raw_text|attribute_value"
        ),
    ),
)


class Piece(NamedTuple):
    """Bytes of one region. `outer_start` and `outer_end` bound the whole string or comment that they are part of."""

    start: int
    end: int
    region: Region
    outer_start: int
    outer_end: int


class Regions:
    """The regions of one text."""

    def __init__(self, source: bytes, language: str) -> None:
        self._source, self._language = source, language

    @cached_property
    def known(self) -> bool:
        """Whether a tree tells code from strings and comments."""
        return self._tree is not None

    @cached_property
    def _tree(self) -> Tree | None:
        if self._language not in languages():
            return None
        try:
            tree = parse(self._language, self._source, bounded=True)
        except ValueError:  # too hard: it is then judged by lines
            return None
        return tree if len(self._source) <= SMALL or error_ratio(tree) <= MAX_ERRORS else None

    @cached_property
    def _pieces(self) -> list[Piece]:
        return [] if self._tree is None else pieces(self._tree)

    def at(self, start: int) -> Region:
        """Where the byte at `start` stands."""
        if not self.known:
            return "text"
        found = self._piece(start)
        return found.region if found else "code"

    def bounds(self, start: int) -> tuple[int, int]:
        """The bytes of the string or comment around a place; the whole text where it is none."""
        found = self._piece(start)
        return (found.outer_start, found.outer_end) if found else (0, len(self._source))

    def _piece(self, start: int) -> Piece | None:
        place = bisect_right(self._pieces, start, key=lambda piece: piece.start) - 1
        return self._pieces[place] if place >= 0 and start < self._pieces[place].end else None


def pieces(tree: Tree) -> list[Piece]:
    """All strings and comments of a tree in pieces that do not meet, without the code embedded in a string."""
    assert tree.language is not None
    query = _query(tree.language)
    captured = QueryCursor(query).captures(tree.root_node) if query else {}
    nodes = [
        (node.start_byte, -node.end_byte, region)
        for region, _kinds in _KINDS
        for node in captured.get(region, ())
        if node.start_byte < node.end_byte
    ]
    found: list[Piece] = []
    open_pieces: list[Piece] = []
    for start, minus_end, region in sorted(nodes):
        while open_pieces and open_pieces[-1].end <= start:
            _close(found, open_pieces)
        if open_pieces and not _changes(open_pieces[-1].region, region):
            continue
        if open_pieces:
            _add(found, open_pieces[-1]._replace(end=start))
        open_pieces.append(Piece(start, -minus_end, region, start, -minus_end))
    while open_pieces:
        _close(found, open_pieces)
    return found


def _changes(outer: Region, inner: Region) -> bool:
    """Whether a node is another region than what is around it: only code in a string, and what is in that code."""
    return inner == "code" if outer == "string" else outer == "code" and inner != "code"


def _close(found: list[Piece], open_pieces: list[Piece]) -> None:
    """End the innermost piece; what is around it goes on after it."""
    piece = open_pieces.pop()
    _add(found, piece)
    if open_pieces:
        open_pieces[-1] = open_pieces[-1]._replace(start=max(open_pieces[-1].start, piece.end))


def _add(found: list[Piece], piece: Piece) -> None:
    if piece.start < piece.end:
        found.append(piece)


@cache
def _query(language: Grammar) -> Query | None:
    """The query for all kinds of nodes of a grammar that are strings, comments or code inside of a string."""
    kinds: dict[str, Region] = {}
    for identifier in range(language.node_kind_count):
        kind = language.node_kind_for_id(identifier)
        named = language.node_kind_is_named(identifier) and language.node_kind_is_visible(identifier)
        if kind and named:
            region = next((region for region, pattern in _KINDS if pattern.search(kind)), None)
            if region is not None:
                kinds[kind] = region
    return Query(language, " ".join(f"({kind}) @{kinds[kind]}" for kind in sorted(kinds))) if kinds else None
