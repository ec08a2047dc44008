"""Parsing: one tree-sitter tree a file, and what everyone reads off it.

A parse costs far more than anything that is read from the tree, so a file is parsed once and the tree is handed on.
Queries run inside tree-sitter; nothing here walks a whole tree in Python.
"""

from __future__ import annotations

import re
import threading
import time
from functools import cache
from typing import NamedTuple

from tree_sitter import Language as Grammar
from tree_sitter import Node, Parser, Query, QueryCursor, Tree

from buril.code.language import Language, language_of

MIN_OPERATIONS, OPERATIONS_PER_BYTE = 20_000, 12
"""Operations of the parser that a text may cost: ordinary code takes 0.5 to 1.5 a byte, the worst real file 4.3."""
MAX_PARSE_S = 20.0
"""Processor time that a text may cost, in seconds: a megabyte of ordinary code takes a fifth of a second."""
_OPERATIONS_PER_CALL = 100
_READ = 256
"""Bytes that a bounded parser is given at a time: no character is longer, and few words are."""
MAX_DEPTH = 1_000
"""Brackets within brackets: compilers give up earlier (Clang at 256, CPython at 200)."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"([{)]}"))
_NO_ANGLES = bytes(set(range(256)) - set(b"<>;{}"))
_ARROWS = re.compile(rb"<[-=<]")
_ENDS = re.compile(rb"[;{}]")
_COMMENT_KINDS = ("comment", "pod", "marginalia", "haddock")
_NOT_COMMENTS = ("comment_statement", "keyword_comment", "comment_content", "doc_comment_marker")


class Function(NamedTuple):
    """A function with a body. Offsets are in bytes of the source.

    `start_byte` is where its declaration begins (a decorator before it is left out), `body_start_byte` the first byte
    after what a caller sees (the brace, or the line break after the signature and, in Python, after the docstring),
    `end_byte` where the whole function ends, its closing brace included.
    """

    name: str
    start_byte: int
    body_start_byte: int
    end_byte: int


@cache
def grammar(language: str) -> Grammar:
    """The tree-sitter grammar of a language.

    Raises:
        BurilError: P001 for an unknown language.
    """
    from tree_sitter_language_pack import get_language

    found: Grammar = get_language(language_of(language).grammar)
    return found


class _Parsers(threading.local):
    """One parser a language for each thread: a parser is in the middle of one text at a time."""

    def __init__(self) -> None:
        self.of: dict[str, Parser] = {}


_parsers = _Parsers()


def _parser(language: str) -> Parser:
    found = _parsers.of.get(language)
    if found is None:
        found = _parsers.of[language] = Parser(grammar(language))
    return found


class HardParse(ValueError):
    """A text that would cost the parser out of all proportion to its size; no program written by people does."""


class _Budget:
    """Counts the parser's operations, 100 a call, and stops it when there are far too many for the text.

    Some texts (`a<` over and over in Java, `<!--` in C) cost the parser the square of their length. Nearly all of them
    are stopped by the number of operations, which is the same everywhere. A few make single operations slow, and only
    the processor's time stops those; the limit is so far from what ordinary text needs that no other can meet it.
    """

    def __init__(self, num_bytes: int) -> None:
        self._left = (MIN_OPERATIONS + OPERATIONS_PER_BYTE * num_bytes) // _OPERATIONS_PER_CALL
        self._end_s = time.process_time() + MAX_PARSE_S

    def __call__(self, offset: int, has_error: bool) -> bool:
        """Whether to stop; tree-sitter asks every 100 operations."""
        del offset, has_error
        self._left -= 1
        return self._left < 0 or time.process_time() > self._end_s


def parse(language: str, source: bytes, *, bounded: bool = False) -> Tree:
    """The tree of `source` (UTF-8). What does not fit the grammar becomes ERROR nodes.

    One parser a language is kept for the life of each thread.

    Args:
        language: its name.
        source: the text.
        bounded: count what the parser does, and give up when it is far too much. The tree is the same, but some memory
            is lost each time (the binding keeps what it has read), so this is for texts under suspicion.

    Raises:
        BurilError: P001 for an unknown language.
        HardParse: when it is deeper than `MAX_DEPTH`; bounded, also when it takes more than `OPERATIONS_PER_BYTE` or
            `MAX_PARSE_S`.
    """
    parser = _parser(language)
    if _is_too_deep(source):
        raise HardParse(f"{language}: brackets more than {MAX_DEPTH} deep")
    if not bounded:
        return parser.parse(source)
    # The parser asks for its budget only when it reads through a function, not from bytes. What the function gives is
    # copied for each node whose text is asked for, too: a little at a time, or every word costs a copy of the file.
    try:
        return parser.parse(
            lambda offset, _point: source[offset : offset + _READ], progress_callback=_Budget(len(source))
        )
    except ValueError as stopped:
        parser.reset()  # else the next text would be taken for the rest of this one
        raise HardParse(f"{language}: stopped after {len(source)} bytes") from stopped


def reparse(language: str, source: bytes, old: Tree) -> Tree:
    """The tree of `source`, given that of an earlier text with the edit already told to it (`Tree.edit`).

    Only what the edit touches is parsed again, so this is for texts that grow or differ in one place.

    Raises:
        BurilError: P001 for an unknown language.
        HardParse: when it is deeper than `MAX_DEPTH`.
    """
    if _is_too_deep(source):
        raise HardParse(f"{language}: brackets more than {MAX_DEPTH} deep")
    return _parser(language).parse(source, old)


def _is_too_deep(source: bytes) -> bool:
    """Whether brackets stand deeper than `MAX_DEPTH`, those in strings and comments counted.

    Deep texts are where a single operation takes seconds, or overflows the stack, so that no budget can stop it.
    """
    brackets = source.translate(None, _NO_BRACKETS)
    if len(brackets) > MAX_DEPTH and _depth(brackets, b"([{", b")]}") > MAX_DEPTH:
        return True
    if source.count(b"<") <= MAX_DEPTH:
        return False
    angles = _ARROWS.sub(b"", source).translate(None, _NO_ANGLES)  # an angle left open ends with its statement
    return any(_depth(part, b"<", b">") > MAX_DEPTH for part in _ENDS.split(angles) if len(part) > MAX_DEPTH)


def _depth(marks: bytes, opening: bytes, closing: bytes) -> int:
    """How deep opening marks stand within one another; a closing one that closes nothing is passed over."""
    depth = deepest = 0
    for mark in marks:
        if mark in opening:
            depth += 1
            deepest = max(deepest, depth)
        elif mark in closing and depth:
            depth -= 1
    return deepest


def error_bytes(tree: Tree) -> int:
    """Bytes that lie in ERROR nodes, plus one for every token that the parser had to make up.

    Only branches that hold an error are visited, so a clean tree costs nothing. An ERROR node counts whole.
    """
    total = 0
    pending = [tree.root_node]
    while pending:
        node = pending.pop()
        if node.is_error:
            total += max(1, node.end_byte - node.start_byte)
        elif node.is_missing:
            total += 1
        elif node.has_error:
            pending.extend(node.children)
    return total


def error_ratio(tree: Tree) -> float:
    """`error_bytes` as a share of the source (0 to 1); compare it with `Language.parse_tolerance`."""
    return min(1.0, error_bytes(tree) / max(1, tree.root_node.end_byte))


def comments(tree: Tree) -> list[tuple[int, int]]:
    """The spans of all comments as (start, end) byte offsets, in order, without those inside another."""
    assert tree.language is not None
    query = _comment_query(tree.language)
    if query is None:
        return []
    found = QueryCursor(query).captures(tree.root_node).get("comment", [])
    # some grammars count the line break that ends a comment as part of it
    places = {(node.start_byte, node.end_byte - (node.end_point.column == 0)) for node in found}
    spans: list[tuple[int, int]] = []
    for start, end in sorted(places, key=lambda span: (span[0], -span[1])):
        if not spans or start >= spans[-1][1]:
            spans.append((start, end))
    return spans


@cache
def _comment_query(language: Grammar) -> Query | None:
    """The query for every node kind of a grammar that is a comment; None where it has none."""
    kinds = set()
    for identifier in range(language.node_kind_count):
        kind = language.node_kind_for_id(identifier)
        if kind and language.node_kind_is_named(identifier) and language.node_kind_is_visible(identifier):
            kinds.add(kind)
    wanted = sorted(
        kind
        for kind in kinds
        if any(part in kind for part in _COMMENT_KINDS) and not any(part in kind for part in _NOT_COMMENTS)
    )
    return Query(language, " ".join(f"({kind}) @comment" for kind in wanted)) if wanted else None


@cache
def keywords(language: str) -> frozenset[bytes]:
    """The words that a language's grammar knows by themselves: `if`, `return`, but also soft ones such as `match`.

    Raises:
        BurilError: P001 for an unknown language.
    """
    known = grammar(language)
    words = (number for number in range(known.node_kind_count) if not known.node_kind_is_named(number))
    kinds = (known.node_kind_for_id(number) for number in words)
    return frozenset(kind.encode() for kind in kinds if kind and kind.isascii() and kind.isalpha())


@cache
def _function_query(language: str) -> Query | None:
    text = language_of(language).functions
    return Query(grammar(language), text) if text else None


def functions(tree: Tree, language: str) -> list[Function]:
    """The functions and methods with a body, in the order of their starts; nested ones too, lambdas not.

    A function whose body is only a docstring has `body_start_byte == end_byte`.

    Raises:
        BurilError: P001 for an unknown language.
    """
    query = _function_query(language)
    if query is None:
        return []
    facts = language_of(language)
    root = tree.root_node
    source = b" " * root.start_byte + (root.text or b"")
    found: dict[tuple[int, int], Function] = {}
    for _, captures in QueryCursor(query).matches(root):
        whole, body = captures["function"][0], captures["body"][0]
        name = captures["name"][0] if "name" in captures else _declared(captures["declarator"][0])
        start = _body_start(source, facts, body, captures.get("open"))
        place = (whole.start_byte, max(whole.end_byte, body.end_byte))
        found.setdefault(place, Function((name.text or b"").decode("utf-8", "replace"), place[0], start, place[1]))
    return [found[place] for place in sorted(found)]


def _declared(node: Node) -> Node:
    """The name inside a declarator of C or C++ (`*(f)(int)` → `f`)."""
    while (inner := node.child_by_field_name("declarator")) is not None:
        node = inner
    return node


def _body_start(source: bytes, facts: type[Language], body: Node, opening: list[Node] | None) -> int:
    start, end = body.start_byte, body.end_byte
    for mark in (b"{", b"=>", b"="):
        if source.startswith(mark, start):
            return start + len(mark)
    if facts.docstrings:
        first = next((child for child in body.named_children if child.type != "comment"), None)
        if first is not None and _is_string(first):
            following = first.next_named_sibling
            if following is None:
                return end
            line_end = source.find(b"\n", first.end_byte, following.start_byte)
            return following.start_byte if line_end < 0 else line_end + 1
    if opening is not None:
        line_end = source.find(b"\n", opening[0].end_byte, start)
        return start if line_end < 0 else line_end + 1
    line_start = source.rfind(b"\n", 0, start) + 1
    return start if source[line_start:start].strip() else line_start


def _is_string(node: Node) -> bool:
    """Whether a statement is nothing but a string (grammars differ in whether they wrap it)."""
    if node.type == "expression_statement" and node.named_child_count == 1:
        node = node.named_children[0]
    return node.type == "string"
