"""Patterns of code: a piece of code with slots, found by its shape, and another piece that takes its place.

`yaml.safe_load(«X»)` finds that call however it is broken over lines, whatever stands for `«X»`. `«A…»` stands for any
number of arguments or statements, `"«N»"` for what stands between the quotes of a string. Several statements in a row
are a pattern too. Comments and the signs that only separate are passed over.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

from tree_sitter import Node, Query, QueryCursor, Tree

from buril.code.parse import grammar, parse
from buril.data.pairing._mutation_text import listed

_SLOT: Final = re.compile(r"«(\w+)(…)?»")
_SHOWN: Final = re.compile(r"«(\w+)([…^?])?»")
_TUPLE: Final = re.compile(r"\(«(\w+)…»,\)")
_HELD: Final = re.compile(r"\$?META(S?)_(\w+?)_")
_WORD: Final = re.compile(r"[A-Za-z_]\w{3,}")
_STRING: Final = re.compile(r"(?s)[A-Za-z]*(\"\"\"|'''|[\"'`])(.*)\1")
_SEPARATORS: Final = frozenset((",", ";", "\n"))
_ROWS: Final = frozenset(("statement_list", "module", "program", "block", "translation_unit"))
_HOLES: Final = ("interpolation", "substitution", "variable", "expression")
_AROUND: Final[Mapping[str, tuple[str, str]]] = {
    "java": ("class A { void f() {\n", "\n} }"),
    "go": ("package p\nfunc f() {\n", "\n}"),
    "c": ("void f() {\n", "\n}"),
    "php": ("<?php\n", "\n"),
    "solidity": ("contract A { function f() public {\n", "\n} }"),
}
"""What makes statements a program where the language knows none without."""
_ENDED: Final = frozenset(("java", "c", "php", "solidity"))
"""Languages in which an expression alone needs a semicolon."""


class Slot(NamedTuple):
    """A place for any node; for any number of them; or for what a string holds."""

    name: str
    many: bool = False
    inside: bool = False


class Shape(NamedTuple):
    """A node by its kind and parts; a leaf by its text."""

    kind: str
    text: str
    parts: tuple[Shape | Slot, ...]


class Pattern(NamedTuple):
    """Shapes of statements in a row, or of one expression. `kind` is that of the node where a match may begin."""

    kind: str
    row: tuple[Shape | Slot, ...]
    words: frozenset[bytes]
    """Words without which it is nowhere in a text."""


class Found(NamedTuple):
    """Where a pattern stands, in bytes, and what stands in its slots."""

    start: int
    end: int
    slots: Mapping[str, str]


@cache
def pattern(language: str, text: str) -> Pattern:
    """A pattern from its text.

    Raises:
        ValueError: where it isn't code of that language.
    """
    code = _SLOT.sub(lambda slot: f"META{'S' if slot[2] else ''}_{slot[1]}_", text)
    before, after = _AROUND.get(language, ("", ""))
    end = ";" if language in _ENDED and not code.rstrip().endswith((";", "}")) else ""
    tree = parse(language, f"{before}{code}{end}{after}".encode())
    start = len(before.encode())
    whole = tree.root_node.descendant_for_byte_range(start, start + len(code.encode()))
    if whole is None or tree.root_node.has_error:
        raise ValueError(f"not a pattern in {language}: {text}")
    inner = start <= whole.start_byte and whole.end_byte <= start + len(code.encode())
    if whole.type in _ROWS or not inner:
        rows = [node for node in _parts(whole) if node.is_named and start <= node.start_byte]
        rows = [node for node in rows if node.end_byte <= start + len((code + end).encode())]
    else:
        rows = [whole]
    if len(rows) == 1 and not text.rstrip().endswith((";", "}")):
        rows = [_core(rows[0])]
    words = frozenset(word.encode() for word in _WORD.findall(_SLOT.sub(" ", text)))
    return Pattern(rows[0].type, tuple(_shape(node) for node in rows), words)


def found(pattern_: Pattern, tree: Tree, language: str) -> Iterator[Found]:
    """Where a pattern stands in a text, in its order."""
    nodes = QueryCursor(_kinds(language, pattern_.kind)).captures(tree.root_node).get("node", [])
    for node in sorted(nodes, key=lambda node: node.start_byte):
        row = _row(node, len(pattern_.row))
        if row and (slots := _fit(pattern_.row, row, {})) is not None:
            yield Found(row[0].start_byte, row[-1].end_byte, slots)


def filled(text: str, slots: Mapping[str, str], indent: str) -> str:
    """A piece of code with what was found put into its slots.

    `«N^»` is `«N»` as the name of a constant, `«N?»` a secret made up for that name. A literal that was made (`QS`)
    brings its own quotes. Lines after the first are indented as the first one stands.
    """
    text = text.replace("$«", "«")  # PHP: a slot where only a variable may stand
    text = text.replace('"«Q»"', "«QS»") if "QS" in slots else text
    text = _TUPLE.sub(lambda slot: f"(«{slot[1]}…»{',' if len(listed(slots[slot[1]])) == 1 else ''})", text)

    def put(slot: re.Match[str]) -> str:
        value = slots[slot[1]]
        if slot[2] == "?":
            return f"{hashlib.blake2b(value.encode(), digest_size=9).hexdigest()}-{value.lower()[:4]}"
        return re.sub(r"\W+", "_", value).upper() if slot[2] == "^" else value

    for name in (name for name, value in slots.items() if not value):
        text = re.sub(rf", «{name}…»|«{name}…», ?|«{name}…»", "", text)
    shown = ("\n" + indent).join(_SHOWN.sub(put, line) for line in text.split("\n"))
    return re.sub(r"([;}]);(?=\s|$)", r"\1", shown) if ";;" in shown or "};" in shown else shown


def names(text: str) -> set[str]:
    """The names of the slots of a piece of code."""
    return {slot[1] for slot in _SHOWN.finditer(text)}


@cache
def _kinds(language: str, kind: str) -> Query:
    query: Query = Query(grammar(language), f"({kind}) @node")
    return query


def _shape(node: Node) -> Shape | Slot:
    text = (node.text or b"").decode().strip().rstrip(";")
    if held := _HELD.fullmatch(text):
        return Slot(held[2], bool(held[1]))
    node = _core(node)
    content = _content(node)
    if content is not None:
        held = _HELD.fullmatch(content)
        return Slot(held[2], inside=True) if held else Shape("string", content, ())
    parts = _parts(node)
    return Shape(node.type, "" if parts else text, tuple(_shape(part) for part in parts))


def _core(node: Node) -> Node:
    """The node itself under those that only wrap it."""
    while len(parts := _parts(node)) == 1:
        node = parts[0]
    return node


def _parts(node: Node) -> list[Node]:
    if _content(node) is not None:
        return []
    return [child for child in node.children if child.type not in _SEPARATORS and "comment" not in child.type]


def _content(node: Node) -> str | None:
    """What a string without holes holds; None for any other node."""
    if "string" not in node.type or any(hole in child.type for child in node.children for hole in _HOLES):
        return None
    quoted = _STRING.fullmatch((node.text or b"").decode("utf-8", "replace"))
    return quoted[2] if quoted else None


def _row(first: Node, number: int) -> list[Node]:
    """A statement and those that follow it; empty where there are not so many."""
    row: list[Node] = []
    node: Node | None = first
    while node is not None and len(row) < number:
        if "comment" not in node.type:
            row.append(node)
        node = node.next_named_sibling if len(row) < number else node
    return row if len(row) == number else []


def _fit(shapes: Sequence[Shape | Slot], nodes: Sequence[Node], slots: Mapping[str, str]) -> dict[str, str] | None:
    """What the slots hold where nodes have these shapes, one after the other; None where they have not."""
    if not shapes:
        return None if nodes else dict(slots)
    first, rest = shapes[0], shapes[1:]
    if isinstance(first, Slot) and first.many:
        return _fit_many(first, rest, nodes, slots)
    if not nodes:
        return None
    own = _fit_slot(first, nodes[0], slots) if isinstance(first, Slot) else _fit_shape(first, nodes[0], slots)
    return None if own is None else _fit(rest, nodes[1:], own)


def _fit_many(
    slot: Slot, rest: Sequence[Shape | Slot], nodes: Sequence[Node], slots: Mapping[str, str]
) -> dict[str, str] | None:
    for number in range(len(nodes) + 1):
        if number and not nodes[number - 1].is_named:
            return None
        held = _between(nodes[:number])
        if slots.get(slot.name, held) == held:
            fits = _fit(rest, nodes[number:], {**slots, slot.name: held})
            if fits is not None:
                return fits
    return None


def _between(nodes: Sequence[Node]) -> str:
    """The text from the first to the last of neighbours."""
    if not nodes:
        return ""
    parent = nodes[0].parent
    assert parent is not None
    text = parent.text or b""
    return text[nodes[0].start_byte - parent.start_byte : nodes[-1].end_byte - parent.start_byte].decode()


def _fit_slot(slot: Slot, node: Node, slots: Mapping[str, str]) -> dict[str, str] | None:
    held = _content(_core(node)) if slot.inside else (node.text or b"").decode("utf-8", "replace")
    if held is None or not node.is_named or slots.get(slot.name, held) != held:
        return None
    return {**slots, slot.name: held}


def _fit_shape(shape: Shape, node: Node, slots: Mapping[str, str]) -> dict[str, str] | None:
    node = _core(node)
    if shape.kind == "string":
        return dict(slots) if _content(node) == shape.text else None
    parts = _parts(node)
    if not shape.parts:
        same = not parts and (node.text or b"").decode("utf-8", "replace") == shape.text
        return dict(slots) if same else None
    alike = shape.kind == node.type or (shape.kind, node.type) == ("set", "dictionary")  # `{«A…»}` may be either
    return _fit(shape.parts, parts, slots) if alike else None
