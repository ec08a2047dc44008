"""The scopes of languages with blocks, read by the tables of `_scope_rules.py`.

One walk notes what each scope declares, from where on, and every place where a name stands; then each place is looked
up from the inside out. A place that no table lists shuts its name: it is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tree_sitter import Node

from buril.code._scope_rules import RULES, Rules
from buril.code.scope import Refused, Span, Unit

_WORD = re.compile(rb"[A-Za-z_$][\w$]*", re.ASCII)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_TEXTS = ("string", "char", "text", "comment", "heredoc")
_PREPROCESSOR = ("preproc_arg", "preproc_params")
_MACRO = re.compile(r"[A-Z][A-Z0-9_]+")


@dataclass
class _Scope:
    """What a node declares: name → the byte from which on it is known."""

    above: _Scope | None
    function: bool
    bound: dict[str, int] = field(default_factory=dict)

    def bind(self, name: str, known_from: int) -> None:
        """Declare a name."""
        self.bound[name] = min(known_from, self.bound.get(name, known_from))

    def knows(self, name: str, place: int) -> bool:
        """Whether a name at a place is declared here or around."""
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.bound and scope.bound[name] <= place:
                return True
            scope = scope.above
        return False


class _Place(NamedTuple):
    name: str
    span: Span
    scope: _Scope


def units(language: str, source: bytes, root: Node) -> Iterator[Unit]:
    """The outermost functions.

    Raises:
        Refused: see `buril.code.scope.units`.
    """
    rules = RULES[language]
    spelt = _spelt(root, rules)
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type in rules.functions:
            yield _Unit(rules, source, spelt).read(node)
        else:
            pending.extend(node.named_children)


def _spelt(root: Node, rules: Rules) -> set[str]:
    """Words in texts and macros of a file, through which a name may be reached."""
    found: set[str] = set()
    pending = [root]
    while pending:
        node = pending.pop()
        if node.child_count == 0 and (_is_text(node.type) or node.type in _PREPROCESSOR):
            if "comment" not in node.type:
                found.update(word.decode() for word in _WORD.findall(node.text or b""))
        elif node.type == "with_statement" or (node.child_count == 0 and _text(node) in rules.dynamic):
            raise Refused("dynamic_names", _text(node)[:20])
        pending.extend(node.children)
    return found


def _is_text(kind: str) -> bool:
    return any(part in kind for part in _TEXTS) and "pattern" not in kind


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


class _Unit:
    """Reads one unit."""

    def __init__(self, rules: Rules, source: bytes, spelt: set[str]) -> None:
        self.rules, self.source = rules, source
        self.shut = set(spelt)
        self.places: list[_Place] = []
        self.macros = False

    def read(self, node: Node) -> Unit:
        """The unit of an outermost function."""
        outside = _Scope(None, function=True)
        self._node(node, outside, inner=_Scope(None, function=True))
        found: dict[str, list[Span]] = {}
        for place in self.places:
            if not place.scope.knows(place.name, place.span[0]):
                self.shut.add(place.name)
                self.macros = self.macros or (self.rules.macros and self._is_macro(place))
            found.setdefault(place.name, []).append(place.span)
        closed = {name: tuple(sorted(spans)) for name, spans in found.items() if self._may(name)}
        words = {word.decode() for word in _WORD.findall(self.source[node.start_byte : node.end_byte])}
        return Unit(node.start_byte, node.end_byte, closed, frozenset(words - closed.keys()))

    def _may(self, name: str) -> bool:
        return not self.macros and name not in self.shut and bool(_NAME.fullmatch(name))

    def _is_macro(self, place: _Place) -> bool:
        """Whether a name in capitals is called: a macro that may use names which it is not given."""
        after = self.source[place.span[1] : place.span[1] + 8].lstrip()
        return bool(_MACRO.fullmatch(place.name)) and after.startswith(b"(")

    def _node(self, node: Node, scope: _Scope, *, inner: _Scope | None = None) -> None:
        """Visit the children of a node that is looked up, not declared; `inner` is the scope of a unit's function."""
        rules, kind = self.rules, node.type
        here = scope
        if inner is None and (kind in rules.scopes or kind in rules.functions):
            inner = _Scope(scope, function=kind in rules.functions)
        if inner is not None:
            here = inner
        for number, child in enumerate(node.children):
            place = node.field_name_for_child(number) or ""
            if f"{kind} {place}" in rules.outer and scope.above is None:
                self.shut.add(_text(child))  # the unit's own name is seen from outside
            elif f"{kind} {place}" in rules.outer:
                self._declare(child, scope, self._known_from(node, child))
            elif self._at(rules.binds, kind, place) and not _is_assignment(node):
                self._declare(child, self._home(node, here), self._known_from(node, child))
            else:
                self._look(child, kind, place, here)

    @staticmethod
    def _at(places: frozenset[str], kind: str, place: str) -> bool:
        return f"{kind} {place}" in places or f"{kind} *" in places

    def _home(self, node: Node, scope: _Scope) -> _Scope:
        """The scope that a declaration at this node belongs to: the function's for `var`."""
        above = node.parent
        var = above is not None and f"{above.type} {node.type}" in self.rules.hoists
        if node.type == "for_in_statement":
            kind = node.child_by_field_name("kind")
            var = kind is not None and _text(kind) == "var"
        while var and not scope.function and scope.above is not None:
            scope = scope.above
        return scope

    def _known_from(self, node: Node, child: Node) -> int:
        if self.rules.whole:
            return 0
        return node.end_byte if node.type in self.rules.late else child.start_byte

    def _look(self, node: Node, kind: str, place: str, scope: _Scope) -> None:
        """A node that is looked up: a name where one is listed, else what is inside it."""
        rules = self.rules
        if node.type in rules.closed_kinds or self._spells(node):
            self.shut.update(word.decode() for word in _WORD.findall(node.text or b""))
        elif node.type == "identifier" and self._at(rules.refs, kind, place):
            self.places.append(_Place(_text(node), (node.start_byte, node.end_byte), scope))
        elif node.child_count:
            self._node(node, scope)
        elif node.is_named and not (
            node.type in rules.other_kinds or self._at(rules.other, kind, place) or _is_text(node.type)
        ):
            self.shut.update(word.decode() for word in _WORD.findall(node.text or b""))

    def _spells(self, node: Node) -> bool:
        function = node.child_by_field_name("function") if node.type == "call_expression" else None
        return function is not None and _text(function) in self.rules.spelling

    def _declare(self, node: Node, scope: _Scope, known_from: int) -> None:
        """A declaration: the names in it, through patterns; anything else in it is looked up."""
        rules = self.rules
        if node.type == "identifier":
            name = _text(node)
            if node.parent is not None and any(item.type in rules.marks for item in node.parent.children):
                self.shut.add(name)
            if not (rules.small and name != name.lower()):
                scope.bind(name, known_from)
            self.places.append(_Place(name, (node.start_byte, node.end_byte), scope))
            if known_from > node.start_byte:  # its own place comes before it is known
                self.places.pop()
                self.places.append(_Place(name, (node.start_byte, node.end_byte), _declared(name, scope)))
        elif any(place.split()[0] == node.type for place in rules.patterns):
            for number, child in enumerate(node.children):
                place = node.field_name_for_child(number) or ""
                if self._at(rules.refs, node.type, place) and place:
                    self._look(child, node.type, place, scope)
                elif self._at(rules.patterns, node.type, place) and not self._at(rules.other, node.type, place):
                    self._declare(child, scope, known_from)
                else:
                    self._look(child, node.type, place, scope)
        elif node.type == "function_declarator":  # a prototype: its parameters are no variables
            self.shut.update(word.decode() for word in _WORD.findall(node.text or b""))
        else:
            self._look(node, "", "", scope)


def _is_assignment(node: Node) -> bool:
    """Whether a loop uses variables that are there already: `for (x of xs)`, `for x = range xs`."""
    if node.type == "for_in_statement":
        return node.child_by_field_name("kind") is None
    return node.type == "range_clause" and any(child.type == "=" for child in node.children)


def _declared(name: str, scope: _Scope) -> _Scope:
    """A scope in which a name is known from the start: for the place that declares it."""
    return _Scope(scope, function=False, bound={name: 0})
