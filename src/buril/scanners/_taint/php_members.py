"""PHP's members, elements and calls in the form of `ir.py`."""

from __future__ import annotations

import re
from typing import Any

from tree_sitter import Node

from buril.scanners._taint import ir, php_requests
from buril.scanners._taint.nodes import Lower, line_of, text_of
from buril.scanners._taint.php_calls import FORMS
from buril.scanners._taint.php_known import FUNCTIONS, METHODS_AND_CLASSES
from buril.scanners._taint.php_names import (
    NAMES,
    REQUEST,
    SCOPE,
    THIS,
    at,
    call,
    children,
    class_at,
    end_of,
    expression,
    function_name,
    is_form,
    is_own,
    short_name,
    whole,
)

_SERVER = re.compile(r"^(HTTP_|QUERY_STRING|REQUEST_URI|PHP_SELF|PATH_INFO|PHP_AUTH|ORIG_PATH|argv|CONTENT_TYPE)")
_CALLING = frozenset(
    ["usort", "uasort", "uksort", "array_filter", "array_walk", "array_reduce", "array_map", "call_user_func",
     "call_user_func_array", "register_shutdown_function", "set_error_handler", "set_exception_handler", "is_callable",
     "spl_autoload_register", "ob_start", "preg_replace_callback", "iterator_apply", "forward_static_call"]
)  # fmt: skip
"""Functions that call what they are given."""
_BROWSER = frozenset({"argv", "HTTP_REFERER", "HTTP_HOST", "REQUEST_URI", "PHP_SELF"})
"""What the browser of who is attacked sends by itself, or nobody."""
_PARTS = frozenset({"host", "extension", "scheme"})
"""Elements that are read as members, for they say which part of an address or a name it is."""
_CIPHERS = frozenset({"DES", "TripleDES", "RC4", "RC2", "Blowfish"})
"""Classes of libraries that the tables know; in the library itself they are what it is made of."""
_ROUTES = re.compile(r"^(get|post|put|patch|delete|any|map|match|options|fallback)$")
_ROUTERS = re.compile(r"(?i)^(Route|\$(this->)?(app|router|routes?|r|group|f3|klein|slim))$")


def element(of: Any, key: Any, line: int) -> Any:
    """An element of an array, of an input, or a part of an address."""
    if isinstance(key, ir.Const):
        if key.value == "tmp_name" or (key.value in ("size", "error") and _names_files(of)):
            return ir.Name(line, "@temporary")
        if isinstance(of, ir.Name) and of.id == "$_SERVER" and not _SERVER.match(str(key.value)):
            return ir.Const(line, "/srv") if key.value == "DOCUMENT_ROOT" else ir.Name(line, "@server")
        if isinstance(of, ir.Name) and of.id == "$_SERVER" and key.value in _BROWSER:
            return ir.Name(line, "$argv" if key.value == "argv" else f"$_SERVER.{key.value}")
        if key.value in _PARTS and not is_form(of):
            return ir.Attr(line, of, str(key.value))
    elif isinstance(of, ir.Name) and of.id == "$_SERVER" and not isinstance(key, ir.Text):
        return ir.Name(line, "@server")  # as a rule a setting says which
    if isinstance(of, ir.Name) and (of.id in SCOPE.requests or of.id == REQUEST):
        of = ir.Attr(line, ir.Name(line, REQUEST), "input")
    return ir.Item(line, of, key)


def _names_files(of: Any) -> bool:
    while isinstance(of, ir.Item):
        of = of.of
    return isinstance(of, ir.Name) and re.search(r"(?i)file|upload|image|photo|avatar", of.id) is not None


def _item(node: Node) -> Any:
    parts = children(node)
    if len(parts) < 2:
        return ir.Other(line_of(node), tuple(expression(part) for part in parts))
    return element(expression(parts[0]), expression(parts[1]), line_of(node))


def member_name(node: Node) -> Any:
    """What a member is called: a text, or an expression."""
    name = node.child_by_field_name("name")
    if name is None:
        return ""
    return text_of(name) if name.type == "name" else expression(name)


def _member(node: Node) -> Any:
    line, of, name = line_of(node), at(node, "object"), member_name(node)
    if not isinstance(name, str):
        return ir.Other(line, (of, name))
    asked = php_requests.member(line, of, name)
    return asked if asked is not None else ir.Attr(line, of, "$" + name)


