"""Excerpts: a part of a file that stands by itself: the functions around some bytes, what encloses them, the imports.

Nothing is rewritten: an excerpt is its file with whole declarations left out, so each of its lines stands in the file,
in the same order. A file is left as it is where its functions are not known.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from tree_sitter import Node, Tree

from buril.code.parse import Function, functions, keywords

Span = tuple[int, int]
"""Bytes from the first to before the last."""

_IMPORTS = re.compile(r"import|include|using|^use_|require|package|php_tag|namespace_use|pragma|shebang|hash_bang")
_ALWAYS = re.compile(r"include|package|php_tag|pragma|namespace|shebang|hash_bang")
_BLOCK = re.compile(r"(?:^|_)(?:body|block|list|compound_statement)$|^preproc_if")
_WORD = re.compile(rb"[A-Za-z_]\w*")
_REST = re.compile(rb"[ \t;,]*(?:\r?\n|$)")
_HEAD = re.compile(rb"[=({\[:;]")
_EMPTY = re.compile(rb"(?:[ \t]*\r?\n)*")
MAX_NAME_LINE_BYTES = 160
"""A line at the top of a file that gives a name to something is kept for those who use it, if it is no longer."""


class Named(NamedTuple):
    """A function with the names of the classes around it (`Vault.open`), numbered where a name comes twice."""

    name: str
    start: int
    end: int
    signature: bytes


def outermost(tree: Tree, language: str, most: int) -> list[Named]:
    """The functions of a file that are in no other, in order; of one that has more than `most` bytes those within.

    Args:
        tree: of the whole file.
        language: its name.
        most: bytes of a function.
    """
    source = tree.root_node.text or b""
    first = tree.root_node.start_byte
    found: list[Named] = []
    seen: dict[str, int] = {}
    end = -1
    for item in functions(tree, language):
        if item.end_byte - item.start_byte > most or item.start_byte < end:
            continue
        end = item.end_byte
        name = ".".join((*_around(tree, item), item.name))
        seen[name] = seen.get(name, 0) + 1
        told = name if seen[name] == 1 else f"{name}#{seen[name]}"
        signature = source[item.start_byte - first : item.body_start_byte - first]
        found.append(Named(told, item.start_byte, item.end_byte, signature))
    return found


def _around(tree: Tree, function: Function) -> list[str]:
    """The names of what a function stands in, from the outside."""
    node = tree.root_node.descendant_for_byte_range(function.start_byte, function.end_byte)
    names: list[str] = []
    while node is not None and (node := node.parent) is not None:
        name = node.child_by_field_name("name")
        if name is not None and name.text:
            names.append(name.text.decode("utf-8", "replace"))
    return names[::-1]


def words(source: bytes, spans: Sequence[Span], language: str) -> frozenset[bytes]:
    """The words that stand in some spans, without those of the language itself."""
    return frozenset(word for start, end in spans for word in _WORD.findall(source, start, end)) - keywords(language)


def kept_spans(tree: Tree, spans: Sequence[Span]) -> list[Span]:
    """The statements at the top of a file that some spans are in."""
    return [
        (node.start_byte, node.end_byte)
        for node in tree.root_node.children
        if any(_touch(node, span) for span in spans)
    ]


def excerpt(source: bytes, tree: Tree, spans: Sequence[Span], used: Collection[bytes]) -> bytes:
    """What stands around some spans of a file.

    Args:
        source: the whole file.
        tree: its tree.
        spans: what is kept, with all that encloses it: functions whole, as `outermost` gives them, or parts of them.
        used: the words for which imports and names at the top of the file are kept.
    """
    return b"".join(halves(source, tree, spans, used))


def halves(source: bytes, tree: Tree, spans: Sequence[Span], used: Collection[bytes]) -> tuple[bytes, bytes]:
    """An excerpt as what comes before the first statement with one of the spans (imports, names), and the rest."""
    first = min((start for start, _end in kept_spans(tree, spans)), default=0)
    kept = [bytearray(), bytearray()]
    at = 0
    needed = _with_names(source, tree.root_node, spans, frozenset(used))
    dropped = _joined(source, sorted(_unwanted(source, tree.root_node, spans, needed)))
    for span in [*dropped, (len(source), len(source))]:
        start, end = _whole_lines(source, *span) if span[0] < len(source) else span
        if start > at:
            at = _without_gap(bytes(kept[0] + kept[1]), source, at)
            kept[0] += source[at : max(at, min(start, first))]
            kept[1] += source[max(at, first) : max(start, first)]
        at = max(at, end)
    return bytes(kept[0]), bytes(kept[1]).rstrip(b"\r\n") + b"\n"


def _joined(source: bytes, spans: Sequence[Span]) -> list[Span]:
    """Spans with nothing but spaces between them as one."""
    found: list[Span] = []
    for start, end in spans:
        if found and not source[found[-1][1] : start].strip(b" \t;,"):
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _without_gap(before: bytes, source: bytes, at: int) -> int:
    """Where to go on after something was left out: past the empty lines that stood on its other side too."""
    there = len(before) - len(before.rstrip(b"\n")) - 1 if before.strip() else len(source)
    found = _EMPTY.match(source, at)
    lines = found[0].splitlines(keepends=True) if found else []
    return at + sum(map(len, lines[: max(0, there)]))


def _unwanted(source: bytes, root: Node, spans: Sequence[Span], used: frozenset[bytes]) -> Iterator[Span]:
    """The children of the file, of classes and of blocks around the spans that are not kept."""
    pending, gone = [root], set[int]()
    while pending:
        node = pending.pop()
        held: list[Node] = []  # comments that belong to what comes next
        for child in node.named_children:
            if any(_touch(child, span) for span in spans):
                held = []
                if not any(start <= child.start_byte and child.end_byte <= end for start, end in spans):
                    inner = [item for item in _blocks(child) if any(_touch(item, span) for span in spans)]
                    pending += inner
            elif "comment" in child.type:
                before = child.prev_sibling
                if before is None or before.end_point.row != child.start_point.row:
                    held.append(child)
                elif before.start_byte in gone:  # it is about what stands before it on its line
                    yield child.start_byte, child.end_byte
            else:
                yield from ((item.start_byte, item.end_byte) for item in held)
                held = []
                if not _is_kept(source, node, child, used):
                    gone.add(child.start_byte)
                    yield child.start_byte, child.end_byte
        yield from ((item.start_byte, item.end_byte) for item in held)


def _with_names(source: bytes, root: Node, spans: Sequence[Span], used: frozenset[bytes]) -> frozenset[bytes]:
    """Some words with those that the names kept for them are made of: a logger at the top needs its import."""
    left = [(parent, child) for parent in (root, *root.named_children) for child in parent.named_children
            if parent is root or parent.type.startswith("preproc_if")]  # fmt: skip
    left = [(parent, child) for parent, child in left
            if not is_import(source, child) and not any(_touch(child, span) for span in spans)]  # fmt: skip
    while True:
        kept = [child for parent, child in left if _is_kept(source, parent, child, used)]
        if not kept:
            return used
        left = [(parent, child) for parent, child in left if child not in kept]
        values = (b" ".join(_HEAD.split(source[child.start_byte : child.end_byte])[1:]) for child in kept)
        used = used.union(*map(_WORD.findall, values))


def _blocks(node: Node) -> Iterator[Node]:
    """The nearest blocks in a node; itself where it is one."""
    pending = [node]
    while pending:
        item = pending.pop()
        if _BLOCK.search(item.type):
            yield item
        else:
            pending += item.named_children


def _is_kept(source: bytes, parent: Node, child: Node, used: frozenset[bytes]) -> bool:
    """Whether what no span touches is kept: an import, a name, a condition of the preprocessor."""
    if parent.type.startswith("preproc_if") and child.type == "identifier":
        return True
    if _ALWAYS.search(child.type):
        return True
    text = source[child.start_byte : child.end_byte]
    if is_import(source, child):
        return b"*" in text or not used.isdisjoint(_WORD.findall(text))
    one_line = child.start_point.row == child.end_point.row or child.end_point.column == 0
    at_top = parent.parent is None or parent.type.startswith("preproc_if")
    if not at_top or not one_line or len(text) > MAX_NAME_LINE_BYTES:
        return False
    named = _WORD.findall(text[7:]) if text.startswith(b"#define") else _WORD.findall(_HEAD.split(text)[0])[-1:]
    return bool(named) and named[0] in used


def is_import(source: bytes, node: Node) -> bool:
    """Whether a statement brings in names from elsewhere, in any of the ways languages have."""
    return bool(_IMPORTS.search(node.type)) or b"require(" in source[node.start_byte : node.end_byte]


def _touch(node: Node, span: Span) -> bool:
    """Whether a node and a span have a byte in common; an empty span is in what is around it."""
    start, end = span
    if start == end:
        return node.start_byte < start < node.end_byte
    return node.start_byte < end and start < node.end_byte


def _whole_lines(source: bytes, start: int, end: int) -> Span:
    """A span with the rest of its lines, where nothing else stands on them."""
    before = source.rfind(b"\n", 0, start) + 1
    found = _REST.match(source, end)
    return (start, end) if source[before:start].strip() or found is None else (before, found.end())
