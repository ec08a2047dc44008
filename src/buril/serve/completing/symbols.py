"""Symbols: the signatures that a file defines, by its tree."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from tree_sitter import Node

from buril.code.language import languages
from buril.code.parse import HardParse, functions, parse

_TYPES = re.compile(r"class|struct|interface|enum|trait|type_declaration|type_alias|contract|record|object_declaration")
_MOST_CHARS = 600
_TYPE_LINES = 10
_KEPT_FILES = 512


class Symbol(NamedTuple):
    """What a file defines: a name, where it begins (line from 0), and what a caller must know of it."""

    name: str
    line: int
    signature: str


@lru_cache(maxsize=_KEPT_FILES)
def symbols(text: str, language: str) -> tuple[Symbol, ...]:
    """The functions of a file by their signatures (with their docstrings in Python), and its types by their heads."""
    if language not in languages():
        return ()
    raw = text.encode("utf-8", "replace")
    try:
        tree = parse(language, raw)
    except HardParse:
        return ()
    found = []
    for item in functions(tree, language):
        line = raw.rfind(b"\n", 0, item.start_byte) + 1
        signature = raw[line : item.body_start_byte].decode("utf-8", "replace").rstrip()
        found.append(Symbol(item.name, raw.count(b"\n", 0, item.start_byte), signature[:_MOST_CHARS]))
    found += _types(tree.root_node, raw)
    return tuple(sorted(found, key=lambda item: (item.line, item.name)))


def _types(root: Node, raw: bytes) -> list[Symbol]:
    """The types at the top of a file, and within a namespace or an export, by their first lines."""
    found: list[Symbol] = []
    pending = list(root.named_children)
    for node in pending:
        name = node.child_by_field_name("name")
        if _TYPES.search(node.type):
            if name is None:
                inner = next((child.child_by_field_name("name") for child in node.named_children), None)
                name = inner
            if name is not None and name.text:
                head = raw[node.start_byte : node.end_byte].decode("utf-8", "replace").split("\n")[:_TYPE_LINES]
                found.append(Symbol(name.text.decode("utf-8", "replace"), node.start_point.row, _head(head)))
        elif node.parent == root and node.named_child_count < 4:  # an export, a decorated class
            pending += node.named_children
    return found


def _head(lines: list[str]) -> str:
    """The first lines of a type up to its first blank one."""
    kept = lines[:1]
    for line in lines[1:]:
        if not line.strip():
            break
        kept.append(line)
    return "\n".join(kept).rstrip()[:_MOST_CHARS]