def _static(node: Node) -> Any:
    """`Foo::$bar` and `Foo::BAR`."""
    line, parts = line_of(node), children(node)
    if len(parts) < 2:
        return ir.Other(line, ())
    of, name = class_at(parts[0], line), text_of(parts[1])
    if name == "class":
        return ir.Const(line, short_name(parts[0])) if parts[0].type in NAMES else ir.Other(line, ())
    if isinstance(of, str):
        return ir.Name(line, f"{of}.{name}")
    return ir.Attr(line, of if of is not None else expression(parts[0]), name)


# --- calls


def arguments(node: Node | None) -> tuple[list[Any], list[tuple[str, Any]], list[Any]]:
    """The arguments of a call by place and by name, and those that stand for many.

    The elements of an array that is written out count as named too: settings are handed on so.
    """
    args: list[Any] = []
    named: list[tuple[str, Any]] = []
    spread: list[Any] = []
    for child in children(node) if node is not None else ():
        parts = children(child)
        label = child.child_by_field_name("name")
        if child.type == "variadic_placeholder" or not parts:
            continue
        if label is not None and len(parts) > 1:
            named.append((text_of(label), expression(parts[-1])))
        elif parts[-1].type == "variadic_unpacking":
            spread.append(whole(parts[-1]))
        else:
            args.append(expression(parts[-1]))
    for item in reversed(args):
        if isinstance(item, ir.Make) and item.kind == "dict":
            named += [(_setting(key), value) for key, value in item.items if _setting(key)]
            break
    return args, named, spread


def _callable(node: Any) -> Any:
    """`[$object, "name"]` is the method."""
    if isinstance(node, ir.Make) and len(node.items) == 2 and node.kind == "list":
        (_first, of), (_second, name) = node.items
        if not isinstance(of, ir.Const) and isinstance(name, ir.Const) and isinstance(name.value, str):
            own = isinstance(of, ir.Name) and of.id == THIS and name.value in SCOPE.own
            return ir.Attr(node.line, of, name.value) if own else ir.Name(node.line, "@callable")
    return node


def _setting(key: Any) -> str:
    text = key.value if isinstance(key, ir.Const) else key.id if isinstance(key, ir.Name) else ""
    return text.replace("-", "_") if isinstance(text, str) else ""


def _called(node: Node, func: Any, name: str = "") -> Any:
    """A call; of what stands in another file, its result is not judged as the input itself."""
    made = _made(node, func, name)
    asked = isinstance(func, ir.Attr) and node.type != "scoped_call_expression"
    given = [*made.args, *made.spread, *(value for _name, value in made.named)] if isinstance(made, ir.Call) else []
    if not isinstance(made, ir.Call) or made.func is not func:
        return made
    if all(isinstance(item, ir.Const) for item in given) and not (asked and not given):
        return made
    of = func.id.partition(".")[0] if isinstance(func, ir.Name) and "." in func.id else ""
    last = func.name if isinstance(func, ir.Attr) else func.id.rpartition(".")[2] if isinstance(func, ir.Name) else ""
    if not last or last[0] in "$@" or last in SCOPE.own or _is_known(func, last, of):
        return made
    return call(made.line, "@elsewhere", made)


def _is_known(func: Any, last: str, of: str) -> bool:
    if isinstance(func, ir.Attr) or of:
        return last in METHODS_AND_CLASSES or of in METHODS_AND_CLASSES
    return last in FUNCTIONS or last in FORMS or (last[0].isupper() and last in METHODS_AND_CLASSES)


def _made(node: Node, func: Any, name: str) -> Any:
    args, named, spread = arguments(node.child_by_field_name("arguments") or _inner_arguments(node))
    line, end = line_of(node), end_of(node)
    args = [_callable(item) for item in args] if name in _CALLING else args
    if isinstance(func, ir.Attr) and func.name not in SCOPE.own:  # who asks is no part of the answer
        args = [ir.Name(line, "@self") if isinstance(item, ir.Name) and item.id == THIS else item for item in args]
    if name and not spread:
        form = FORMS.get(name)
        made = form(line, args) if form is not None else None
        if made is not None:
            return made._replace(end_line=end) if isinstance(made, ir.Call) else made
    return ir.Call(line, func, tuple(args), tuple(named), tuple(spread), end)


def _inner_arguments(node: Node) -> Node | None:
    return next((child for child in node.named_children if child.type == "arguments"), None)


