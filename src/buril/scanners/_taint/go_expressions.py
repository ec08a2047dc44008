"""Expressions of Go in the form of `ir.py`; statements are read by `lower_go.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tree_sitter import Node

from buril.scanners._taint import ir
from buril.scanners._taint.go_names import Names
from buril.scanners._taint.nodes import Reader, line_of, text_of

Body = Callable[[Node], tuple[Any, ...]]
SKIPPED = frozenset({
    "comment", "ERROR", "type_identifier", "qualified_type", "pointer_type", "slice_type", "array_type", "map_type",
    "struct_type", "interface_type", "function_type", "channel_type", "generic_type", "type_arguments",
    "parenthesized_type", "type_parameter_list", "label_name",
})  # fmt: skip
_READER = Reader(SKIPPED)
children, at, expression, whole = _READER.children, _READER.at, _READER.expression, _READER.whole
_COMPARISONS = frozenset(["==", "!=", "<", "<=", ">", ">="])
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_FORMATS = {
    "Fprintf": 1,
    **dict.fromkeys(
        ("Printf", "Infof", "Warnf", "Warningf", "Debugf", "Tracef", "Fatalf", "Panicf", "Logf", "Errorf", "Criticalf"),
        0,
    ),
}
"""Functions that format what they get, and where the format stands."""
_TEXTS = frozenset(["[]byte", "[]rune", "[]uint8"])
NUMBERS = frozenset(
    [
        "int",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "uintptr",
        "float32",
        "float64",
        "complex64",
        "complex128",
        "byte",
        "rune",
        "bool",
    ]
)
_PAIRS = {"bson.D": "bson.E", "primitive.D": "primitive.E"}
"""Lists of a library, with what their elements are, whose types need not be told."""
names = Names()
_bodies: list[Body] = []


def statements_by(read: Body) -> None:
    """Tell how a block is read: statements and expressions hold each other."""
    _bodies[:] = [read]


def condition(node: Node | None) -> Any:
    """An expression that is asked for its truth: a map's element says that its key is in the map."""
    if node is None:
        return None
    line = line_of(node)
    if node.type == "parenthesized_expression" and node.named_children:
        return condition(node.named_children[-1])
    if node.type == "unary_expression" and text_of(node.child_by_field_name("operator")) == "!":
        return ir.Not(line, condition(node.child_by_field_name("operand")))
    if node.type == "index_expression":
        return ir.Logic(line, "and", member_of(node), expression(node))
    return expression(node)


def member_of(node: Node) -> Any:
    """Whether the key of an element is in its container."""
    return ir.Compare(line_of(node), "in", at(node, "index"), at(node, "operand"))


def called(line: int, name: str, *args: Any) -> ir.Call:
    """A call of something that the language does without one."""
    return ir.Call(line, ir.Name(line, name), tuple(args))


def params_of(node: Node | None) -> tuple[ir.Param, ...]:
    """The parameters of a function, with what their types are called."""
    made: list[ir.Param] = []
    for child in node.named_children if node is not None else ():
        if child.type not in ("parameter_declaration", "variadic_parameter_declaration"):
            continue
        kind = names.type_of(child.child_by_field_name("type"))
        stars = "*" if child.type.startswith("variadic") else ""
        found = [text_of(name) for name in child.children_by_field_name("name")] or ["_"]
        made += [ir.Param(name, f"[]{kind}" if stars else kind, None, stars) for name in found]
    return tuple(made)


def function(node: Node, name: str = "", receiver: tuple[ir.Param, ...] = ()) -> ir.Function:
    """A function of any kind."""
    params = (*receiver, *params_of(node.child_by_field_name("parameters")))
    result, body = node.child_by_field_name("result"), node.child_by_field_name("body")
    results = params_of(result) if result is not None and result.type == "parameter_list" else ()
    named = tuple(param.name for param in results if param.name != "_")
    only = names.type_of(result) if result is not None and not results else ""
    names.enter(*(param.name for param in params), *named, function=True)
    names.results.append((named, only, any(param.type == "jwt.Token" for param in params)))
    names.later.append([])
    statements = [*_zeros(result, line_of(node)), *(_bodies[0](body) if body is not None else ())]
    later = names.later.pop()
    last = len(statements) - (bool(statements) and isinstance(statements[-1], ir.Return))
    statements[last:last] = later
    names.results.pop()
    names.leave()
    if not name and len(statements) == 1 and isinstance(statements[0], ir.Return):
        given = statements[0].value
        name = "@accepts" if isinstance(given, ir.Const) and given.value in (None, True) else ""
    return ir.Function(line_of(node), name, params, tuple(statements), (), int(node.end_point[0]) + 1)


