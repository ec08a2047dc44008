"""The scopes of Python: functions, lambdas, comprehensions and classes, by the rules of its reference (§4.2).

Two passes over a unit: the first notes in which scope each name is bound and where each name stands, the second looks
every place up as the interpreter does (own scope, enclosing functions, never an enclosing class).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from tree_sitter import Node

from buril.code.scope import Refused, Span, Unit

_DYNAMIC_TEXT = "eval exec execfile locals vars globals dir _getframe currentframe f_locals f_globals co_varnames"
_DYNAMIC = frozenset(_DYNAMIC_TEXT.split())
"""Words that reach variables by another way than their names."""
_WORD = re.compile(rb"[^\W\d]\w*", re.ASCII)
_COMPREHENSIONS = ("list_comprehension", "set_comprehension", "dictionary_comprehension", "generator_expression")
_GROUPS = ("pattern_list", "tuple_pattern", "list_pattern", "expression_list", "tuple", "list", "list_splat_pattern",
           "list_splat", "parenthesized_expression")  # fmt: skip
_KEYLESS = frozenset({b"sorted", b"min", b"max", b"map", b"filter", b"reduce", b"sort"})
"""Calls that hand their function arguments by position only."""
_RECEIVERS = frozenset({"self", "cls", "mcs", "mcls"})
_STUBBORN = ("type_alias_statement", "exec_statement", "print_statement")
"""Statements of Python 2, and what only the newest grammars scope: the file is refused."""


@dataclass
class _Scope:
    """`kind`: function, lambda, comprehension or class."""

    kind: str
    above: _Scope | None
    bound: set[str] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)
    """Names declared `global`."""
    nonlocals: set[str] = field(default_factory=set)

    def function(self) -> _Scope:
        """The nearest scope that is no comprehension: where `:=` binds."""
        scope = self
        while scope.kind == "comprehension" and scope.above:
            scope = scope.above
        return scope

    def owner(self, name: str) -> _Scope | None:
        """The scope that a name used here belongs to; None for a global."""
        if name in self.outside:
            return None
        if name in self.bound and name not in self.nonlocals:
            return self
        scope = self.above
        while scope is not None:
            if scope.kind != "class" and name in scope.outside:
                return None
            if scope.kind != "class" and name in scope.bound and name not in scope.nonlocals:
                return scope
            scope = scope.above
        return None


class _Place(NamedTuple):
    """Where a name stands; without a scope it is looked up outside of the unit."""

    name: str
    span: Span
    scope: _Scope | None


@dataclass
class _File:
    """What holds for all units of a file."""

    texts: frozenset[str]
    """Words in string literals: another way to a name may go through them."""
    keywords: frozenset[str]
    """Names of keyword arguments at calls."""
    indirect: frozenset[str]
    """Names that stand elsewhere than as the function of a call without `**`."""


def units(language: str, source: bytes, root: Node) -> Iterator[Unit]:
    """The outermost functions.

    Raises:
        Refused: see `buril.code.scope.units`.
    """
    facts = _read(source, root)
    for node in _outermost(root):
        yield _Unit(facts, source).read(node)


def _outermost(root: Node) -> Iterator[Node]:
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type == "function_definition":
            yield node
        elif node.type != "lambda":
            pending.extend(node.named_children)


def _read(source: bytes, root: Node) -> _File:
    texts: set[str] = set()
    keywords: set[str] = set()
    indirect: set[str] = set()
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type in ("string_content", "comment"):
            if node.type == "string_content" or b"type:" in (node.text or b""):
                texts.update(word.decode() for word in _WORD.findall(node.text or b""))
        elif node.type in _STUBBORN or node.child_by_field_name("type_parameters") is not None:
            raise Refused("dynamic_names", node.type)
        elif node.type == "interpolation" and any(child.type == "=" for child in node.children):
            texts.update(word.decode() for word in _WORD.findall(node.text or b""))
        elif node.type == "identifier":
            name = _text(node)
            if name in _DYNAMIC:
                raise Refused("dynamic_names", name)
            if not _is_direct(node):
                indirect.add(name)
        elif node.type == "keyword_argument":
            keywords.add(_text(node.named_children[0]))
        pending.extend(node.named_children)
    return _File(frozenset(texts), frozenset(keywords), frozenset(indirect))


def _is_direct(node: Node) -> bool:
    """Whether a name is that of a definition or the function of a call that passes no `**`."""
    parent = node.parent
    if parent is None:
        return False
    if parent.type == "function_definition":
        above = parent.parent
        return above is not None and above.type != "decorated_definition" and parent.child_by_field_name("name") == node
    if parent.type == "call" and parent.child_by_field_name("function") == node:
        given = parent.child_by_field_name("arguments")
        return given is not None and not any(item.type == "dictionary_splat" for item in given.named_children)
    return False


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


class _Unit:
    """Reads one unit."""

    handlers: ClassVar[dict[str, str]] = {
        "function_definition": "_function", "lambda": "_lambda", "class_definition": "_class",
        "assignment": "_assignment", "augmented_assignment": "_assignment", "for_statement": "_for",
        "for_in_clause": "_for", "named_expression": "_walrus", "as_pattern": "_as", "delete_statement": "_delete",
        "global_statement": "_declared", "nonlocal_statement": "_declared", "import_statement": "_import",
        "import_from_statement": "_import", "future_import_statement": "_import", "attribute": "_attribute",
        "keyword_argument": "_keyword", "case_pattern": "_case", "identifier": "_identifier",
        **dict.fromkeys(_COMPREHENSIONS, "_comprehension"),
    }  # fmt: skip

    def __init__(self, facts: _File, source: bytes) -> None:
        self.facts, self.source = facts, source
        self.places: list[_Place] = []
        self.shut: set[str] = set()
        """Names that must stay as they are."""

    def read(self, node: Node) -> Unit:
        """The unit of an outermost function."""
        self._function(node, None)
        found: dict[str, list[Span]] = {}
        for place in self.places:
            owner = place.scope.owner(place.name) if place.scope else None
            if owner is None or owner.kind == "class":
                self.shut.add(place.name)
            found.setdefault(place.name, []).append(place.span)
        closed = {name: tuple(sorted(set(spans))) for name, spans in found.items() if self._may(name)}
        words = {
            word.decode("utf-8", "replace") for word in _WORD.findall(self.source[node.start_byte : node.end_byte])
        }
        return Unit(node.start_byte, node.end_byte, closed, frozenset(words - closed.keys()))

    def _may(self, name: str) -> bool:
        if name in self.shut or name in self.facts.texts or name in _RECEIVERS:
            return False
        return name.isascii() and not name.startswith("__") and bool(name.strip("_"))

    def _visit(self, node: Node, scope: _Scope | None) -> None:
        handler = self.handlers.get(node.type)
        if handler:
            act: Callable[[Node, _Scope | None], None] = getattr(self, handler)
            act(node, scope)
        else:
            for child in node.named_children:
                self._visit(child, scope)

    def _identifier(self, node: Node, scope: _Scope | None) -> None:
        self.places.append(_Place(_text(node), (node.start_byte, node.end_byte), scope))

    def _bind(self, node: Node, scope: _Scope | None) -> None:
        """A target: names in it are bound, anything else in it is looked up."""
        if node.type in _GROUPS:
            for child in node.named_children:
                self._bind(child, scope)
        elif node.type == "identifier" and scope:
            scope.bound.add(_text(node))
            self._identifier(node, scope)
        else:
            self._visit(node, scope)

    def _function(self, node: Node, scope: _Scope | None) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        parameters = node.child_by_field_name("parameters")
        assert name is not None and body is not None and parameters is not None
        above = node.parent
        if scope is not None:
            self._bind(name, scope)
            if above is not None and above.type == "decorated_definition":
                self.shut.add(_text(name))
        private = scope is not None or (_text(name).startswith("_") and not _in_class(node))
        positional = private and _text(name) not in self.facts.indirect
        inner = _Scope("function", scope)
        self._parameters(parameters, scope, inner, positional=positional)
        if (annotation := node.child_by_field_name("return_type")) is not None:
            self._visit(annotation, scope)
        self._visit(body, inner)

    def _lambda(self, node: Node, scope: _Scope | None) -> None:
        inner = _Scope("lambda", scope)
        if (parameters := node.child_by_field_name("parameters")) is not None:
            self._parameters(parameters, scope, inner, positional=_is_keyless(node))
        body = node.child_by_field_name("body")
        assert body is not None
        self._visit(body, inner)

    def _parameters(self, node: Node, scope: _Scope | None, inner: _Scope, *, positional: bool) -> None:
        """Bind parameters; defaults and annotations are looked up outside. What may be passed by keyword stays."""
        before_slash = any(child.type == "positional_separator" for child in node.named_children)
        after_star = False  # then it can be passed by keyword alone, from another file too
        for child in node.named_children:
            if child.type == "positional_separator":
                before_slash = False
                continue
            name, starred = _parameter(child)
            by_keyword, after_star = after_star, after_star or _text(child).startswith("*")
            if name is None:
                continue
            inner.bound.add(_text(name))
            self._identifier(name, inner)
            by_position = positional and not by_keyword and _text(name) not in self.facts.keywords
            annotated = child.child_by_field_name("type") is not None  # then `__annotations__` tells its name
            if annotated or not (starred or before_slash or by_position):
                self.shut.add(_text(name))
            for part in (child.child_by_field_name("type"), child.child_by_field_name("value")):
                if part is not None:
                    self._visit(part, scope)

    def _class(self, node: Node, scope: _Scope | None) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        assert name is not None and body is not None
        self.shut.add(_text(name))
        self._bind(name, scope)
        if (bases := node.child_by_field_name("superclasses")) is not None:
            self._visit(bases, scope)
        self._visit(body, _Scope("class", scope))

    def _comprehension(self, node: Node, scope: _Scope | None) -> None:
        inner = _Scope("comprehension", scope)
        clauses = [child for child in node.named_children if child.type == "for_in_clause"]
        for child in node.named_children:
            if child.type != "for_in_clause":
                self._visit(child, inner)
                continue
            left, right = child.child_by_field_name("left"), child.children_by_field_name("right")
            assert left is not None
            for item in right:  # only the first iterable is evaluated outside
                self._visit(item, scope if child == clauses[0] else inner)
            self._bind(left, inner)

    def _assignment(self, node: Node, scope: _Scope | None) -> None:
        left = node.child_by_field_name("left")
        assert left is not None
        for child in node.named_children:
            if child != left:
                self._visit(child, scope)
        self._bind(left, scope)

    _for = _assignment

    def _walrus(self, node: Node, scope: _Scope | None) -> None:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        assert name is not None and value is not None
        if scope:
            scope.function().bound.add(_text(name))
        self._identifier(name, scope)
        self._visit(value, scope)

    def _as(self, node: Node, scope: _Scope | None) -> None:
        """`with a as b`, `except A as b`, and in `case` a pattern with a name."""
        *others, target = node.named_children
        for child in others:
            self._visit(child, scope)
        for name in target.named_children if target.type == "as_pattern_target" else [target]:
            self._bind(name, scope)

    def _delete(self, node: Node, scope: _Scope | None) -> None:
        for child in node.named_children:
            self._bind(child, scope)

    def _declared(self, node: Node, scope: _Scope | None) -> None:
        for name in node.named_children:
            if name.type == "identifier" and scope:
                (scope.outside if node.type == "global_statement" else scope.nonlocals).add(_text(name))
                self._identifier(name, scope)

    def _import(self, node: Node, scope: _Scope | None) -> None:
        for child in node.children_by_field_name("name"):
            alias = child.child_by_field_name("alias")
            if alias is not None:
                self._bind(alias, scope)
            else:  # `import a.b` binds a
                name = _text(child.named_children[0]) if child.named_children else _text(child)
                self.shut.add(name)
                if scope:
                    scope.bound.add(name)

    def _attribute(self, node: Node, scope: _Scope | None) -> None:
        part = node.child_by_field_name("object")
        assert part is not None
        self._visit(part, scope)

    def _keyword(self, node: Node, scope: _Scope | None) -> None:
        value = node.child_by_field_name("value")
        assert value is not None
        self._visit(value, scope)

    def _case(self, node: Node, scope: _Scope | None) -> None:
        """A pattern of `case`: a bare name is bound, a dotted one and the name of a class are looked up."""
        pending = list(node.named_children)
        while pending:
            item = pending.pop()
            if item.type == "dotted_name":
                names = item.named_children
                capture = len(names) == 1 and (item.parent is None or item.parent.type != "class_pattern")
                if capture:
                    self._bind(names[0], scope)
                elif names:
                    self._identifier(names[0], scope)
            elif item.type == "keyword_pattern":
                pending += item.named_children[1:]
            elif item.type == "identifier":  # after `*`, `**` and `as`
                self._bind(item, scope)
            else:
                pending += item.named_children


def _in_class(node: Node) -> bool:
    above = node.parent
    while above is not None and above.type not in ("class_definition", "module"):
        above = above.parent
    return above is not None and above.type == "class_definition"


def _parameter(node: Node) -> tuple[Node | None, bool]:
    """The name of a parameter, and whether it takes what is left over."""
    starred = False
    while node.type != "identifier":
        starred = starred or node.type in ("list_splat_pattern", "dictionary_splat_pattern")
        inner = node.child_by_field_name("name") or (node.named_children[0] if node.named_children else None)
        if inner is None:
            return None, starred
        node = inner
    return node, starred


def _is_keyless(node: Node) -> bool:
    """Whether a lambda is called by position only: an argument of `sorted`, `map` and their like, or a `key=`."""
    above = node.parent
    if above is not None and above.type == "keyword_argument":
        above = above.parent
    call = above.parent if above is not None and above.type == "argument_list" else None
    function = call.child_by_field_name("function") if call is not None else None
    if function is None:
        return False
    return (function.text or b"").rsplit(b".", 1)[-1] in _KEYLESS
