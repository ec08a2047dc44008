"""Putting the texts of a pair back into the file they were cut out of, and the lines that tests have to come to."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from tree_sitter import Node, Tree

from buril.code.excerpt import Named, is_import, outermost, words
from buril.code.parse import HardParse, functions, parse
from buril.data.pair import Pair

HALVES: Final = ("secure", "vulnerable")


class Placed(NamedTuple):
    """The whole file with either text in place, by half, and which half is the file as it stands."""

    texts: Mapping[str, str]
    at_hand: str


class Lines(NamedTuple):
    """Lines (from 1) of the two files by half: those that count, and those around any change."""

    counted: Mapping[str, frozenset[int]]
    around: Mapping[str, frozenset[int]]


class _Text(NamedTuple):
    raw: bytes
    tree: Tree
    known: dict[str, Named]

    def of(self, item: Named) -> bytes:
        return self.raw[item.start : item.end]


def placed(pair: Pair, content: str) -> Placed | None:
    """The file with the secure and with the vulnerable text in place; None where it does not hold the one or the other.

    Only functions are put back, with the imports and names at the top of the pair's text that they use and the file
    lacks. The text that the file holds is the file itself, byte by byte but for its line ends.
    """
    try:
        file, *halves = (_read(pair.language, text) for text in (content, pair.secure, pair.vulnerable))
    except HardParse:
        return None
    sides = dict(zip(HALVES, halves, strict=True))
    names = [name for name, item in sides["secure"].known.items()
             if name in sides["vulnerable"].known
             and sides["secure"].of(item) != sides["vulnerable"].of(sides["vulnerable"].known[name])]  # fmt: skip
    for half, other in (HALVES, HALVES[::-1]):
        spots = [_spot(file, sides[half], name) for name in names]
        if names and None not in spots:
            found = [spot for spot in spots if spot is not None]
            texts = {
                half: file.raw,
                other: _with(pair.language, file, sides[other], dict(zip(names, found, strict=True))),
            }
            return Placed({name: raw.decode("utf-8", "surrogateescape") for name, raw in texts.items()}, half)
    return None


def _read(language: str, text: str) -> _Text:
    raw = text.replace("\r\n", "\n").encode("utf-8", "surrogateescape")
    tree = parse(language, raw, bounded=True)
    return _Text(raw, tree, {item.name: item for item in outermost(tree, language, len(raw) + 1)})


def _spot(file: _Text, side: _Text, name: str) -> Named | None:
    """Where the file has a function of a text, word by word; of several of its name the one that is the same."""
    wanted, plain = side.of(side.known[name]), name.partition("#")[0]
    for item in file.known.values():
        if item.name.partition("#")[0] == plain and file.of(item) == wanted:
            return item
    return None


def _with(language: str, file: _Text, side: _Text, spots: Mapping[str, Named]) -> bytes:
    """The file with the functions of a text in the places of its own."""
    edits = [(spot.start, spot.end, side.of(side.known[name])) for name, spot in spots.items()]
    spans = [(side.known[name].start, side.known[name].end) for name in spots]
    used = words(side.raw, spans, language)
    first = min(spot.start for spot in spots.values())
    have = {_bare(file.raw, node) for node in file.tree.root_node.children}
    lacking = [
        side.raw[node.start_byte : node.end_byte]
        for node in _head(side, min(start for start, _end in spans))
        if _bare(side.raw, node) not in have
        and not used.isdisjoint(words(side.raw, [(node.start_byte, node.end_byte)], language))
    ]
    if lacking:
        place, before = _after_imports(file, first)
        edits.append((place, place, before + b"\n".join(lacking) + b"\n"))
    made = file.raw
    for start, end, text in sorted(edits, reverse=True):
        made = made[:start] + text + made[end:]
    return made


def _head(side: _Text, first: int) -> list[Node]:
    """The statements at the top of a text before its first function that is put back."""
    return [
        node for node in side.tree.root_node.named_children if node.end_byte <= first and "comment" not in node.type
    ]


def _bare(raw: bytes, node: Node) -> bytes:
    return b"".join(raw[node.start_byte : node.end_byte].split())


def _after_imports(file: _Text, first: int) -> tuple[int, bytes]:
    """Where imports may be added above a function, and what ends the line before."""
    place = 0
    for number, node in enumerate(file.tree.root_node.children):
        if node.end_byte > first:
            break
        docstring = number == 0 and node.type == "expression_statement"
        if is_import(file.raw, node) or docstring:
            place = node.end_byte
    end = file.raw.find(b"\n", place)
    if not place:
        return 0, b""
    return (end + 1, b"") if end >= 0 else (len(file.raw), b"\n")


# --- the lines that count


def lines(language: str, texts: Mapping[str, str]) -> Lines:
    """The lines in which two files differ: those within functions count, with the whole of their statements."""
    secure, vulnerable = (texts[half].split("\n") for half in HALVES)
    changed: dict[str, set[int]] = {half: set() for half in HALVES}
    around: dict[str, set[int]] = {half: set() for half in HALVES}
    matcher = difflib.SequenceMatcher(None, secure, vulnerable, autojunk=False)
    for kind, start, end, first, last in matcher.get_opcodes():
        if kind != "equal":
            for half, begin, stop in (("secure", start, end), ("vulnerable", first, last)):
                changed[half] |= set(range(begin + 1, stop + 1))
                around[half] |= set(range(max(begin, 1), stop + 2))
    counted = {half: frozenset(_counted(language, texts[half], changed[half])) for half in HALVES}
    return Lines(counted, {half: frozenset(around[half]) for half in HALVES})


def _counted(language: str, text: str, changed: set[int]) -> set[int]:
    if language == "python":
        try:
            return set(_statements(ast.parse(text), changed))
        except (SyntaxError, ValueError, RecursionError):
            return set()
    raw = text.encode("utf-8", "surrogateescape")
    try:
        known = functions(parse(language, raw, bounded=True), language)
    except HardParse:
        return set()
    starts = [(raw.count(b"\n", 0, item.body_start_byte) + 1, raw.count(b"\n", 0, item.end_byte) + 1) for item in known]
    return {line for line in changed if any(first <= line <= last for first, last in starts)}


def _statements(tree: ast.Module, changed: set[int]) -> Iterator[int]:
    """The lines of the statements within functions that have a changed line; of one with a body those of its head."""
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, inside = pending.pop()
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.stmt) and (inside or function) and not _is_text(node):
            span = _span(node)
            if not changed.isdisjoint(span):
                yield from span
        inside = inside or function
        pending += [(child, inside) for child in ast.iter_child_nodes(node)]


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is nothing but a text, which is never run."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _span(node: ast.stmt) -> range:
    first = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", ()))])
    body = [item for name in ("body", "cases") for item in getattr(node, name, ())]
    starts = [item.lineno for item in body if isinstance(item, ast.stmt)]
    starts += [item.pattern.lineno for item in body if isinstance(item, ast.match_case)]
    return range(first, max(first + 1, min(starts))) if starts else range(first, (node.end_lineno or first) + 1)
