"""Structure: which bytes of a source file carry its syntax, and which signs can not stand where a token ends.

All is read off the leaves of one tree-sitter tree. A sign is *illegal* at a place when no program at all begins with
the text before it and that sign, for one of two reasons: it closes a bracket that is not the innermost open one, or the
parser's table has no action for it in the state that it is in there. The second is asked of tree-sitter itself
(`Language.lookahead_iterator`), so it needs no list of rules for any language.

The table is exact for the version of the parse that was kept; where a grammar reads a text in two ways at once, or a
scanner of its own takes part, it may be too strict. `breaks` therefore parses the edited text, and is the last word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from tree_sitter import Node, Tree

from buril.code.parse import HardParse, grammar, parse

CLOSERS = {"(": ")", "[": "]", "{": "}"}
SIGNS = (")", "]", "}", ":", ",")
"""Signs that are tried: each is a token of its own in nearly every grammar, and none can be the rest of a word."""
END = ""
"""Stands for the end of the text among the signs."""
MIN_BLOCK_BYTES = 4
_BLOCKS = ("statement", "definition", "declaration", "block", "body", "clause", "argument")
MAX_STATEMENT_BYTES = 8_000
"""A statement at the top of a file that is longer is not parsed again for each edit."""
_DELIMITERS = frozenset("()[]{}:;,\"'`") | {'"""', "'''", "=>", "->", "</", "/>"}
_QUOTES = ("string_start", "string_end", "heredoc_start", "heredoc_end")
_TEXTS = ("string", "comment", "char", "template", "regex", "heredoc", "text", "content", "escape")
_INDENT = re.compile(rb"\n[ \t]+(?=[^\s])")


class Gap(NamedTuple):
    """A place between two leaves: the byte where the first ends, the state of the parser there, the open bracket.

    `opened` is the innermost bracket that is open there ("" for none), `before` the last byte of the first leaf.
    """

    byte: int
    state: int
    opened: str
    before: str


class Structure(NamedTuple):
    """The spans that carry syntax, in order, and the gaps outside of strings and comments. Offsets are in bytes."""

    spans: list[tuple[int, int]]
    gaps: list[Gap]


def structure(language: str, source: bytes, tree: Tree) -> Structure:
    """The structure of a file: its keywords, brackets, delimiters and quotes, and indentation where it means something.

    Args:
        language: its name; where its blocks are made by indentation, line breaks with the spaces after them count.
        source: the text.
        tree: its tree.

    Raises:
        BurilError: P001 for an unknown language.
    """
    spans: list[tuple[int, int]] = []
    gaps: list[Gap] = []
    texts: list[tuple[int, int]] = []
    opened: list[str] = []
    last: Node | None = None
    for leaf in leaves(tree):
        inside = _is_text(leaf)
        if last is not None and not inside and last.end_byte <= leaf.start_byte:
            gaps.append(_gap(source, last, leaf, opened))
        if _is_structural(leaf):
            spans.append((leaf.start_byte, leaf.end_byte))
        if inside:
            texts.append((leaf.start_byte, leaf.end_byte))
        _count(opened, leaf.type)
        last = None if inside or leaf.type in _QUOTES[::2] else leaf
    if by_indentation(language):
        spans += _indentation(source, texts)
        spans.sort()
    return Structure(spans, gaps)


@cache
def by_indentation(language: str) -> bool:
    """Whether blocks are made by indentation: the grammar has a token for the end of one."""
    known = grammar(language)
    return any(known.node_kind_for_id(number) in ("_dedent", "dedent") for number in range(known.node_kind_count))


def illegal_signs(language: str, gap: Gap) -> list[str]:
    """The signs that no program can have at a gap, `END` among them where a bracket is open."""
    found = [END] if gap.opened else []
    allowed = _allowed(language, gap.state)
    for sign in SIGNS:
        closes_another = sign in CLOSERS.values() and sign != CLOSERS.get(gap.opened, "")
        unknown = allowed and not any(name.startswith(sign) for name in allowed)
        if closes_another or (unknown and not _joins(language, gap.before + sign)):
            found.append(sign)
    return found