def _zeros(result: Node | None, line: int) -> list[Any]:
    """What results that have names hold at first."""
    found = result.named_children if result is not None and result.type == "parameter_list" else ()
    return [ir.Assign(line, (ir.Name(line, text_of(name)),), names.zero(child.child_by_field_name("type")))
            for child in found for name in child.children_by_field_name("name")]  # fmt: skip


def _string(node: Node) -> Any:
    return ir.Const(line_of(node), re.sub(
        r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", _escaped, text_of(node)[1:-1]
    ))  # fmt: skip


def _escaped(found: re.Match[str]) -> str:
    number = int(next(filter(None, found.group(1, 2, 3)), found[4] or "0"), 8 if found[4] else 16)
    if found[5] is not None:
        return _ESCAPES.get(found[5], found[5])
    return chr(number) if number < 0x110000 else "?"


def _number(node: Node) -> Any:
    text = text_of(node).replace("_", "")
    if re.fullmatch(r"0[0-7]+", text):
        return ir.Const(line_of(node), int(text, 8))
    try:
        return ir.Const(line_of(node), int(text, 0) if node.type == "int_literal" else float(text))
    except ValueError:
        return ir.Other(line_of(node), ())


def _binary(node: Node) -> Any:
    operator, line = text_of(node.child_by_field_name("operator")), line_of(node)
    if operator in ("&&", "||"):
        left, right = (condition(node.child_by_field_name(side)) for side in ("left", "right"))
        return ir.Logic(line, "and" if operator == "&&" else "or", left, right)
    left, right = at(node, "left"), at(node, "right")
    if operator in ("==", "!="):
        for one, other in ((left, right), (right, left)):
            if isinstance(one, ir.Const) and one.value is None:
                asked = called(line, "@failed", other)
                return asked if operator == "!=" else ir.Not(line, asked)
    if operator in _COMPARISONS:
        return ir.Compare(line, operator, left, right)
    return ir.Op(line, operator, left, right)


def _unary(node: Node) -> Any:
    operator, inner = text_of(node.child_by_field_name("operator")), node.child_by_field_name("operand")
    line, value = line_of(node), at(node, "operand")
    if operator == "!":
        return ir.Not(line, condition(inner))
    if operator == "-" and isinstance(value, ir.Const) and isinstance(value.value, (int, float)):
        return ir.Const(line, -value.value)
    if operator == "<-":
        return ir.Item(line, value, ir.Name(line, "@any"))
    return value if operator in ("&", "*") else ir.Other(line, (value,))


def _call(node: Node) -> Any:
    func, inside, line = node.child_by_field_name("function"), node.child_by_field_name("arguments"), line_of(node)
    given = [child for child in inside.named_children if child.type != "comment"] if inside is not None else []
    name = text_of(func)
    built = _BUILT_IN.get(name) if names.find(name) == name and name not in names.types else None
    if built is not None and given:
        return built(line, given)
    args = [_argument(child) for child in given if child.type != "variadic_argument" and child.type not in SKIPPED]
    spread = tuple(whole(child) for child in given if child.type == "variadic_argument")
    place = _FORMATS.get(name.rpartition(".")[2])
    if place is not None and name != "fmt.Errorf" and len(args) > place + 1 and not spread:
        args[place:] = [called(line, "fmt.Sprintf", *args[place:])]
    target = expression(func) if func is not None else None
    return ir.Call(line, target, tuple(args), (), spread, int(node.end_point[0]) + 1)


def _argument(node: Node) -> Any:
    """An argument; what is handed on by its address may be changed by who gets it."""
    value = expression(node)
    by_address = node.type == "unary_expression" and text_of(node.child_by_field_name("operator")) == "&"
    if by_address and isinstance(value, (ir.Name, ir.Attr, ir.Item)):
        return called(line_of(node), "@ref", value)
    return value


def _append(line: int, given: list[Node]) -> Any:
    args = tuple(expression(child) for child in given if child.type != "variadic_argument")
    return ir.Call(line, ir.Name(line, "@append"), args, (),
                   tuple(whole(child) for child in given if child.type == "variadic_argument"))  # fmt: skip


def _new(line: int, given: list[Node]) -> Any:
    """`make` and `new`."""
    kind = names.under(given[0])
    if names.type_of(given[0]) in ("[]byte", "[]uint8") and len(given) > 1:
        return called(line, "@zeros")
    if kind is not None and kind.type == "channel_type":
        return called(line, "@chan")
    return names.zero(given[0])


