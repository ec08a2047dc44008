"""Python's trees in the form of `ir.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tree_sitter import Node, Tree

from buril.scanners._taint import ir
from buril.scanners._taint.nodes import line_of, text_of
from buril.scanners._taint.python_expressions import (
    SKIPPED,
    at,
    children,
    expression,
    params_of,
    whole,
)

_LEAVES = {"raise_statement": "raise", "break_statement": "break", "continue_statement": "continue"}


def lower(tree: Tree) -> tuple[Any, ...]:
    """The statements of a file."""
    return _body(tree.root_node)


# --- statements


def _body(node: Node | None) -> tuple[Any, ...]:
    if node is None:
        return ()
    made: list[Any] = []
    for child in node.named_children:
        made.extend(_statement(child))
    return tuple(made)


def _statement(node: Node) -> Iterator[Any]:
    known = _STATEMENTS.get(node.type)
    if known is not None:
        yield from known(node)
    elif node.type in _LEAVES:
        parts = children(node)
        yield ir.Leave(line_of(node), _LEAVES[node.type], expression(parts[0]) if parts else None)
    elif node.type == "ERROR":
        yield from _body(node)
    elif node.type not in SKIPPED and node.type not in ("pass_statement", "global_statement", "nonlocal_statement"):
        yield ir.Do(line_of(node), expression(node))


def _expression_statement(node: Node) -> Iterator[Any]:
    for child in children(node):
        yield from _statement(child)


def _yield(node: Node) -> Iterator[Any]:
    yield ir.Return(line_of(node), whole(node), more=True)


def _assignment(node: Node) -> Iterator[Any]:
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    line = line_of(node)
    if left is None:
        return
    if right is None:
        yield ir.Assign(line, (expression(left),), None, text_of(node.child_by_field_name("type")))
        return
    if node.type == "augmented_assignment":
        operator = text_of(node.child_by_field_name("operator")).rstrip("=")
        yield ir.Assign(line, (expression(left),), ir.Op(line, operator, expression(left), expression(right)))
        return
    targets = [expression(left)]
    while right.type == "assignment":  # a = b = c
        inner = right.child_by_field_name("left")
        if inner is not None:
            targets.append(expression(inner))
        after = right.child_by_field_name("right")
        if after is None:
            break
        right = after
    yield ir.Assign(line, tuple(targets), expression(right), text_of(node.child_by_field_name("type")))


def _if(node: Node) -> Iterator[Any]:
    branches = [(node.child_by_field_name("condition"), node.child_by_field_name("consequence"), node)]
    otherwise: tuple[Any, ...] = ()
    for child in node.named_children:
        if child.type == "elif_clause":
            branches.append((child.child_by_field_name("condition"), child.child_by_field_name("consequence"), child))
        elif child.type == "else_clause":
            otherwise = _body(child.child_by_field_name("body"))
    for test, body, place in reversed(branches):
        otherwise = (ir.If(line_of(place), expression(test) if test else None, _body(body), otherwise),)
    yield from otherwise


def _loop(node: Node) -> Iterator[Any]:
    alternative = node.child_by_field_name("alternative")
    otherwise = _body(alternative.child_by_field_name("body") if alternative else None)
    yield ir.Loop(
        line_of(node), at(node, "left"), at(node, "right"), at(node, "condition"),
        _body(node.child_by_field_name("body")), otherwise,
    )  # fmt: skip


def _try(node: Node) -> Iterator[Any]:
    handlers: list[tuple[str, tuple[Any, ...]]] = []
    otherwise: tuple[Any, ...] = ()
    final: tuple[Any, ...] = ()
    for child in node.named_children:
        if child.type in ("except_clause", "except_group_clause"):
            alias = next((text_of(part.named_children[-1]) for part in child.named_children
                          if part.type == "as_pattern"), "")  # fmt: skip
            body = next((part for part in child.named_children if part.type == "block"), None)
            handlers.append((alias, _body(body)))
        elif child.type == "else_clause":
            otherwise = _body(child.child_by_field_name("body"))
        elif child.type == "finally_clause":
            final = _body(next((part for part in child.named_children if part.type == "block"), None))
    yield ir.Try(line_of(node), _body(node.child_by_field_name("body")), tuple(handlers), otherwise, final)


def _with(node: Node) -> Iterator[Any]:
    for clause in node.named_children:
        if clause.type != "with_clause":
            continue
        for item in children(clause):
            value = item.child_by_field_name("value") or item
            if value.type == "as_pattern":
                inner = value.named_children[0]
                alias = value.child_by_field_name("alias") or value.named_children[-1]
                target = expression(alias.named_children[0] if alias.named_children else alias)
                entered = ir.Call(line_of(item), ir.Name(line_of(item), "@enter"), (expression(inner),))
                yield ir.Assign(line_of(item), (target,), entered)
            else:
                yield ir.Do(line_of(item), expression(value))
    yield from _body(node.child_by_field_name("body"))


def _function(node: Node, decorators: tuple[Any, ...] = ()) -> Iterator[Any]:
    yield ir.Function(
        line_of(node), text_of(node.child_by_field_name("name")), params_of(node.child_by_field_name("parameters")),
        _body(node.child_by_field_name("body")), decorators, int(node.end_point[0]) + 1,
    )  # fmt: skip


def _class(node: Node, decorators: tuple[Any, ...] = ()) -> Iterator[Any]:
    above = node.child_by_field_name("superclasses")
    bases = tuple(expression(child) for child in children(above) if child.type != "keyword_argument") if above else ()
    name = text_of(node.child_by_field_name("name"))
    yield ir.Class(line_of(node), name, bases, _body(node.child_by_field_name("body")), decorators)


def _decorated(node: Node) -> Iterator[Any]:
    decorators = tuple(expression(child.named_children[0]) for child in node.named_children
                       if child.type == "decorator" and child.named_children)  # fmt: skip
    inner = node.child_by_field_name("definition")
    if inner is not None:
        yield from (_class if inner.type == "class_definition" else _function)(inner, decorators)


def _import(node: Node) -> Iterator[Any]:
    module = node.child_by_field_name("module_name")
    prefix = text_of(module).lstrip(".") if module is not None else ""
    names = []
    for child in node.children_by_field_name("name"):
        name = child.child_by_field_name("name") if child.type == "aliased_import" else child
        dotted, alias = text_of(name), text_of(child.child_by_field_name("alias"))
        if module is not None:
            names.append((alias or dotted, f"{prefix}.{dotted}".lstrip(".")))
        elif alias:
            names.append((alias, dotted))
        else:
            names.append((dotted.split(".")[0], dotted.split(".")[0]))
    yield ir.Import(line_of(node), tuple(names))


def _return(node: Node) -> Iterator[Any]:
    parts = children(node)
    yield ir.Return(line_of(node), expression(parts[0]) if parts else ir.Const(line_of(node), None))


def _match(node: Node) -> Iterator[Any]:
    """Cases as branches; a pattern of literals is a comparison, another one may be anything."""
    subject = at(node, "subject")
    body = node.child_by_field_name("body")
    otherwise: tuple[Any, ...] = ()
    for case in reversed([child for child in (body.named_children if body else ()) if child.type == "case_clause"]):
        patterns = [child for child in case.named_children if child.type == "case_pattern"]
        test = _pattern(subject, patterns[0]) if len(patterns) == 1 else None
        otherwise = (ir.If(line_of(case), test, _body(case.child_by_field_name("consequence")), otherwise),)
    yield from otherwise


def _pattern(subject: Any, node: Node) -> Any:
    line, inner = line_of(node), node.named_children[0] if node.named_children else node
    if text_of(node) == "_":
        return ir.Const(line, True)
    parts = inner.named_children if inner.type == "union_pattern" else [inner]
    if all(part.type in ("string", "integer", "true", "false", "none") for part in parts):
        made = ir.Make(line, "tuple", tuple((None, expression(part)) for part in parts))
        return ir.Compare(line, "in", subject, made)
    return None


def _assert(node: Node) -> Iterator[Any]:
    parts = children(node)
    if parts:
        yield ir.If(line_of(node), expression(parts[0]), (), (ir.Leave(line_of(node), "raise"),))


_STATEMENTS: dict[str, Callable[[Node], Iterator[Any]]] = {
    "expression_statement": _expression_statement, "assignment": _assignment, "augmented_assignment": _assignment,
    "yield": _yield, "if_statement": _if, "for_statement": _loop,
    "while_statement": _loop, "try_statement": _try, "with_statement": _with, "function_definition": _function,
    "class_definition": _class, "decorated_definition": _decorated, "import_statement": _import,
    "import_from_statement": _import, "return_statement": _return, "match_statement": _match,
    "assert_statement": _assert, "block": lambda node: iter(_body(node)),
}  # fmt: skip
