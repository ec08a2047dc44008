"""Python's expressions in the form of `ir.py`; statements are read by `lower_python.py`."""

from __future__ import annotations

import ast
import threading
import warnings
from typing import Any, Final

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.nodes import Reader, line_of, text_of

_FILTERS: Final = threading.Lock()
"""Filters of warnings belong to the process: two threads that overlap would leave them changed."""
SKIPPED = frozenset({"comment", "line_continuation", "type", "ERROR"})
_READER = Reader(SKIPPED)
children, at, expression, whole = _READER.children, _READER.at, _READER.expression, _READER.whole


def params_of(node: Node | None) -> tuple[ir.Param, ...]:
    """The parameters of a function."""
    made = []
    for child in children(node) if node is not None else ():
        made.append(_param(child))
    return tuple(param for param in made if param.name)


def _param(node: Node) -> ir.Param:
    stars = {"list_splat_pattern": "*", "dictionary_splat_pattern": "**"}
    if node.type in stars:
        return ir.Param(text_of(node.named_children[0]) if node.named_children else "", kind=stars[node.type])
    if node.type == "identifier":
        return ir.Param(text_of(node))
    kind, default = text_of(node.child_by_field_name("type")), at(node, "value")
    name = node.child_by_field_name("name")
    if name is not None:
        return ir.Param(text_of(name), kind, default)
    inner = node.named_children[0] if node.named_children else None
    if inner is not None and inner.type in stars:
        return ir.Param(text_of(inner.named_children[0]) if inner.named_children else "", kind, kind=stars[inner.type])
    return ir.Param(text_of(inner) if node.type == "typed_parameter" else "", kind, default)


