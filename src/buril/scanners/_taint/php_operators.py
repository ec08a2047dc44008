"""PHP's text, numbers and operators in the form of `ir.py`."""

from __future__ import annotations

import re
from typing import Any

from tree_sitter import Node

from buril.scanners._taint import ir, php_compare
from buril.scanners._taint.nodes import Lower, line_of, text_of
from buril.scanners._taint.php_calls import number
from buril.scanners._taint.php_members import element
from buril.scanners._taint.php_names import SKIPPED, at, call, children, expression, is_form
from buril.scanners._taint.php_text import mixed

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "e": "\x1b", "f": "\f", "0": "\0"}
_FIXED = {"PHP_EOL": "\n", "DIRECTORY_SEPARATOR": "/", "PATH_SEPARATOR": ":"}
_PLACES = frozenset(
    {"__DIR__", "__FILE__", "ABSPATH", "DOCUMENT_ROOT", "APPPATH", "FCPATH", "BASEPATH", "WP_CONTENT_DIR"}
)


def _string(node: Node) -> Any:
    return ir.Const(line_of(node), re.sub(r"\\([\\'])", r"\1", text_of(node)[1:-1]))


def _escaped(text: str) -> str:
    if text[1:2] in ("x", "u") and len(text) > 2:
        digits = text[2:].strip("{}")
        try:
            return chr(int(digits, 16))
        except (ValueError, OverflowError):
            return text
    if re.fullmatch(r"\\[0-7]{1,3}", text):
        return chr(int(text[1:], 8) & 255)
    return _ESCAPES.get(text[1:], text[1:])


def interpolated(node: Node) -> Any:
    """Text between double quotes, in a heredoc or between backticks."""
    line, parts, known = line_of(node), [], ""
    inside = node.child_by_field_name("value") if node.type in ("heredoc", "nowdoc") else node
    for child in inside.named_children if inside is not None else ():
        if child.type in ("string_content", "nowdoc_string"):
            known += text_of(child)
        elif child.type == "escape_sequence":
            known += _escaped(text_of(child))
        elif child.type not in SKIPPED:
            if known:
                parts.append(ir.Const(line_of(child), known))
                known = ""
            parts.append(_inside(child))
    if known or not parts:
        parts.append(ir.Const(line, known))
    return parts[0] if len(parts) == 1 and isinstance(parts[0], ir.Const) else ir.Text(line, tuple(parts))


def _inside(node: Node) -> Any:
    """A variable within text: the key of `$a[name]` is a text there."""
    parts = children(node)
    if node.type == "subscript_expression" and len(parts) == 2 and parts[1].type == "name":
        return element(expression(parts[0]), ir.Const(line_of(node), text_of(parts[1])), line_of(node))
    if node.type == "dynamic_variable_name" and len(parts) == 1 and parts[0].type == "name":
        return ir.Name(line_of(node), "$" + text_of(parts[0]))
    return expression(node)


def _number(node: Node) -> Any:
    text = text_of(node).replace("_", "")
    try:
        if node.type == "float":
            return ir.Const(line_of(node), float(text))
        octal = re.fullmatch(r"0[oO]?([0-7]+)", text)
        return ir.Const(line_of(node), int(octal[1], 8) if octal else int(text, 0))
    except (ValueError, OverflowError):
        return ir.Other(line_of(node), ())


def _constant(node: Node) -> Any:
    line, name = line_of(node), text_of(node).rpartition("\\")[2]
    if name.lower() in ("true", "false", "null"):
        return ir.Const(line, {"true": True, "false": False}.get(name.lower()))
    if name in _PLACES:
        return ir.Const(line, f"/{name}")
    return ir.Const(line, _FIXED[name]) if name in _FIXED else ir.Name(line, name)


# --- operators


