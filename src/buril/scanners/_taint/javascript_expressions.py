"""Expressions of JavaScript and TypeScript in the form of `ir.py`; statements are read by `lower_javascript.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tree_sitter import Node

from buril.scanners._taint import ir, javascript_inputs
from buril.scanners._taint.nodes import Reader, line_of, text_of

Body = Callable[[Node], tuple[Any, ...]]
SKIPPED = frozenset({
    "comment", "ERROR", "type_annotation", "type_arguments", "type_parameters", "accessibility_modifier", "decorator",
    "asserts", "predefined_type", "type_identifier",
})  # fmt: skip
_READER = Reader(SKIPPED)
children, at, expression, whole = _READER.children, _READER.at, _READER.expression, _READER.whole
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "v": "\v"}
_COMPARISONS = {
    "==": "==",
    "===": "==",
    "!=": "!=",
    "!==": "!=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "in": "in",
}
_PUTS_TOGETHER = re.compile(r"^(?:String\.raw|dedent|outdent|stripIndents?|oneLine\w*|commonTags\.\w+)$")
"""Tags of templates whose result is the text with the values in it."""
_bodies: list[Body] = []


def statements_by(read: Body) -> None:
    """Tell how the body of a function is read: statements and expressions hold each other."""
    _bodies[:] = [read]


def params_of(node: Node | None) -> tuple[tuple[ir.Param, ...], tuple[Any, ...]]:
    """The parameters of a function, and statements that take apart those that are patterns."""
    made: list[ir.Param] = []
    taken: list[Any] = []
    for number, child in enumerate(children(node) if node is not None else ()):
        if child.type == "this_type":
            continue
        kind = text_of(child.child_by_field_name("type")).lstrip(": ")
        pattern = child.child_by_field_name("pattern") or child.child_by_field_name("left") or child
        default = at(child, "value") if child.type.endswith("parameter") else at(child, "right")
        stars = ""
        if pattern.type == "rest_pattern":
            pattern, stars = pattern.named_children[0], "*"
        name = f"@{number}" if pattern.type in ("object_pattern", "array_pattern") else text_of(pattern)
        filled = javascript_inputs.filled(child, name, kind)
        if filled is not None:
            taken, kind = [*taken, *filled], javascript_inputs.FILLED
        if javascript_inputs.kept(child):
            field = ir.Attr(line_of(child), ir.Name(line_of(child), "this"), name)
            taken.append(ir.Assign(line_of(child), (field,), ir.Name(line_of(child), name)))
        if name.startswith("@"):
            taken += [
                ir.Assign(line_of(child), (target,), value)
                for target, value in apart(pattern, ir.Name(line_of(child), name))
            ]
        made.append(ir.Param(name, kind, default, stars))
    return tuple(made), tuple(taken)


def apart(pattern: Node, value: Any) -> list[tuple[Any, Any]]:
    """The assignments that a pattern stands for: targets with what goes into them."""
    line, found = line_of(pattern), []
    for number, child in enumerate(children(pattern)):
        if pattern.type == "array_pattern":
            name, inner = ir.Const(line, number), child
            part: Any = ir.Item(line, value, name)
        elif child.type == "pair_pattern":
            key = child.child_by_field_name("key")
            inner_node = child.child_by_field_name("value")
            part = ir.Attr(line, value, text_of(key).strip("\"'"))
            inner = inner_node if inner_node is not None else child
        else:
            inner = child.child_by_field_name("left") or child
            part = ir.Attr(line, value, text_of(inner))
        if inner.type in ("rest_pattern", "spread_element"):
            found.append((ir.Name(line, text_of(inner.named_children[0])), value))
        elif inner.type in ("object_pattern", "array_pattern"):
            found += apart(inner, part)
        elif inner.type in ("assignment_pattern", "object_assignment_pattern"):
            left = inner.child_by_field_name("left") or inner
            found.append((ir.Name(line, text_of(left)), part))
        else:
            found.append((expression(inner), part))
    return found


def function(node: Node, name: str = "") -> ir.Function:
    """A function of any kind."""
    one = node.child_by_field_name("parameter")
    params, taken = (((ir.Param(text_of(one)),), ()) if one is not None
                     else params_of(node.child_by_field_name("parameters")))  # fmt: skip
    body = node.child_by_field_name("body")
    if body is None:
        statements: tuple[Any, ...] = ()
    elif body.type == "statement_block":
        statements = _bodies[0](body)
    else:
        statements = (ir.Return(line_of(body), expression(body)),)
    name = name or text_of(node.child_by_field_name("name"))
    made = ir.Function(line_of(node), name, params, (*taken, *statements), (), int(node.end_point[0]) + 1)
    if body is not None and javascript_inputs.is_action(body):
        return javascript_inputs.exported(made, default=False, action=True)
    return made


def _string(node: Node) -> Any:
    text = text_of(node)[1:-1]
    return ir.Const(line_of(node), re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text))


def _number(node: Node) -> Any:
    text = text_of(node).replace("_", "").rstrip("n")
    try:
        return ir.Const(
            line_of(node), int(text, 0) if not re.search(r"[.eE]", text) or text.startswith("0x") else float(text)
        )
    except ValueError:
        return ir.Other(line_of(node), ())


def _template(node: Node) -> Any:
    parts: list[Any] = []
    begin = node.start_byte + 1
    source, start = node.text or b"", node.start_byte
    for child in node.named_children:
        if child.type == "template_substitution":
            before = source[begin - start : child.start_byte - start].decode("utf-8", "replace")
            if before:
                parts.append(ir.Const(line_of(child), before))
            parts.append(whole(child))
            begin = child.end_byte
    last = source[begin - start : -1].decode("utf-8", "replace")
    if last or not parts:
        parts.append(ir.Const(line_of(node), last))
    return parts[0] if len(parts) == 1 and isinstance(parts[0], ir.Const) else ir.Text(line_of(node), tuple(parts))


def _binary(node: Node) -> Any:
    operator = text_of(node.child_by_field_name("operator"))
    left, right, line = at(node, "left"), at(node, "right"), line_of(node)
    if operator in _COMPARISONS:
        return ir.Compare(line, _COMPARISONS[operator], left, right)
    if operator in ("&&", "||", "??"):
        return ir.Logic(line, "and" if operator == "&&" else "or", left, right)
    return ir.Op(line, operator, left, right)


def _unary(node: Node) -> Any:
    operator = text_of(node.child_by_field_name("operator"))
    value = at(node, "argument")
    if operator == "!":
        return ir.Not(line_of(node), value)
    if operator == "-" and isinstance(value, ir.Const) and isinstance(value.value, (int, float)):
        return ir.Const(line_of(node), -value.value)
    if operator in ("+", "typeof", "void", "-", "~", "delete"):
        return ir.Call(line_of(node), ir.Name(line_of(node), f"@{operator}"), (value,))
    return ir.Other(line_of(node), (value,))


def _call(node: Node) -> Any:
    inside = node.child_by_field_name("arguments")
    func = at(node, "function") if node.type == "call_expression" else at(node, "constructor")
    if inside is not None and inside.type == "template_string":
        return _tagged(node, func, inside)
    args: list[Any] = []
    spread: list[Any] = []
    for child in children(inside) if inside is not None else ():
        (spread if child.type == "spread_element" else args).append(expression(child))
    called = text_of(node.child_by_field_name("function"))
    if len(args) == 1 and called in ("require", "import", "inject"):
        module = args[0].value if isinstance(args[0], ir.Const) else None
        if isinstance(module, str):
            return ir.Name(line_of(node), module_name(module))
        if called == "inject" and isinstance(args[0], ir.Name):
            return args[0]  # Angular's way to ask for an object of a class
    if called.endswith(".switchToHttp().getRequest"):
        return ir.Name(line_of(node), "req")
    args = javascript_inputs.called_back(node, args)
    return ir.Call(line_of(node), func, tuple(args), _settings(args), tuple(spread), int(node.end_point[0]) + 1)


def _settings(args: list[Any]) -> tuple[tuple[str, Any], ...]:
    """Settings are handed on as an object that is written out, or as one that has a name."""
    for item in reversed(args):
        if isinstance(item, ir.Make) and item.kind == "dict":
            return tuple((str(key.value), value) for key, value in item.items if isinstance(key, ir.Const))
    if args and isinstance(args[-1], ir.Name):
        return ((ir.SETTINGS, args[-1]),)
    return ()


def _tagged(node: Node, func: Any, template: Node) -> Any:
    """A template with a tag: the tag gets text and values apart, but for those that only put them together."""
    made, line = _template(template), line_of(node)
    if not isinstance(made, ir.Text):
        return ir.Call(line, func, (made,), (), (), int(node.end_point[0]) + 1)
    if _PUTS_TOGETHER.search(text_of(node.child_by_field_name("function"))):
        return made
    text = "?".join(part.value for part in made.parts if isinstance(part, ir.Const))
    values = [part for part in made.parts if not isinstance(part, ir.Const)]
    args = (ir.Const(line, text), *values)
    return ir.Call(line, ir.Attr(line, func, "@tag"), args, (), (), int(node.end_point[0]) + 1)


def module_name(text: str) -> str:
    """The dotted name of a module: `"node:fs/promises"` is `fs.promises`."""
    return text.removeprefix("node:").replace("/", ".").lstrip(".@").replace("-", "_")


def _object(node: Node) -> Any:
    items: list[tuple[Any, Any]] = []
    for child in children(node):
        line = line_of(child)
        if child.type == "pair":
            key = child.child_by_field_name("key")
            plain = key is not None and key.type in ("property_identifier", "string", "number")
            name = ir.Const(line, text_of(key).strip("\"'")) if plain else whole(key) if key is not None else None
            value = at(child, "value")
            if isinstance(name, ir.Const):
                value = javascript_inputs.resolved(name.value, javascript_inputs.lets_all_in(name.value, value))
            items.append((name, value))
        elif child.type == "spread_element":
            items.append((ir.SPREAD, whole(child)))
        elif child.type == "method_definition":
            items.append((ir.Const(line, text_of(child.child_by_field_name("name"))), function(child, "@method")))
        else:
            items.append((ir.Const(line, text_of(child)), ir.Name(line, text_of(child))))
    return ir.Make(line_of(node), "dict", tuple(items))


def _array(node: Node) -> Any:
    items = tuple((ir.SPREAD, whole(child)) if child.type == "spread_element" else (None, expression(child))
                  for child in children(node))  # fmt: skip
    return ir.Make(line_of(node), "list", items)


def _assignment(node: Node) -> Any:
    right = at(node, "right")
    left = node.child_by_field_name("left")
    if node.type == "augmented_assignment_expression":
        right = ir.Op(line_of(node), text_of(node.child_by_field_name("operator")).rstrip("="), at(node, "left"), right)
    return ir.Bind(line_of(node), expression(left) if left is not None else ir.Name(line_of(node), "_"), right)


def _choose(node: Node) -> Any:
    return ir.Choose(line_of(node), at(node, "condition"), at(node, "consequence"), at(node, "alternative"))


def _member(node: Node) -> Any:
    return ir.Attr(line_of(node), at(node, "object"), text_of(node.child_by_field_name("property")))


def _attribute(node: Node) -> Any:
    """An attribute of JSX is a call of what its name says."""
    parts = children(node)
    name = text_of(parts[0]) if parts else ""
    return ir.Call(line_of(node), ir.Name(line_of(node), f"jsx.{name}"), tuple(expression(part) for part in parts[1:]))


def _first(node: Node) -> Any:
    return expression(children(node)[0])


def _name(node: Node) -> Any:
    return ir.Name(line_of(node), text_of(node))


_READER.learn({
    "identifier": _name, "this": _name, "super": _name, "shorthand_property_identifier": _name,
    "shorthand_property_identifier_pattern": _name,
    "property_identifier": lambda node: ir.Const(line_of(node), text_of(node)),
    "string": _string, "number": _number, "template_string": _template,
    "true": lambda node: ir.Const(line_of(node), True), "false": lambda node: ir.Const(line_of(node), False),
    "null": lambda node: ir.Const(line_of(node), None), "undefined": lambda node: ir.Const(line_of(node), None),
    "regex": lambda node: ir.Call(line_of(node), ir.Name(line_of(node), "re.compile"),
                                  (ir.Const(line_of(node), text_of(node.child_by_field_name("pattern"))),)),
    "member_expression": _member,
    "subscript_expression": lambda node: ir.Item(line_of(node), at(node, "object"), at(node, "index")),
    "binary_expression": _binary, "unary_expression": _unary, "call_expression": _call, "new_expression": _call,
    "object": _object, "array": _array, "assignment_expression": _assignment,
    "augmented_assignment_expression": _assignment, "ternary_expression": _choose, "arrow_function": function,
    "function_expression": function, "generator_function": function, "function": function,
    "as_expression": _first, "satisfies_expression": _first, "jsx_attribute": _attribute,
})  # fmt: skip
