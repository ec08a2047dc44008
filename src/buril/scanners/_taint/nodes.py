"""What all languages read of a tree-sitter tree in the same way: a node's place and text, expressions by their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tree_sitter import Node

from buril.scanners._taint import ir

Lower = Callable[[Node], Any]


def line_of(node: Node) -> ir.Place:
    """The line that a node begins on, with its columns."""
    (row, column), (end_row, end_column) = node.start_point, node.end_point
    place = ir.Place(row + 1)
    place.column, place.end_line, place.end_column = column, end_row + 1, end_column
    return place


def text_of(node: Node | None) -> str:
    """The text of a node; "" of none."""
    return (node.text or b"").decode("utf-8", "replace") if node is not None else ""


class Reader:
    """Reads the expressions of a language, each kind of node by its form.

    Args:
        skipped: kinds of nodes that mean nothing.
    """

    def __init__(self, skipped: frozenset[str]) -> None:
        self._skipped = skipped
        self._forms: dict[str, Lower] = {}

    def learn(self, forms: Mapping[str, Lower]) -> None:
        """Know how kinds of nodes are read; said after the functions that read them, which hold each other."""
        self._forms.update(forms)

    def children(self, node: Node) -> list[Node]:
        """The children that mean something."""
        return [child for child in node.named_children if child.type not in self._skipped]

    def at(self, node: Node, name: str) -> Any:
        """The expression at a field; None where there is none."""
        child = node.child_by_field_name(name)
        return self.expression(child) if child is not None else None

    def expression(self, node: Node) -> Any:
        """An expression."""
        known = self._forms.get(node.type)
        return known(node) if known is not None else self.whole(node)

    def whole(self, node: Node) -> Any:
        """Anything without a form of its own."""
        parts = tuple(self.expression(child) for child in self.children(node))
        return parts[0] if len(parts) == 1 else ir.Other(line_of(node), parts)