def _binary(node: Node) -> Any:
    operator, line = text_of(node.child_by_field_name("operator")).lower(), line_of(node)
    if operator == ".":
        return _concatenated(node)
    left = at(node, "left")
    if operator == "instanceof":
        return ir.Other(line, ())
    right = at(node, "right")
    if operator in php_compare.COMPARISONS:
        return php_compare.compared(line, operator, left, right)
    if operator in ("&&", "||", "and", "or", "??"):
        return ir.Logic(line, "and" if operator in ("&&", "and") else "or", left, right)
    return computed(line, operator, left, right)


def _concatenated(node: Node) -> Any:
    parts: list[Any] = []
    left: Node | None = node
    while (
        left is not None and left.type == "binary_expression" and text_of(left.child_by_field_name("operator")) == "."
    ):
        parts.append(at(left, "right"))
        left = left.child_by_field_name("left")
    if left is not None:
        parts.append(expression(left))
    parts.reverse()
    return ir.Text(line_of(node), tuple(mixed(parts) or parts))


def computed(line: int, operator: str, left: Any, right: Any) -> Any:
    """Arithmetic makes numbers of what it gets; `+` puts arrays together as well."""
    if operator == "+" and any(isinstance(side, ir.Make) or is_form(side) for side in (left, right)):
        return ir.Make(line, "dict", ((ir.SPREAD, left), (ir.SPREAD, right)))
    return ir.Op(line, operator, number(left), number(right))


def _unary(node: Node) -> Any:
    operator, value = text_of(node.child_by_field_name("operator")), at(node, "argument")
    if operator == "!":
        return ir.Not(line_of(node), value)
    if operator == "-" and isinstance(value, ir.Const) and isinstance(value.value, (int, float)):
        return ir.Const(line_of(node), -value.value)
    return value if operator == "@" else call(line_of(node), "int", value)


def _cast(node: Node) -> Any:
    kind, value = text_of(node.child_by_field_name("type")).lower(), at(node, "value")
    if kind in ("string", "binary"):
        return call(line_of(node), "str", value)
    return value if kind in ("array", "object") else number(value)


def _update(node: Node) -> Any:
    """What is counted is not followed, but it is no constant any more."""
    target = at(node, "argument")
    return ir.Bind(line_of(node), target, ir.Other(line_of(node), ()))


def _choose(node: Node) -> Any:
    yes = at(node, "body")
    test, no = at(node, "condition"), at(node, "alternative")
    return ir.Choose(line_of(node), test, yes, no) if yes is not None else ir.Logic(line_of(node), "or", test, no)


def _match(node: Node) -> Any:
    subject, inside = at(node, "condition"), node.child_by_field_name("body")
    found: Any = ir.Other(line_of(node), ())
    for arm in reversed(inside.named_children if inside is not None else []):
        value = at(arm, "return_expression")
        if arm.type == "match_default_expression":
            found = value
        elif arm.type == "match_conditional_expression":
            asked = arm.child_by_field_name("conditional_expressions")
            tests = [_arm(subject, expression(item)) for item in (children(asked) if asked is not None else ())]
            found = ir.Choose(line_of(arm), any_of(tests), value, found)
    return found


def _arm(subject: Any, value: Any) -> Any:
    if isinstance(subject, ir.Const) and subject.value is True:
        return value
    return php_compare.compared(value.line if value is not None else 0, "===", subject, value)


def any_of(tests: list[Any]) -> Any:
    """Whether one of some tests holds."""
    found = tests[0] if tests else None
    for test in tests[1:]:
        found = ir.Logic(test.line, "or", found, test)
    return found


READS: dict[str, Lower] = {
    "string": _string, "encapsed_string": interpolated, "heredoc": interpolated, "nowdoc": interpolated,
    "integer": _number, "float": _number, "boolean": _constant, "null": _constant, "name": _constant,
    "qualified_name": _constant, "relative_name": _constant, "binary_expression": _binary,
    "unary_op_expression": _unary, "cast_expression": _cast, "update_expression": _update,
    "conditional_expression": _choose, "match_expression": _match,
    "shell_command_expression": lambda node: call(line_of(node), "shell_exec", interpolated(node)),
}  # fmt: skip
