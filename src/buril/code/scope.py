"""Scopes: which names of a function are its own, and every place where they stand.

A *unit* is an outermost function. A name is *closed* in it when every place in the unit where it stands as a variable
is bound inside the unit, and nothing outside can see it. Whatever injective map is then applied to the closed names, at
all their places at once, leaves every name bound to what it was bound to, as long as the new names stand nowhere else
in the unit: that is the whole argument for renaming, and it needs no case for capture.

Names that could be seen from outside are never closed: module-level and class-level names, attributes, parameters that
may be passed by keyword, imports without an alias, names that a text or an interpolation spells, and whatever stands
where these rules know no better. A file that reaches its variables by other ways than names (`eval`, `locals`, …) is
refused whole. So is a language that has no rules here: there is no half of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import NamedTuple

from tree_sitter import Node, Tree

_RULES = {
    "python": "_scope_python",
    "javascript": "_scope_blocks",
    "typescript": "_scope_blocks",
    "tsx": "_scope_blocks",
    "java": "_scope_blocks",
    "go": "_scope_blocks",
    "c": "_scope_blocks",
    "cpp": "_scope_blocks",
    "rust": "_scope_blocks",
}
SCOPED = tuple(sorted(_RULES))
"""Languages whose scopes are known."""

Span = tuple[int, int]


class Unit(NamedTuple):
    """An outermost function: its bytes, its closed names with all their places, and every other word in it."""

    start: int
    end: int
    closed: Mapping[str, tuple[Span, ...]]
    taken: frozenset[str]


class Refused(ValueError):
    """Why the scopes of a file are not to be known; `reason` is a slug, `detail` what it was."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}" if detail else reason)


def units(language: str, source: bytes, tree: Tree) -> list[Unit]:
    """The units of a file, in order, those without a closed name left out.

    Args:
        language: one of `SCOPED`.
        source: the bytes that were parsed.
        tree: their tree.

    Raises:
        Refused: `no_rules` for a language that is not in `SCOPED`, `parse_errors`, `too_deep`, `dynamic_names`
            with the word that
            reaches variables by another way.
    """
    if language not in _RULES:
        raise Refused("no_rules", language)
    if tree.root_node.has_error:
        raise Refused("parse_errors")
    found: Callable[[str, bytes, Node], Iterable[Unit]]
    found = import_module(f"buril.code.{_RULES[language]}").units
    try:
        closed = [unit for unit in found(language, source, tree.root_node) if unit.closed]
    except RecursionError:
        raise Refused("too_deep") from None
    return sorted(closed, key=lambda unit: unit.start)


def rename(source: bytes, unit: Unit, names: Mapping[str, str]) -> bytes:
    """The whole source with the closed names of one unit replaced at all their places.

    `names` must be injective, and a new name must not be in `unit.taken` nor a closed name that keeps its own.
    """
    new = set(names.values())
    assert len(new) == len(names) and not new & unit.taken and not new & (unit.closed.keys() - names.keys())
    edits = sorted((start, end, names[name].encode()) for name in names for start, end in unit.closed[name])
    parts: list[bytes] = []
    done = 0
    for start, end, text in edits:
        parts += (source[done:start], text)
        done = end
    return b"".join([*parts, source[done:]])