def _call(node: Node) -> Any:
    func, line = node.child_by_field_name("function"), line_of(node)
    if func is None:
        return whole(node)
    if func.type not in NAMES:
        return _called(node, expression(func))
    name = function_name(func)
    inside = node.child_by_field_name("arguments")
    if inside is not None and any(child.type == "variadic_placeholder" for child in inside.named_children):
        return ir.Name(line, name)
    asked = php_requests.helper(line, name, arguments(inside)[0])
    return asked if asked is not None else _called(node, ir.Name(line, name), name)


def _method(node: Node) -> Any:
    line, of, name = line_of(node), at(node, "object"), member_name(node)
    if not isinstance(name, str):
        inner = _called(node, ir.Name(line, "@method"))
        return ir.Other(line, (call(line, "@called", name), inner))
    args = arguments(node.child_by_field_name("arguments"))[0]
    asked = php_requests.method(line, of, name, args)
    if asked is not None:
        return asked
    if name in ("query", "evaluate") and isinstance(of, (ir.Name, ir.Attr)) and re.search(r"(?i)xpath|^\$xp$", _id(of)):
        return _called(node, ir.Name(line, f"DOMXPath().{name}"))
    if name == "query" and re.search(r"(?i)dns|resolver", _id(of)):
        return _called(node, ir.Attr(line, of, "lookup"))
    return _routed(_called(node, ir.Attr(line, of, name)), _id(of), name)


def _id(of: Any) -> str:
    if isinstance(of, ir.Item) and isinstance(of.key, ir.Const):
        return str(of.key.value)
    return of.id if isinstance(of, ir.Name) else of.name if isinstance(of, ir.Attr) else ""


def _routed(made: Any, of: str, name: str) -> Any:
    """A function that is handed to a router is called from outside."""
    if not _ROUTES.match(name) or not _ROUTERS.match(of) or not isinstance(made, ir.Call):
        return made
    mark = (ir.Name(made.line, "@route"),)
    args = tuple(item._replace(decorators=mark, name=f"@route{item.line}") if isinstance(item, ir.Function) else item
                 for item in made.args)  # fmt: skip
    return made._replace(args=args)


def _scoped_call(node: Node) -> Any:
    line, scope, name = line_of(node), node.child_by_field_name("scope"), member_name(node)
    if scope is None or not isinstance(name, str):
        return whole(node)
    of = class_at(scope, line)
    args = arguments(node.child_by_field_name("arguments"))[0]
    if isinstance(of, str):
        asked = php_requests.static(line, of, name, args)
        return asked if asked is not None else _routed(_called(node, ir.Name(line, f"{of}.{name}")), of, name)
    made = _called(node, ir.Attr(line, of if of is not None else expression(scope), name))
    if text_of(scope) == "parent" and isinstance(made, ir.Call) and isinstance(made.func, ir.Attr):
        return made._replace(args=(ir.Name(line, THIS), *made.args))
    return made


def _new(node: Node) -> Any:
    parts, line = children(node), line_of(node)
    if parts and parts[0].type == "anonymous_class":
        name = f"class@{line}.{node.start_point[1]}".replace(".", "_")
        SCOPE.classes.add(name)
        SCOPE.hidden.append(SCOPE.members(parts[0], name))
        inside = _inner_arguments(parts[0])
        return ir.Call(line, ir.Name(line, name), tuple(arguments(inside)[0]), (), (), line)
    if not parts or parts[0].type not in NAMES:
        of = class_at(parts[0], line) if parts else None
        asked = ir.Other(line, ()) if of is not None else call(line, "@called", expression(parts[0]) if parts else None)
        return ir.Other(line, (asked, _called(node, of if isinstance(of, ir.Name) else ir.Name(line, "@new"))))
    name = short_name(parts[0])
    own = name in _CIPHERS and is_own(parts[0])
    return _called(node, ir.Name(line, f"@own.{name}" if own else name))


READS: dict[str, Lower] = {
    "subscript_expression": _item, "member_access_expression": _member, "nullsafe_member_access_expression": _member,
    "scoped_property_access_expression": _static, "class_constant_access_expression": _static,
    "function_call_expression": _call, "member_call_expression": _method, "nullsafe_member_call_expression": _method,
    "scoped_call_expression": _scoped_call, "object_creation_expression": _new,
}  # fmt: skip
