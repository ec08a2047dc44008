"""Where in a text a byte stands: in code, in a string or in a comment. The tree is made on the first question."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Literal

from tree_sitter import Node, Tree

from buril.code.language import languages
from buril.code.parse import error_ratio, parse

Region = Literal["code", "string", "comment", "text"]
"""`text`: nothing is known, because there is no grammar for it or it does not fit."""
MAX_ERRORS = 0.5
"""Share of a file in parse errors (0 to 1) from which on the tree says nothing: it is another language or prose. Less
is normal here, since what we look for is what breaks a parse."""
SMALL = 1_000
"""Bytes up to which a tree is believed whatever its errors: one bad character may be half of a short text."""
_LEVELS = 10
_COMMENT = re.compile(r"comment|^pod$|haddock|marginalia")
_STRING = re.compile(
    r"string|heredoc|nowdoc|^char|_char|regex|(?:^|_)text$|quoted|template_(?:literal|chars|fragment)|raw_text"
    r"|attribute_value"
)
_CODE_AGAIN = re.compile(r"interpolation$|substitution|expansion|^embedded|splice|template_argument|type_identifier")


class Regions:
    """The regions of one text."""

    def __init__(self, source: bytes, language: str) -> None:
        self._source, self._language = source, language

    @cached_property
    def _tree(self) -> Tree | None:
        if self._language not in languages():
            return None
        try:
            tree = parse(self._language, self._source, bounded=True)
        except ValueError:  # too hard: it is then judged by lines
            return None
        return tree if len(self._source) <= SMALL or error_ratio(tree) <= MAX_ERRORS else None

    def at(self, start: int, end: int) -> Region:
        """Where the bytes `start` to `end` stand."""
        if self._tree is None:
            return "text"
        node = self._tree.root_node.descendant_for_byte_range(start, max(start, end - 1))
        return _region(node)

    def bounds(self, start: int, end: int) -> tuple[int, int]:
        """The bytes of the string or comment around a place; the place itself in code, the whole text in `text`."""
        if self._tree is None:
            return 0, len(self._source)
        node = self._tree.root_node.descendant_for_byte_range(start, max(start, end - 1))
        outer = _outer(node)
        return (outer.start_byte, outer.end_byte) if outer is not None else (start, end)


def _region(node: Node | None) -> Region:
    outer = _outer(node)
    if outer is None:
        return "code"
    return "comment" if _COMMENT.search(outer.type) else "string"


def _outer(node: Node | None) -> Node | None:
    """The outermost string or comment around a node, no further than the code embedded in a string."""
    found = None
    for _level in range(_LEVELS):
        if node is None or _CODE_AGAIN.search(node.type):
            break
        if node.is_named and (_COMMENT.search(node.type) or _STRING.search(node.type)):
            found = node
        elif found is not None:
            break
        node = node.parent
    return found
