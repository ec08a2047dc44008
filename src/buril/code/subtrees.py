"""Subtrees: the shapes in a syntax tree, counted. Two texts that differ in names and values alone have the same."""

from __future__ import annotations

from collections import Counter

from tree_sitter import Node, Tree

Shape = tuple[str, tuple[int, ...]]


class Shapes:
    """Numbers for shapes; trees that are compared share one, since a number means nothing outside of it."""

    def __init__(self) -> None:
        self._numbers: dict[Shape, int] = {}

    def of(self, tree: Tree, *, start_byte: int = 0) -> Counter[int]:
        """How often each subtree stands in a tree, those counted that begin at `start_byte` or later.

        A subtree is a node with all that is below it: kinds of named nodes, comments left out. Leaves are part of
        subtrees and are none themselves.
        """
        found: Counter[int] = Counter()
        open_nodes: list[tuple[Node, list[int], list[Node]]] = [(tree.root_node, [], _children(tree.root_node))]
        while open_nodes:
            node, below, left = open_nodes[-1]
            if left:
                child = left.pop()
                open_nodes.append((child, [], _children(child)))
                continue
            open_nodes.pop()
            shape = (node.type, tuple(below))
            number = self._numbers.setdefault(shape, len(self._numbers))
            if node.child_count and node.start_byte >= start_byte:
                found[number] += 1
            if open_nodes:
                open_nodes[-1][1].append(number)
        return found


def _children(node: Node) -> list[Node]:
    """The named children from right to left, comments left out."""
    return [child for child in reversed(node.named_children) if "comment" not in child.type]