def breaks(language: str, source: bytes, tree: Tree, *, byte: int, sign: str) -> bool:
    """Whether a sign put at a byte makes an error of the statement at the top of the file that it falls into.

    The statement is parsed alone, without and with the edit (for `END`: cut off there), so that the cost does not grow
    with the file. What can't be told is no error: a statement that is damaged already, or too long.
    """
    child = _around(tree, byte)
    if child is None or child.has_error or child.end_byte - child.start_byte > MAX_STATEMENT_BYTES:
        return False
    text, place = source[child.start_byte : child.end_byte], byte - child.start_byte
    edited = text[:place] if sign == END else text[:place] + sign.encode() + text[place:]
    try:
        alone, broken = parse(language, text), parse(language, edited)
    except HardParse:
        return False
    return not alone.root_node.has_error and broken.root_node.has_error


def blocks(tree: Tree) -> list[tuple[int, int]]:
    """The spans of statements, definitions, bodies, clauses and arguments, in order; in bytes, the whole file not."""
    cursor, found = tree.walk(), []
    while True:
        node = cursor.node
        if node is not None and node.parent is not None and _is_block(node):
            found.append((node.start_byte, node.end_byte))
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return sorted(set(found))


def leaves(tree: Tree) -> Iterator[Node]:
    """The leaves of a tree from left to right; tokens that the parser made up and empty ones are left out."""
    cursor = tree.walk()
    while True:
        if cursor.goto_first_child():
            continue
        node = cursor.node
        if node is not None and node.end_byte > node.start_byte and not node.is_missing:
            yield node
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def _is_block(node: Node) -> bool:
    whole = node.is_named and not node.has_error and node.end_byte - node.start_byte >= MIN_BLOCK_BYTES
    return whole and any(part in node.type for part in _BLOCKS)


def _around(tree: Tree, byte: int) -> Node | None:
    """The statement at the top of the file that a byte falls into."""
    child = tree.root_node.first_child_for_byte(byte - 1)
    return child if child is not None and child.start_byte < byte <= child.end_byte else None


def _gap(source: bytes, last: Node, leaf: Node, opened: list[str]) -> Gap:
    """The gap before a leaf. Where a line ends in it the state is not known: the parser may have ended a statement."""
    state = 0 if b"\n" in source[last.end_byte : leaf.start_byte] else leaf.parse_state
    before = source[last.end_byte - 1 : last.end_byte].decode("latin-1")
    return Gap(last.end_byte, state, opened[-1] if opened else "", before)


def _count(opened: list[str], kind: str) -> None:
    """Keep the open brackets; one that closes nothing is passed over."""
    if kind in CLOSERS:
        opened.append(kind)
    elif opened and kind == CLOSERS[opened[-1]]:
        opened.pop()


def _is_text(leaf: Node) -> bool:
    """Whether a leaf is, or is part of, a text in which signs mean nothing."""
    if leaf.type in _QUOTES:
        return False
    return leaf.is_named and any(part in leaf.type for part in _TEXTS)


def _is_structural(leaf: Node) -> bool:
    kind = leaf.type
    if leaf.is_named:
        return kind in _QUOTES
    return kind in _DELIMITERS or kind.isalpha()


def _indentation(source: bytes, texts: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Line breaks with the spaces after them, outside of strings and comments."""
    number = 0
    for found in _INDENT.finditer(source):
        while number < len(texts) and texts[number][1] <= found.start():
            number += 1
        if number == len(texts) or texts[number][0] > found.start():
            yield found.span()


@cache
def _allowed(language: str, state: int) -> frozenset[str]:
    """The names of what the parser takes in a state; empty where the state is not known."""
    if state == 0:
        return frozenset()
    looking = grammar(language).lookahead_iterator(state)
    return frozenset(looking.names()) if looking is not None else frozenset()


@cache
def _joins(language: str, text: str) -> bool:
    """Whether two signs side by side begin a longer one, such as `::`."""
    known = grammar(language)
    kinds = (known.node_kind_for_id(number) for number in range(known.node_kind_count))
    return any(kind and len(kind) > 1 and kind.startswith(text) and not kind.isalnum() for kind in kinds)
