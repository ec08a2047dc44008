"""Data flow: which variable a value comes from, read off a tree by the tables of `_dataflow_rules.py`.

Two kinds of edges, as in GraphCodeBERT (Guo et al. 2021, arXiv 2009.08366) and CodeBLEU (Ren et al. 2020, arXiv
2009.10297): where a variable gets a value, an edge from every variable in that value; where a variable is read, an edge
from itself. Variables are numbered in the order of their first definition, so that other names give the same edges.

A variable is a name that the text itself defines (a parameter, a target of an assignment or a loop). Names are told
apart by how they are spelt alone: two variables of one name in one text count as one. Branches are not followed: an
edge says that a value may come from there. Languages that only bind names to expressions (Haskell, OCaml) and those
that have no variables (SQL, CSS, HTML) have no tables here, and so no data flow.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tree_sitter import Node, Tree

from buril.code._dataflow_rules import RULES, Rule

FLOWING = tuple(sorted(RULES))
"""Languages whose data flow is known."""


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NAMES = _set("""identifier simple_identifier variable_name varname implicit_parameter shorthand_property_identifier
    shorthand_property_identifier_pattern""")
_MEMBERS = _set("attribute field property method key label name suffix external_name")
"""Fields whose name is none of a variable, where it is not a target."""
_NO_TARGETS = _set("value default_value default right size index key bounds")
_TYPES = _set("type return_type result_type")
_SKIPPED = _set("navigation_suffix type_annotation type_arguments type_parameters user_type comment")
_FUNCTIONS = _set("""function_definition lambda lambda_expression lambda_literal closure_expression arrow_function
    function_expression anonymous_function anonymous_function_creation_expression func_literal
    arrow_function_expression""")
"""What a value may be that reads nothing until it is called."""
_PLACES = ("subscript", "index", "attribute", "member", "field_", "selector", "access", "navigation", "subset",
           "element_reference", "pointer_expression", "unary")  # fmt: skip
"""Parts of the kinds of targets that are a place in something: then what they are in gets the value."""
_COMPOUND = re.compile(rb"(?:[-+*/%&|^~.?]+|<<|>>|>>>|&&|\|\||\?\?|and|or)=")


class Edge(NamedTuple):
    """From the variables `sources` to the variable `target`, by number; `copied`: the value is that of the one source.

    `byte` is where the target stands.
    """

    byte: int
    target: int
    copied: bool
    sources: tuple[int, ...]


def edges(language: str, tree: Tree) -> list[Edge] | None:
    """The edges of a text in their order; None for a language that is not in `FLOWING`.

    Example:
        `def f(a): b = a + 1; return b` has two: b (1) from a (0), and the last b from itself; and a from itself.
    """
    rules = RULES.get(language)
    if rules is None:
        return None
    reader = _Reader(rules)
    reader.read(tree.root_node)
    return sorted(reader.edges())


class _Reader:
    """Notes every definition and every other place of a name."""

    def __init__(self, rules: dict[str, tuple[Rule, ...]]) -> None:
        self.rules = rules
        self.places: list[Node] = []
        self.targets: dict[int, str] = {}
        """Byte → name, for places that get a value."""
        self.flows: list[tuple[Node, list[Node], bool]] = []

    def read(self, root: Node) -> None:
        """Walk the tree once; the values of definitions are looked at on their own."""
        pending = [root]
        while pending:
            node = pending.pop()
            for rule in self.rules.get(node.type, ()):
                self._define(node, rule)
            if node.type in _NAMES:
                self.places.append(node)
            else:
                pending.extend(reversed(list(_inside(node))))

    def edges(self) -> Iterator[Edge]:
        """The edges, once all is read."""
        numbers: dict[str, int] = {}
        for _byte, name in sorted(self.targets.items()):
            numbers.setdefault(name, len(numbers))
        for target, sources, copied in self.flows:
            known = tuple(numbers[_text(node)] for node in sources if _text(node) in numbers)
            if known:
                yield Edge(target.start_byte, numbers[_text(target)], copied and len(known) == 1, known)
        for place in self.places:
            number = numbers.get(_text(place))
            if number is not None and place.start_byte not in self.targets:
                yield Edge(place.start_byte, number, True, (number,))

    def _define(self, node: Node, rule: Rule) -> None:
        target_place, source_place, operators = rule
        if operators and not any((child.text or b"").decode() in operators for child in node.children):
            return
        targets = _at(node, target_place)
        sources = targets if source_place == "=" else [] if source_place == "-" else _at(node, source_place)
        if source_place != "=":
            sources = [item for item in sources if item not in targets]
        compound = any(_COMPOUND.fullmatch(child.text or b"") for child in node.children if child.child_count == 0)
        for one, its in _paired(targets, sources):
            self._flow(one, its, compound=compound)

    def _flow(self, target: Node, sources: Sequence[Node], *, compound: bool) -> None:
        names = list(_names_of_target(target))
        from_X = [name for source in sources for name in _names(source, of_functions=False)]
        copied = len(sources) == 1 and _bare(sources[0]).type in _NAMES and not compound and sources[0] != target
        for name in names:
            self.targets[name.start_byte] = _text(name)
            self.flows.append((name, [name, *from_X] if compound else from_X, copied))


def _at(node: Node, place: str) -> list[Node]:
    if place == "*":
        return node.named_children
    if not place.startswith("#"):
        return [child for child in node.children_by_field_name(place) if child.is_named]
    named = [child for child in node.named_children if child.type not in _SKIPPED]
    number = int(place[1:])
    return [named[number]] if -len(named) <= number < len(named) else []


def _paired(targets: Sequence[Node], sources: Sequence[Node]) -> Iterator[tuple[Node, Sequence[Node]]]:
    """Targets with what goes into them: one by one where both sides list as many (`a, b = b, a`)."""
    if len(targets) == 1 == len(sources):
        left, right = targets[0].named_children, sources[0].named_children
        if len(left) == len(right) > 1 and all(_is_list(side) for side in (targets[0], sources[0])):
            yield from ((one, [other]) for one, other in zip(left, right, strict=True))
            return
    yield from ((target, sources) for target in targets)


def _bare(node: Node) -> Node:
    """What a node wraps and nothing else."""
    while node.named_child_count == 1 and node.child_count == 1:
        node = node.named_children[0]
    return node


def _is_list(node: Node) -> bool:
    return any(part in node.type for part in ("list", "tuple"))


def _names_of_target(node: Node) -> Iterator[Node]:
    """The names that a target binds; of a place in something, that thing."""
    if node.type in _NAMES:
        yield node
    elif node.type in _SKIPPED:
        return
    elif any(part in node.type for part in _PLACES):
        yield from itertools.islice(_names(node), 1)
    else:
        for number, child in enumerate(node.children):
            place = node.field_name_for_child(number)
            if child.is_named and place not in _TYPES and (place not in _NO_TARGETS or node.type == "pair_pattern"):
                yield from _names_of_target(child)


def _names(node: Node, *, of_functions: bool = True) -> Iterator[Node]:
    """The names in an expression that may be variables, from left to right; on demand without those in functions."""
    pending = [node]
    while pending:
        node = pending.pop()
        if node.type in _NAMES:
            yield node
        elif of_functions or node.type not in _FUNCTIONS:
            pending.extend(reversed(list(_inside(node))))


def _inside(node: Node) -> Iterator[Node]:
    """The children in which a variable may be read."""
    for number, child in enumerate(node.children):
        if not child.is_named or child.type in _SKIPPED:
            continue
        place = node.field_name_for_child(number)
        if place in _TYPES or (place in _MEMBERS and child.type in _NAMES):
            continue
        yield child


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