def _literal(node: Node) -> Any:
    text = text_of(node)
    try:
        if "\\" not in text:
            return ir.Const(line_of(node), ast.literal_eval(text))
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an escape that is none
            return ir.Const(line_of(node), ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ir.Other(line_of(node), ())


def _string(node: Node) -> Any:
    inside = [child for child in node.named_children if child.type == "interpolation"]
    if not inside:
        return _literal(node)
    parts: list[Any] = []
    for child in node.named_children:
        if child.type == "interpolation":
            value = child.child_by_field_name("expression")
            parts.append(expression(value) if value is not None else whole(child))
        elif child.type in ("string_content", "escape_sequence"):
            parts.append(ir.Const(line_of(child), text_of(child).replace("{{", "{").replace("}}", "}")))
    return ir.Text(line_of(node), tuple(parts))


def _attribute(node: Node) -> Any:
    return ir.Attr(line_of(node), at(node, "object"), text_of(node.child_by_field_name("attribute")))


def _joined(node: Node) -> Any:
    return ir.Text(line_of(node), tuple(expression(child) for child in children(node)))


def _operator(node: Node) -> Any:
    operator = text_of(node.child_by_field_name("operator"))
    left, right = at(node, "left"), at(node, "right")
    if node.type == "boolean_operator":
        return ir.Logic(line_of(node), operator, left, right)
    return ir.Op(line_of(node), operator, left, right)


def _comparison(node: Node) -> Any:
    operands = [expression(child) for child in children(node)]
    operators = [" ".join(text_of(child).split()) for child in node.children if not child.is_named]
    names = {"is": "==", "is not": "!=", "<>": "!="}
    made = [ir.Compare(line_of(node), names.get(op, op), left, right)
            for op, left, right in zip(operators, operands, operands[1:], strict=False)]  # fmt: skip
    found: Any = made[0] if made else ir.Other(line_of(node), tuple(operands))
    for other in made[1:]:
        found = ir.Logic(line_of(node), "and", found, other)
    return found


def _unary(node: Node) -> Any:
    value = at(node, "argument")
    if isinstance(value, ir.Const) and isinstance(value.value, (int, float)) and node.children[0].type == "-":
        return ir.Const(line_of(node), -value.value)
    return ir.Other(line_of(node), (value,))


def _call(node: Node) -> Any:
    args: list[Any] = []
    named: list[tuple[str, Any]] = []
    spread: list[Any] = []
    inside = node.child_by_field_name("arguments")
    parts = (
        [inside] if inside is not None and inside.type == "generator_expression" else children(inside) if inside else []
    )
    for child in parts:
        if child.type == "keyword_argument":
            named.append((text_of(child.child_by_field_name("name")), at(child, "value")))
        elif child.type in ("list_splat", "dictionary_splat"):
            spread.append(whole(child))
        else:
            args.append(expression(child))
    func = at(node, "function")
    return ir.Call(line_of(node), func, tuple(args), tuple(named), tuple(spread), int(node.end_point[0]) + 1)


def _item(node: Node) -> Any:
    keys = [expression(child) for child in node.children_by_field_name("subscript")]
    key = keys[0] if len(keys) == 1 else ir.Other(line_of(node), tuple(keys))
    return ir.Item(line_of(node), at(node, "value"), key)


def _make(node: Node) -> Any:
    kind = {"list": "list", "list_pattern": "list", "set": "set", "dictionary": "dict"}.get(node.type, "tuple")
    items: list[tuple[Any, Any]] = []
    for child in children(node):
        if child.type == "pair":
            items.append((at(child, "key"), at(child, "value")))
        elif child.type in ("list_splat", "dictionary_splat", "list_splat_pattern"):
            items.append((ir.SPREAD, whole(child)))
        else:
            items.append((None, expression(child)))
    return ir.Make(line_of(node), kind, tuple(items))


def _comprehension(node: Node) -> Any:
    rounds: list[tuple[Any, Any, tuple[Any, ...]]] = []
    for child in node.named_children:
        if child.type == "for_in_clause":
            rounds.append((at(child, "left"), at(child, "right"), ()))
        elif child.type == "if_clause" and rounds:
            target, through, tests = rounds[-1]
            rounds[-1] = (target, through, (*tests, whole(child)))
    body = node.child_by_field_name("body")
    if body is not None and body.type == "pair":
        element: Any = ir.Other(line_of(body), (at(body, "key"), at(body, "value")))
    else:
        element = expression(body) if body is not None else ir.Other(line_of(node), ())
    return ir.Each(line_of(node), node.type.split("_")[0], element, tuple(rounds))


def _lambda(node: Node) -> Any:
    body = at(node, "body")
    return ir.Function(
        line_of(node), "", params_of(node.child_by_field_name("parameters")), (ir.Return(line_of(node), body),)
    )


def _choose(node: Node) -> Any:
    parts = children(node)
    if len(parts) != 3:
        return whole(node)
    yes, test, no = (expression(part) for part in parts)
    return ir.Choose(line_of(node), test, yes, no)


_READER.learn({
    "identifier": lambda node: ir.Name(line_of(node), text_of(node)),
    "attribute": _attribute,
    "string": _string, "concatenated_string": _joined, "integer": _literal, "float": _literal,
    "true": lambda node: ir.Const(line_of(node), True), "false": lambda node: ir.Const(line_of(node), False),
    "none": lambda node: ir.Const(line_of(node), None), "binary_operator": _operator, "boolean_operator": _operator,
    "comparison_operator": _comparison, "not_operator": lambda node: ir.Not(line_of(node), at(node, "argument")),
    "unary_operator": _unary, "call": _call, "subscript": _item, "list": _make, "tuple": _make, "set": _make,
    "dictionary": _make, "pattern_list": _make, "tuple_pattern": _make, "list_pattern": _make, "expression_list": _make,
    "list_comprehension": _comprehension, "set_comprehension": _comprehension,
    "dictionary_comprehension": _comprehension, "generator_expression": _comprehension, "lambda": _lambda,
    "conditional_expression": _choose,
    "named_expression": lambda node: ir.Bind(line_of(node), at(node, "name"), at(node, "value")),
})  # fmt: skip
