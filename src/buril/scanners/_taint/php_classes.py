"""PHP's classes in the form of `ir.py`: constants, properties, methods, and which methods a framework calls."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.nodes import line_of, text_of
from buril.scanners._taint.php_functions import function
from buril.scanners._taint.php_names import NAMES, SCOPE, THIS, at, call, children, expression, short_name

_ROUTE = re.compile(r"@(?:Route|Get|Post|Put|Delete|Patch|Rest\\\w+)\(")
_CONSTRAINT = re.compile(
    r"\{(\w+)<(?:\\d|\[0-9\])[^>]*>|['\"]?(\w+)['\"]?\s*(?:=>|=|:)\s*['\"](?:\\+d|\[0-9\]|\[1-9\])"
)
_CONTROLLER = re.compile(r"(Controller|Action|Presenter)$")
_MODIFIERS = frozenset({"private", "protected", "static"})


def constants(node: Node) -> Iterator[Any]:
    """`const A = 1;` and the values of `static $a = 1;`."""
    for child in node.named_children:
        parts = children(child)
        if child.type in ("const_element", "static_variable_declaration") and len(parts) > 1:
            name = text_of(parts[0])
            yield ir.Assign(line_of(child), (ir.Name(line_of(child), name),), expression(parts[-1]))


def define(node: Node) -> Iterator[Any]:
    name = text_of(node.child_by_field_name("name")).lower()
    yield function(node, name)


def class_of(node: Node) -> Iterator[Any]:
    yield members(node, text_of(node.child_by_field_name("name")))


def members(node: Node, name: str) -> ir.Class:
    """A class, a trait or an enumeration: its constants, properties and methods."""
    outer, plain = SCOPE.parent, SCOPE.plain
    above = next((child for child in node.named_children if child.type == "base_clause"), None)
    bases = [short_name(child) for child in (above.named_children if above is not None else ())]
    SCOPE.parent = bases[0] if bases else ""
    body = node.child_by_field_name("body")
    made: list[Any] = []
    for child in body.named_children if body is not None else ():
        if child.type == "use_declaration":
            bases += [short_name(item) for item in child.named_children if item.type in NAMES]
        elif child.type == "const_declaration":
            made += constants(child)
        elif child.type == "property_declaration":
            made += _property(child)
            made += _exempted(child) if re.search("CsrfToken$", name) or "VerifyCsrfToken" in bases else ()
        elif child.type == "enum_case":
            case = text_of(child.child_by_field_name("name"))
            made.append(ir.Assign(line_of(child), (ir.Name(line_of(child), case),), at(child, "value")))
        elif child.type == "method_declaration" and child.child_by_field_name("body") is not None:
            made.append(_method(child, name))
    SCOPE.parent, SCOPE.plain = outer, plain
    return ir.Class(line_of(node), name, tuple(ir.Name(line_of(node), base) for base in bases), tuple(made))


def _property(node: Node) -> Iterator[Any]:
    for child in node.named_children:
        if child.type == "property_element":
            value = at(child, "default_value")
            if value is None or (isinstance(value, ir.Const) and not value.value):
                value = ir.Other(line_of(child), ())  # others set it
            name = ir.Name(line_of(child), text_of(child.child_by_field_name("name")))
            yield ir.Assign(line_of(child), (name,), value)


def _exempted(node: Node) -> Iterator[Any]:
    """The addresses that Laravel's check of forms leaves out, as a call."""
    for assigned in _property(node):
        if assigned.targets[0].id == "$except":
            yield ir.Do(assigned.line, call(assigned.line, "VerifyCsrfToken.except", assigned.value))


_OF_TEXT = re.compile(r"\b(?:string|mixed|Stringable)\b")


def _method(node: Node, of: str) -> ir.Function:
    """A method; one that a framework calls is marked with how."""
    name = text_of(node.child_by_field_name("name"))
    modifiers = {text_of(child) for child in node.named_children if child.type.endswith("_modifier")}
    comment = node.prev_sibling
    told = text_of(node.child_by_field_name("attributes"))
    told += text_of(comment) if comment is not None and comment.type == "comment" else ""
    decorators: list[Any] = [ir.Name(line_of(node), "classmethod")] if "static" in modifiers else []
    gives = text_of(node.child_by_field_name("return_type"))
    page = not gives or _OF_TEXT.search(gives) is not None  # what is an object is no text of a page
    if _routed(node) or _ROUTE.search(told):
        decorators.append(ir.Name(line_of(node), "@route" if page else "@handler"))
    elif (_CONTROLLER.search(SCOPE.parent) and not SCOPE.parent.startswith("WP_")) or (
        _CONTROLLER.search(of) and "Controller" in SCOPE.namespace
    ):
        plain = modifiers & _MODIFIERS or (name.startswith("_") and name != "__invoke")
        decorators += [] if plain else [ir.Name(line_of(node), "@action" if page else "@handler")]
    made = function(node, name, tuple(decorators))
    numbers = {one or other for one, other in _CONSTRAINT.findall(told)}
    params = tuple(param._replace(type="int") if param.name[1:] in numbers else param for param in made.params)
    return made._replace(params=(ir.Param(THIS), *params))


def _routed(node: Node) -> bool:
    """Whether an attribute says that the method answers requests."""
    listed = node.child_by_field_name("attributes")
    for group in listed.named_children if listed is not None else ():
        for item in group.named_children:
            name = short_name(item.named_children[0]) if item.named_children else ""
            if name in ("Route", "Get", "Post", "Put", "Patch", "Delete", "AsController"):
                return True
    return False
