"""Expressions of Solidity, put right: the grammar binds `[…]`, `.x` and `(…)` less tightly than operators before.

`a < b[i].c && d` comes as `((a < b)[i].c) && d`. Here what follows an operand belongs to that operand, and operators
bind as the language says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from tree_sitter import Node

from buril.scanners._taint.nodes import line_of, text_of

_WRAPPERS: Final = frozenset({"expression", "call_argument", "statement", "call_struct_argument", "type_name"})
_BINDS: Final = {"**": 12, "*": 11, "/": 11, "%": 11, "+": 10, "-": 10, "<<": 9, ">>": 9, "&": 8, "^": 7, "|": 6,
                 "<": 5, ">": 5, "<=": 5, ">=": 5, "==": 4, "!=": 4, "&&": 3, "||": 2}  # fmt: skip


class Expr:
    """An expression. `name` is the operator, the member, the name or the text; `up` is what it is a part of.

    Kinds: name, constant, member, item, slice, call, options, binary, unary, update, assign, cast, choose, group,
    tuple, new, other. The parts of a call are the function and its arguments; of options what they are of.
    """

    __slots__ = ("kind", "line", "name", "options", "parts", "up")

    def __init__(self, kind: str, line: int, name: str = "", parts: list[Expr] | None = None) -> None:
        self.kind, self.line, self.name = kind, line, name
        self.parts: list[Expr] = parts if parts is not None else []
        self.options: dict[str, Expr] = {}
        self.up: Expr | None = None

    @property
    def text(self) -> str:
        """It in one line, without spaces."""
        return _TEXTS.get(self.kind, _many)(self)

    def bare(self) -> Expr:
        """It without brackets around it."""
        found = self
        while found.kind in ("group", "tuple") and len(found.parts) == 1:
            found = found.parts[0]
        return found

    def all(self, *kinds: str) -> Iterator[Expr]:
        """It and its parts, of some kinds."""
        pending = [self]
        while pending:
            found = pending.pop()
            if found.kind in kinds:
                yield found
            pending += [*reversed(found.parts), *found.options.values()]


class Called(NamedTuple):
    """A call as it is written: on what, which member, with how much ether and gas, and its arguments."""

    node: Expr
    owner: Expr | None
    name: str
    value: Expr | None
    gas: Expr | None
    args: tuple[Expr, ...]

    @property
    def low(self) -> bool:
        """Whether it is a call of an address that gives back whether it went well."""
        if self.owner is None:
            return False
        return self.name in ("call", "delegatecall", "callcode", "staticcall") or (
            self.name == "send" and len(self.args) == 1
        )


def called(call: Expr) -> Called:
    """A call taken apart; `x.call.value(v).gas(g)(…)` is `x.call{value: v, gas: g}(…)`."""
    found = call.parts[0].bare()
    options: dict[str, Expr] = {}
    while True:
        if found.kind == "options":
            options |= found.options
            found = found.parts[0].bare()
            continue
        member = found.parts[0].bare() if found.kind == "call" else found
        if found.kind != "call" or member.kind != "member" or member.name not in ("value", "gas"):
            break
        if len(found.parts) > 1:
            options[member.name] = found.parts[1]
        found = member.parts[0].bare()
    owner = found.parts[0] if found.kind == "member" else None
    return Called(
        call, owner, found.name or found.text, options.get("value"), options.get("gas"), tuple(call.parts[1:])
    )


def expression(node: Node) -> Expr:
    """An expression, with all its parts knowing what they are a part of."""
    made = _lower(node)
    for found in made.all(*_TEXTS, "tuple", "other", "group"):
        for part in (*found.parts, *found.options.values()):
            part.up = found
    return made


def _lower(node: Node) -> Expr:
    while node.type in _WRAPPERS and node.named_children:
        node = node.child_by_field_name("value") or node.named_children[0]
    known = _KINDS.get(node.type)
    if known is not None:
        return known(node)
    return Expr("other", line_of(node), text_of(node) if not node.named_children else "", _all(node))


def _all(node: Node) -> list[Expr]:
    return [_lower(child) for child in node.named_children if child.type != "comment"]


def _at(node: Node, name: str) -> Expr:
    child = node.child_by_field_name(name)
    return _lower(child) if child is not None else Expr("other", line_of(node))


def _after(base: Expr, build: Callable[[Expr], Expr]) -> Expr:
    """What follows an operand belongs to the last one before it."""
    if base.kind in ("binary", "unary", "choose"):
        base.parts[-1] = _after(base.parts[-1], build)
        return base
    return build(base)


def _member(node: Node) -> Expr:
    name = text_of(node.child_by_field_name("property"))
    return _after(_at(node, "object"), lambda base: Expr("member", base.line, name, [base]))


def _item(node: Node) -> Expr:
    index = [_at(node, name) for name in ("index", "from", "to") if node.child_by_field_name(name) is not None]
    kind = "item" if node.type == "array_access" else "slice"
    return _after(_at(node, "base"), lambda base: Expr(kind, base.line, "", [base, *index]))


def _call(node: Node) -> Expr:
    args = [_lower(child) for child in node.named_children if child.type == "call_argument"]
    return _after(_at(node, "function"), lambda base: Expr("call", base.line, "", [base, *args]))


def _options(node: Node) -> Expr:
    found = {text_of(child.child_by_field_name("name")): _at(child, "value")
             for child in node.named_children if child.type == "struct_field_assignment"}  # fmt: skip

    def build(base: Expr) -> Expr:
        made = Expr("options", base.line, "", [base])
        made.options = found
        return made

    return _after(_at(node, "type"), build)


def _binary(node: Node) -> Expr:
    operator = text_of(node.child_by_field_name("operator"))
    return _combined(_at(node, "left"), operator, _at(node, "right"))


def _combined(left: Expr, operator: str, right: Expr) -> Expr:
    if left.kind == "choose" or (left.kind == "binary" and _BINDS.get(left.name, 0) < _BINDS.get(operator, 0)):
        left.parts[-1] = _combined(left.parts[-1], operator, right)
        return left
    return Expr("binary", left.line, operator, [left, right])


def _unary(node: Node) -> Expr:
    return Expr("unary", line_of(node), text_of(node.child_by_field_name("operator")), [_at(node, "argument")])


def _update(node: Node) -> Expr:
    operator = text_of(node.child_by_field_name("operator"))
    if node.children and text_of(node.children[0]) == operator:
        return Expr("unary", line_of(node), operator, [_at(node, "argument")])
    return _after(_at(node, "argument"), lambda base: Expr("update", base.line, operator, [base]))


def _assign(node: Node) -> Expr:
    plain = node.type == "assignment_expression"
    operator = "=" if plain else next((item.type for item in node.children if item.type.endswith("=")), "+=")
    return Expr("assign", line_of(node), operator, [_at(node, "left"), _at(node, "right")])


def _cast(node: Node) -> Expr:
    kind = re.split(r"\s*\(", text_of(node), maxsplit=1)[0]
    args = [_lower(child) for child in node.named_children if child.type == "call_argument"]
    return Expr("cast", line_of(node), kind, args)


def _of(kind: str) -> Callable[[Node], Expr]:
    return lambda node: Expr(kind, line_of(node), "", _all(node))


def _leaf(kind: str) -> Callable[[Node], Expr]:
    return lambda node: Expr(kind, line_of(node), text_of(node))


def _many(found: Expr) -> str:
    return found.name or "(" + ",".join(part.text for part in found.parts) + ")"


_KINDS: Final[dict[str, Callable[[Node], Expr]]] = {
    "identifier": _leaf("name"), "user_defined_type": _leaf("name"), "primitive_type": _leaf("name"),
    "number_literal": _leaf("constant"), "string_literal": _leaf("constant"), "boolean_literal": _leaf("constant"),
    "hex_string_literal": _leaf("constant"), "unicode_string_literal": _leaf("constant"),
    "meta_type_expression": _leaf("constant"), "member_expression": _member, "array_access": _item,
    "slice_access": _item, "call_expression": _call, "struct_expression": _options, "binary_expression": _binary,
    "unary_expression": _unary, "update_expression": _update, "assignment_expression": _assign,
    "augmented_assignment_expression": _assign, "type_cast_expression": _cast,
    "payable_conversion_expression": _cast, "ternary_expression": _of("choose"),
    "parenthesized_expression": _of("group"), "tuple_expression": _of("tuple"), "new_expression": _leaf("new"),
}  # fmt: skip
_TEXTS: Final[dict[str, Callable[[Expr], str]]] = {
    "name": lambda found: found.name, "constant": lambda found: found.name, "new": lambda found: "new",
    "member": lambda found: f"{found.parts[0].text}.{found.name}",
    "item": lambda found: f"{found.parts[0].text}[{','.join(part.text for part in found.parts[1:])}]",
    "slice": lambda found: f"{found.parts[0].text}[:]",
    "call": lambda found: f"{found.parts[0].text}({','.join(part.text for part in found.parts[1:])})",
    "options": lambda found: found.parts[0].text,
    "binary": lambda found: f"{found.parts[0].text}{found.name}{found.parts[1].text}",
    "unary": lambda found: found.name + (" " if found.name.isalpha() else "") + found.parts[0].text,
    "update": lambda found: found.parts[0].text + found.name,
    "assign": lambda found: f"{found.parts[0].text}{found.name}{found.parts[1].text}",
    "cast": lambda found: f"{found.name}({','.join(part.text for part in found.parts)})",
    "choose": lambda found: "?".join(part.text for part in found.parts),
}  # fmt: skip
