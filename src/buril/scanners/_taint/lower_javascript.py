"""The trees of JavaScript and TypeScript in the form of `ir.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tree_sitter import Node, Tree

from buril.scanners._taint import ir, javascript_inputs
from buril.scanners._taint.javascript_expressions import (
    SKIPPED,
    apart,
    at,
    children,
    expression,
    function,
    module_name,
    statements_by,
    whole,
)
from buril.scanners._taint.nodes import line_of, text_of

_LEAVES = {"throw_statement": "raise", "break_statement": "break", "continue_statement": "continue"}
_NOTHING = frozenset({"empty_statement", "interface_declaration", "type_alias_declaration", "ambient_declaration"})


def lower(tree: Tree) -> tuple[Any, ...]:
    """The statements of a file."""
    statements_by(body_of)
    return body_of(tree.root_node)


def body_of(node: Node | None) -> tuple[Any, ...]:
    """The statements in a node; functions and imports first, as they are known before the first line runs."""
    if node is None:
        return ()
    alone = node.type in _STATEMENTS or node.type in _LEAVES or node.type == "expression_statement"
    inside = [node] if alone else node.named_children
    if node.type in ("statement_block", "program", "switch_case", "switch_default"):
        inside = node.named_children
    made = [item for child in inside for item in _statement(child)]
    first = [item for item in made if isinstance(item, (ir.Function, ir.Import))]
    return (*first, *(item for item in made if not isinstance(item, (ir.Function, ir.Import))))


def _statement(node: Node) -> Iterator[Any]:
    known = _STATEMENTS.get(node.type)
    if known is not None:
        yield from known(node)
    elif node.type in _LEAVES:
        parts = children(node)
        yield ir.Leave(line_of(node), _LEAVES[node.type], expression(parts[0]) if parts else None)
    elif node.type not in SKIPPED and node.type not in _NOTHING:
        yield from _do(node)


def _do(node: Node) -> Iterator[Any]:
    value = expression(node)
    if isinstance(value, ir.Bind):
        left = _left(node)
        if left is not None and left.type in ("object_pattern", "array_pattern"):
            for target, part in apart(left, value.value):
                yield ir.Assign(line_of(node), (target,), part)
            return
        yield ir.Assign(value.line, (value.target,), value.value)
    else:
        yield ir.Do(line_of(node), value)


def _left(node: Node) -> Node | None:
    inner = node.named_children[0] if node.type == "expression_statement" and node.named_children else node
    return inner.child_by_field_name("left") if inner.type == "assignment_expression" else None


def _declaration(node: Node) -> Iterator[Any]:
    for child in node.named_children:
        if child.type != "variable_declarator":
            continue
        name, value = child.child_by_field_name("name"), child.child_by_field_name("value")
        if name is None or value is None:
            continue
        required = _required(name, value)
        if required is not None:
            yield required
        elif name.type in ("object_pattern", "array_pattern"):
            yield ir.Assign(line_of(child), (ir.Name(line_of(child), "@taken"),), expression(value))
            for target, part in apart(name, ir.Name(line_of(child), "@taken")):
                yield ir.Assign(line_of(child), (target,), part)
        elif value.type in ("arrow_function", "function_expression"):
            yield function(value, text_of(name))
        else:
            yield ir.Assign(line_of(child), (ir.Name(line_of(child), text_of(name)),), expression(value))


def _required(name: Node, value: Node) -> Any:
    """`const fs = require("fs")` is an import; so is one whose names are taken apart."""
    member = ""
    if value.type == "member_expression":
        member = "." + text_of(value.child_by_field_name("property"))
        value = value.child_by_field_name("object") or value
    if value.type == "await_expression" and value.named_children:
        value = value.named_children[0]
    called = value.child_by_field_name("function")
    inside = value.child_by_field_name("arguments")
    if (
        called is None
        or inside is None
        or text_of(called) not in ("require", "import")
        or len(inside.named_children) != 1
    ):
        return None
    module = module_name(text_of(inside.named_children[0]).strip("\"'`")) + member
    if name.type == "identifier":
        return ir.Import(line_of(name), ((text_of(name), module),))
    names = []
    for child in children(name):
        key = child.child_by_field_name("key") or child
        alias = child.child_by_field_name("value") or child
        names.append((text_of(alias), f"{module}.{text_of(key)}"))
    return ir.Import(line_of(name), tuple(names))


def _import(node: Node) -> Iterator[Any]:
    source = node.child_by_field_name("source")
    clause = next((child for child in node.named_children if child.type == "import_clause"), None)
    if source is None or clause is None:
        return
    module, names = module_name(text_of(source).strip("\"'`")), []
    for child in clause.named_children:
        if child.type == "identifier":
            names.append((text_of(child), module))
        elif child.type == "namespace_import":
            names.append((text_of(child.named_children[-1]), module))
        for item in child.named_children if child.type == "named_imports" else ():
            name, alias = item.child_by_field_name("name"), item.child_by_field_name("alias")
            names.append((text_of(alias if alias is not None else name), f"{module}.{text_of(name)}"))
    yield ir.Import(line_of(node), tuple(names))


def _if(node: Node) -> Iterator[Any]:
    alternative = node.child_by_field_name("alternative")
    no = body_of(alternative.named_children[0]) if alternative is not None and alternative.named_children else ()
    yield ir.If(line_of(node), at(node, "condition"), body_of(node.child_by_field_name("consequence")), no)


def _loop(node: Node) -> Iterator[Any]:
    first = node.child_by_field_name("initializer")
    if first is not None:
        yield from _statement(first)
    step = node.child_by_field_name("increment")
    after = (ir.Do(line_of(node), expression(step)),) if step is not None else ()
    body = (*body_of(node.child_by_field_name("body")), *after)
    left = node.child_by_field_name("left")
    if node.type != "for_in_statement" or left is None:
        yield ir.Loop(line_of(node), None, None, at(node, "condition") if node.type != "for_statement" else None, body)
        return
    through = at(node, "right")
    if text_of(node.child_by_field_name("operator")) == "in":
        through = ir.Call(line_of(node), ir.Name(line_of(node), "Object.keys"), (through,))
    if left.type in ("object_pattern", "array_pattern"):
        name = ir.Name(line_of(node), "@each")
        body = (*(ir.Assign(line_of(node), (target,), part) for target, part in apart(left, name)), *body)
        yield ir.Loop(line_of(node), name, through, None, body)
    else:
        yield ir.Loop(line_of(node), ir.Name(line_of(node), text_of(left)), through, None, body)


def _try(node: Node) -> Iterator[Any]:
    handler, final = node.child_by_field_name("handler"), node.child_by_field_name("finalizer")
    handlers: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    if handler is not None:
        name = text_of(handler.child_by_field_name("parameter"))
        handlers = ((name, body_of(handler.child_by_field_name("body"))),)
    last = body_of(final.child_by_field_name("body")) if final is not None else ()
    yield ir.Try(line_of(node), body_of(node.child_by_field_name("body")), handlers, (), last)


def _switch(node: Node) -> Iterator[Any]:
    """Cases as branches; one that runs on into the next is taken for one that does not."""
    subject = at(node, "value")
    inside = node.child_by_field_name("body")
    otherwise: tuple[Any, ...] = ()
    for case in reversed(inside.named_children if inside is not None else []):
        body = tuple(item for child in case.children_by_field_name("body") for item in _statement(child))
        body = body[:-1] if body and isinstance(body[-1], ir.Leave) and body[-1].kind == "break" else body
        if case.type == "switch_default":
            otherwise = body
        elif case.type == "switch_case":
            test = ir.Compare(line_of(case), "==", subject, at(case, "value"))
            otherwise = (ir.If(line_of(case), test, body, otherwise),)
    yield from otherwise


def _class(node: Node) -> Iterator[Any]:
    body = node.child_by_field_name("body")
    around = node.parent.named_children if node.parent is not None and node.parent.type == "export_statement" else []
    for child in (*around, *node.named_children):
        if child.type == "decorator":
            yield ir.Do(line_of(child), whole(child))
    made: list[Any] = []
    decorators: list[Any] = []
    for child in body.named_children if body is not None else ():
        if child.type == "decorator":
            decorators.append(whole(child))
        elif child.type == "method_definition":
            found = function(child)
            params = (ir.Param("this"), *found.params)
            made.append(found._replace(params=params, body=_shown(found, decorators), decorators=tuple(decorators)))
            decorators = []
        elif child.type in ("field_definition", "public_field_definition"):
            name = child.child_by_field_name("property") or child.child_by_field_name("name")
            made.append(ir.Assign(line_of(child), (ir.Name(line_of(child), text_of(name)),), at(child, "value")))
    yield ir.Class(line_of(node), text_of(node.child_by_field_name("name")), _bases(node), tuple(made))


def _bases(node: Node) -> tuple[Any, ...]:
    heritage = next((child for child in node.named_children if child.type == "class_heritage"), None)
    if heritage is None:
        return ()
    clause = next((child for child in heritage.named_children if child.type == "extends_clause"), None)
    value = clause.child_by_field_name("value") if clause is not None else None
    if value is not None:
        return (expression(value),)
    plain = [child for child in heritage.named_children if not child.type.endswith("_clause")]
    return (expression(plain[0]),) if plain else ()


def _shown(method: ir.Function, decorators: list[Any]) -> tuple[Any, ...]:
    """The body of a method; HTML that one of a web handler gives back is shown."""
    names = {item.func.id for item in decorators if isinstance(item, ir.Call) and isinstance(item.func, ir.Name)}
    if not names & {"Get", "Post", "Put", "Patch", "Delete", "All"}:
        return method.body
    made: list[Any] = []
    for item in method.body:
        first = item.value.parts[0] if isinstance(item, ir.Return) and isinstance(item.value, ir.Text) else None
        if isinstance(first, ir.Const) and str(first.value).lstrip().startswith("<"):
            made.append(ir.Do(item.line, ir.Call(item.line, ir.Name(item.line, "@page"), (item.value,))))
        made.append(item)
    return tuple(made)


def _return(node: Node) -> Iterator[Any]:
    parts = children(node)
    yield ir.Return(line_of(node), expression(parts[0]) if parts else ir.Const(line_of(node), None))


def _export(node: Node) -> Iterator[Any]:
    inner = node.child_by_field_name("declaration") or node.child_by_field_name("value")
    if inner is None:
        return
    if inner.type in ("arrow_function", "function_expression"):
        made: list[Any] = [function(inner, "exported")]
    else:
        made = list(_statement(inner))
    default = any(child.type == "default" for child in node.children)
    action = node.parent is not None and javascript_inputs.is_action(node.parent)
    for item in made:
        if isinstance(item, ir.Function):
            yield javascript_inputs.exported(item, default=default, action=action)
        else:
            yield item


def _function(node: Node) -> Iterator[Any]:
    yield function(node)


def _block(node: Node) -> Iterator[Any]:
    yield from body_of(node)


_STATEMENTS: dict[str, Callable[[Node], Iterator[Any]]] = {
    "lexical_declaration": _declaration, "variable_declaration": _declaration, "function_declaration": _function,
    "generator_function_declaration": _function, "class_declaration": _class, "abstract_class_declaration": _class,
    "import_statement": _import, "export_statement": _export, "if_statement": _if, "for_statement": _loop,
    "for_in_statement": _loop, "while_statement": _loop, "do_statement": _loop, "return_statement": _return,
    "try_statement": _try, "switch_statement": _switch, "statement_block": _block,
    "labeled_statement": lambda node: iter(body_of(node.child_by_field_name("body"))),
}  # fmt: skip
