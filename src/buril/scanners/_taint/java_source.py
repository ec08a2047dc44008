"""The text of nodes. A node copies the whole file to give a word of it; here the file is kept while it is read."""

from __future__ import annotations

import threading
from typing import Final

from tree_sitter import Node

_FILE: Final = threading.local()


def reading(root: Node) -> None:
    """Nodes of another file come from here on."""
    _FILE.source, _FILE.start = root.text or b"", int(root.start_byte)


def line_of(node: Node) -> int:
    """The line that a node begins on."""
    return int(node.start_point[0]) + 1


def text_of(node: Node | None) -> str:
    """The text of a node of the file that is read; "" of none."""
    if node is None:
        return ""
    source: bytes = _FILE.source
    return source[node.start_byte - _FILE.start : node.end_byte - _FILE.start].decode("utf-8", "replace")