def _converted(name: str) -> Callable[[int, list[Node]], Any]:
    return lambda line, given: called(line, name, *(expression(child) for child in given))


_BUILT_IN: dict[str, Callable[[int, list[Node]], Any]] = {
    "append": _append, "make": _new, "new": _new, "string": _converted("@text"), "copy": _converted("@copy"),
    "min": _converted("@number"), "max": _converted("@number"),
    **{name: _converted("@number") for name in NUMBERS},
}  # fmt: skip


def _conversion(node: Node) -> Any:
    value = at(node, "operand")
    kind = names.type_of(node.child_by_field_name("type"))
    return called(line_of(node), "@bytes", value) if kind in _TEXTS else value


def _assertion(node: Node) -> Any:
    kind = names.type_of(node.child_by_field_name("type"))
    name = "@number" if kind in NUMBERS else "@as.string" if kind == "string" else "@as"
    return called(line_of(node), name, at(node, "operand"))


def _literal(node: Node) -> Any:
    return _written(node, node.child_by_field_name("type"), node.child_by_field_name("body"))


def _written(node: Node, kind: Node | None, body: Node | None, known: str = "") -> Any:
    """A value that is written out: a struct, a list or a map, by its type, or by the path that is `known` of it."""
    real = names.under(kind)
    name = known or names.type_of(kind)
    shape = real.type if real is not None else ""
    inner = None
    if real is not None and shape != "struct_type":
        inner = real.child_by_field_name("value") or real.child_by_field_name("element")
    fields = [field[0] for field in names.fields(real)] if shape == "struct_type" else []
    items: list[tuple[Any, Any]] = []
    for child in children(body) if body is not None else ():
        key = None
        if child.type == "keyed_element":
            key = child.child_by_field_name("key")
            child = child.child_by_field_name("value") or child  # noqa: PLW2901  what stands at the key
        place = _key(key, shape) if key is not None else None
        if fields and key is None and len(items) < len(fields):
            place = ir.Const(line_of(child), fields[len(items)])
        items.append((place, _element(child, inner, _PAIRS.get(name, ""))))
    listed = shape in ("slice_type", "array_type", "implicit_length_array_type")
    made_of = name if "." in name and not name.startswith(("[", "map")) or shape == "struct_type" else ""
    return ir.Make(line_of(node), "list" if listed else "dict", tuple(items),
                   made_of if made_of != "struct_type" else "", int(node.end_point[0]) + 1)  # fmt: skip


def _key(node: Node, shape: str) -> Any:
    inner = node.named_children[0] if node.type == "literal_element" and node.named_children else node
    if inner.type == "identifier" and shape not in ("map_type", "array_type", "slice_type"):
        return ir.Const(line_of(inner), text_of(inner))
    return expression(inner)


def _element(node: Node, kind: Node | None, known: str) -> Any:
    inner = node.named_children[0] if node.type == "literal_element" and node.named_children else node
    return _written(inner, kind, inner, known) if inner.type == "literal_value" else expression(inner)


def _name(node: Node) -> Any:
    return ir.Name(line_of(node), names.find(text_of(node)))


_READER.learn({
    "identifier": _name, "interpreted_string_literal": _string, "int_literal": _number, "float_literal": _number,
    "raw_string_literal": lambda node: ir.Const(line_of(node), text_of(node)[1:-1]),
    "rune_literal": _string,
    "true": lambda node: ir.Const(line_of(node), True), "false": lambda node: ir.Const(line_of(node), False),
    "nil": lambda node: ir.Const(line_of(node), None), "iota": lambda node: ir.Other(line_of(node), ()),
    "imaginary_literal": lambda node: ir.Other(line_of(node), ()),
    "selector_expression": lambda node: ir.Attr(
        line_of(node), at(node, "operand"), text_of(node.child_by_field_name("field"))),
    "index_expression": lambda node: ir.Item(line_of(node), at(node, "operand"), at(node, "index")),
    "slice_expression": lambda node: ir.Item(line_of(node), at(node, "operand"), ir.Other(line_of(node), ())),
    "binary_expression": _binary, "unary_expression": _unary, "call_expression": _call, "func_literal": function,
    "type_conversion_expression": _conversion, "type_assertion_expression": _assertion, "composite_literal": _literal,
    "parenthesized_expression": whole,
})  # fmt: skip
