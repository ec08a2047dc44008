"""PHP's arrays, functions and assignments in the form of `ir.py`."""

from __future__ import annotations

from typing import Any

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.nodes import Lower, line_of, text_of
from buril.scanners._taint.php_calls import secret
from buril.scanners._taint.php_members import member_name
from buril.scanners._taint.php_names import (
    REQUEST,
    SCOPE,
    SKIPPED,
    THIS,
    at,
    call,
    children,
    end_of,
    expression,
    is_request,
    method,
    type_of,
    variable,
    whole,
)
from buril.scanners._taint.php_operators import computed


def _array(node: Node) -> Any:
    items: list[tuple[Any, Any]] = []
    keyed = False
    for child in children(node):
        parts = children(child)
        if child.type != "array_element_initializer" or not parts:
            continue
        if parts[-1].type == "variadic_unpacking":
            items.append((ir.SPREAD, whole(parts[-1])))
        elif len(parts) > 1:
            keyed, key = True, expression(parts[0])
            items.append((key, secret(key, expression(parts[-1]))))
        else:
            items.append((None, expression(parts[0])))
    return ir.Make(line_of(node), "dict" if keyed else "list", tuple(items))


def params_of(node: Node | None) -> tuple[tuple[ir.Param, ...], list[Any]]:
    """The parameters of a function, and what it begins with: requests are known, members are set from parameters."""
    made: list[ir.Param] = []
    first: list[Any] = []
    for child in children(node) if node is not None else ():
        name, kind = child.child_by_field_name("name"), child.child_by_field_name("type")
        if name is None:
            continue
        target, default = variable(name), at(child, "default_value")
        stars = "*" if child.type == "variadic_parameter" else ""
        changed = any(part.type == "reference_modifier" for part in child.children)
        if is_request(kind):
            SCOPE.requests.add(target.id)
            first.append(ir.Assign(target.line, (target,), ir.Name(target.line, REQUEST)))
        made.append(ir.Param(target.id, type_of(kind), default, stars, changed))
        if child.type == "property_promotion_parameter":
            first.append(ir.Assign(target.line, (ir.Attr(target.line, ir.Name(target.line, THIS), target.id),), target))
    return tuple(made), first


def function(node: Node, name: str = "", decorators: tuple[Any, ...] = ()) -> ir.Function:
    """A function of any kind."""
    requests, plain = set(SCOPE.requests), SCOPE.plain
    params, first = params_of(node.child_by_field_name("parameters"))
    body = node.child_by_field_name("body")
    if body is None:
        statements: tuple[Any, ...] = ()
    elif body.type == "compound_statement":
        statements = SCOPE.body(body)
    else:
        statements = (ir.Return(line_of(body), expression(body)),)
    SCOPE.requests, SCOPE.plain = requests, plain
    return ir.Function(line_of(node), name, params, (*first, *statements), decorators, end_of(node))


def _assignment(node: Node) -> Any:
    right, left = at(node, "right"), node.child_by_field_name("left")
    return assigned(line_of(node), left, right) if left is not None else right


def assigned(line: int, left: Node, right: Any) -> Any:
    """An assignment as an expression."""
    parts = children(left)
    if left.type == "subscript_expression" and len(parts) == 1:
        return method(expression(parts[0]), "append", right)
    if left.type == "member_access_expression" and not isinstance(name := member_name(left), str):
        return call(line, "@set", name, right)
    if left.type in ("list_literal", "array_creation_expression"):
        return ir.Bind(line, _targets(left), right)
    target = expression(left)
    return ir.Bind(line, target, right) if isinstance(target, (ir.Name, ir.Attr, ir.Item)) else right


def _targets(node: Node) -> Any:
    return ir.Make(line_of(node), "list", tuple((None, target) for target, _part in apart(node, None)))


def apart(node: Node, value: Any) -> list[tuple[Any, Any]]:
    """The assignments that `[$a, 'k' => $b] = …` stands for: targets with what goes into them."""
    line, place = line_of(node), 0
    found: list[tuple[Any, Any]] = []
    key: Node | None = None
    for child in node.children:
        if child.type == ",":
            place += 1
        elif child.type == "=>" or child.type in SKIPPED or not child.is_named:
            continue
        elif (after := child.next_sibling) is not None and after.type == "=>":
            key = child
        else:
            parts = children(child) if child.type in ("array_element_initializer", "by_ref") else [child]
            if len(parts) > 1:
                key = parts[0]
            part = ir.Item(line, value, expression(key) if key is not None else ir.Const(line, place))
            inner, key = parts[-1], None
            nested = inner.type in ("list_literal", "array_creation_expression")
            found += apart(inner, part) if nested else [(expression(inner), part)]
    return found


def augmented(node: Node) -> Any:
    """What `.=`, `+=`, `??=` put in their target."""
    operator, line = text_of(node.child_by_field_name("operator")), line_of(node)
    left, right = at(node, "left"), at(node, "right")
    if operator == ".=":
        parts = right.parts if isinstance(right, ir.Text) else (right,)
        return ir.Text(line, (left, *parts))
    if operator == "??=":
        return ir.Logic(line, "or", left, right)
    return computed(line, operator.rstrip("="), left, right)


def _augmented(node: Node) -> Any:
    return ir.Bind(line_of(node), at(node, "left"), augmented(node))


def printed(line: int, parts: list[Any], end_line: int) -> ir.Call:
    """Something is put into the answer."""
    return ir.Call(line, ir.Name(line, "echo.plain" if SCOPE.plain else "echo"), tuple(parts), (), (), end_line)


def _include(node: Node) -> Any:
    return ir.Call(line_of(node), ir.Name(line_of(node), "include"), (whole(node),), (), (), end_of(node))


READS: dict[str, Lower] = {
    "variable_name": variable, "array_creation_expression": _array, "anonymous_function": function,
    "anonymous_function_creation_expression": function, "arrow_function": function,
    "assignment_expression": _assignment, "reference_assignment_expression": _assignment,
    "augmented_assignment_expression": _augmented, "include_expression": _include, "include_once_expression": _include,
    "require_expression": _include, "require_once_expression": _include,
    "print_intrinsic": lambda node: printed(line_of(node), [whole(node)], end_of(node)),
    "throw_expression": lambda node: call(line_of(node), "@throw", whole(node)),
    "exit_statement": lambda node: call(line_of(node), "@exit"),
}  # fmt: skip
