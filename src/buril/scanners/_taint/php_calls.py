"""PHP's own functions that are other forms of what `ir.py` has: `implode` joins, `in_array` asks whether it is inside.

`FORMS` gives for a function what its call stands for, or None where it stands for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from buril.scanners._taint import ir
from buril.scanners._taint.php_known import FUNCTIONS
from buril.scanners._taint.php_names import SCOPE, call, method
from buril.scanners._taint.php_text import (
    cookie,
    escaped,
    filtered,
    filtered_input,
    formatted,
    formatted_by,
    header,
    matched,
    matched_all,
    mixed,
    printed,
    replaced,
    substituted,
    text_in,
)
from buril.scanners._taint.secrets import is_secret

Form = Callable[[int, list[Any]], Any]
_PARTS_OF_URL = {"PHP_URL_HOST": "host", "PHP_URL_SCHEME": "scheme"}
_PARTS_OF_PATH = {"PATHINFO_EXTENSION": "extension", "PATHINFO_BASENAME": "basename", "PATHINFO_FILENAME": "filename"}
_PART_OF = ("substr", "mb_substr", "strrchr", "strtok", "mb_strrchr", "mb_strstr", "strstr", "stristr")


def number(node: Any) -> Any:
    """Something that becomes a number."""
    if isinstance(node, ir.Const) and isinstance(node.value, (int, float)):
        return node
    return call(node.line if node is not None else 0, "int", node)


def secret(key: Any, value: Any) -> Any:
    """An element of an array whose key says that it is a secret: the engine looks at what is named."""
    if isinstance(value, ir.Const) and "\\" in str(value.value):  # the name of a class
        return value
    if isinstance(key, ir.Const) and isinstance(value, ir.Const) and is_secret(str(key.value), value.value):
        return ir.Call(value.line, ir.Name(value.line, "@enter"), (value,), ((str(key.value), value),))
    return value


def _implode(line: int, args: list[Any]) -> Any:
    if not args:
        return None
    sign, pieces = (args[0], args[1]) if len(args) > 1 else (ir.Const(line, ""), args[0])
    if isinstance(pieces, ir.Const):
        sign, pieces = pieces, sign
    return method(sign, "join", pieces)


def _map(line: int, args: list[Any]) -> Any:
    if len(args) != 2 or args[0] is None:
        return None
    func, through = args
    item = ir.Name(line, "@item")
    name = text_in(func)
    if name is not None:
        of, _, static = name.partition("::")
        inner = applied(line, f"{of}.{static}" if static else name.lower(), [item])
    elif isinstance(func, (ir.Function, ir.Name, ir.Attr)):
        inner = ir.Call(line, func, (item,))
    else:
        return None
    return ir.Each(line, "list", inner, ((item, method(through, "values"), ()),))


def applied(line: int, name: str, args: list[Any]) -> Any:
    """A call of a function by name, in the form that stands for it."""
    form = FORMS.get(name)
    made = form(line, args) if form is not None else None
    if made is not None:
        return made
    plain = call(line, name, *args)
    return plain if name in SCOPE.own or name in FUNCTIONS or "." in name else call(line, "@elsewhere", plain)


def _by_name(line: int, args: list[Any]) -> Any:
    """`call_user_func("f", $x)`, `call_user_func([$this, "f"], $x)`; of an array, what all its elements are."""
    if not args:
        return None
    func, rest = args[0], args[1:]
    name = text_in(func)
    if name is not None and "::" not in name:
        return applied(line, name.lower(), rest)
    if isinstance(func, ir.Make) and len(func.items) == 2:
        of, called = func.items[0][1], text_in(func.items[1][1])
        return ir.Call(line, ir.Attr(line, of, called), tuple(rest)) if called is not None else None
    return ir.Call(line, func, tuple(rest)) if isinstance(func, (ir.Function, ir.Attr)) and _is_method(func) else None


def _is_method(func: Any) -> bool:
    return isinstance(func, ir.Function) or not func.name.startswith("$")


def _by_array(line: int, args: list[Any]) -> Any:
    if len(args) > 1 and isinstance(args[1], ir.Make):
        return _by_name(line, [args[0], *(item for _key, item in args[1].items)])
    return None


def _merge(line: int, args: list[Any]) -> Any:
    return ir.Make(line, "dict", tuple((ir.SPREAD, item) for item in args))


def _put(line: int, args: list[Any]) -> Any:
    if len(args) < 2:
        return None
    made = [method(args[0], "append", item) for item in args[1:]]
    return made[0] if len(made) == 1 else ir.Other(line, tuple(made))


def _filled(line: int, args: list[Any]) -> Any:
    return ir.Make(line, "dict", ((ir.Name(line, "@any"), args[-1]),)) if args else None


def _compact(line: int, args: list[Any]) -> Any:
    names = [text for item in args if (text := text_in(item)) is not None]
    return ir.Make(line, "dict", tuple((ir.Const(line, name), ir.Name(line, "$" + name)) for name in names))


def _isset(line: int, args: list[Any]) -> Any:
    found: Any = None
    for item in args:
        known = isinstance(item, ir.Item) and not isinstance(item.key, (ir.Const, ir.Other))
        asked = ir.Compare(line, "in", item.key, item.of) if known else call(line, "isset", item)
        found = asked if found is None else ir.Logic(line, "and", found, asked)
    return found


def _part_of_url(line: int, args: list[Any]) -> Any:
    part = _PARTS_OF_URL.get(args[1].id, "part") if len(args) > 1 and isinstance(args[1], ir.Name) else ""
    made = call(line, "parse_url", *args[:1])
    return ir.Attr(line, made, part) if part else made


def _part_of_path(line: int, args: list[Any]) -> Any:
    part = _PARTS_OF_PATH.get(args[1].id, "dirname") if len(args) > 1 and isinstance(args[1], ir.Name) else ""
    made = call(line, "pathinfo", *args[:1])
    return ir.Attr(line, made, part) if part else made


def _digest(name: str) -> Form:
    """The digest of what is random is as random."""

    def form(line: int, args: list[Any]) -> Any:
        known = mixed(args[:1])
        return call(line, f"{name}.random", *known, *args[1:]) if known is not None else None

    return form


def _stream(line: int, args: list[Any]) -> Any:
    """What PHP calls by a name like that of a file, and is the request or the terminal."""
    name = {"php://input": "php.input", "php://stdin": "php.stdin"}.get(str(text_in(args[0])).lower()) if args else None
    return call(line, name) if name else None


def _settype(line: int, args: list[Any]) -> Any:
    whole = len(args) == 2 and str(text_in(args[1])).lower() in ("int", "integer", "float", "double", "bool", "boolean")
    return ir.Bind(line, args[0], call(line, "int", args[0])) if whole else None


def _defined(line: int, args: list[Any]) -> Any:
    name = text_in(args[0]) if len(args) > 1 else None
    return ir.Bind(line, ir.Name(line, name), args[1]) if name else None


def _parsed(line: int, args: list[Any]) -> Any:
    return ir.Bind(line, args[1], call(line, "parse_str", args[0])) if len(args) > 1 else None


def _repeated(line: int, args: list[Any]) -> Any:
    return ir.Op(line, "*", *args) if len(args) == 2 else None


def _part(name: str) -> Form:
    return lambda line, args: ir.Attr(line, call(line, name, *args), "part")


def _as(name: str) -> Form:
    return lambda line, args: call(line, name, *args)


def _of(name: str, *, more: bool = True) -> Form:
    """The method of the first argument."""
    return lambda _line, args: method(args[0], name, *(args[1:] if more else ())) if args else None


def _first(_line: int, args: list[Any]) -> Any:
    return args[0] if args else None


def _each(names: str, form: Form) -> dict[str, Form]:
    return dict.fromkeys(names.split(), form)


def _two(make: Callable[[int, Any, Any], Any]) -> Form:
    return lambda line, args: make(line, args[0], args[1]) if len(args) > 1 else None


FORMS: dict[str, Form] = {
    "implode": _implode, "join": _implode, "explode": _two(lambda _line, sign, text: method(text, "split", sign)),
    "preg_split": _two(lambda _line, _sign, text: method(text, "split")),
    **_each("str_replace str_ireplace", replaced), "preg_match": matched, "preg_match_all": matched_all,
    "preg_replace": substituted,
    **_each("htmlspecialchars htmlentities", escaped),
    **_each("in_array", _two(lambda line, item, inside: ir.Compare(line, "in", item, inside))),
    **_each("array_key_exists key_exists", _two(lambda line, key, inside: ir.Compare(line, "in", key, inside))),
    **_each("str_contains mb_str_contains", _two(lambda line, text, part: ir.Compare(line, "in", part, text))),
    "str_starts_with": _of("startswith"), "str_ends_with": _of("endswith"),
    **_each("trim ltrim rtrim chop mb_trim", _of("strip", more=False)),
    **_each("strtolower mb_strtolower lcfirst", _of("lower", more=False)),
    **_each("strtoupper mb_strtoupper ucfirst ucwords", _of("upper", more=False)),
    **_each("ctype_digit ctype_alnum ctype_alpha ctype_xdigit ctype_lower ctype_upper is_numeric is_int is_integer "
            "is_long is_float is_bool", _of("isdigit", more=False)),
    "is_string": lambda line, args: ir.Compare(line, "==", call(line, "@typeof", *args), ir.Const(line, "string")),
    "gettype": _as("@typeof"), "get_debug_type": _as("@typeof"),
    "sprintf": formatted, "vsprintf": formatted_by, "printf": printed, "vprintf": printed,
    "array_map": _map, **_each("array_merge array_replace array_merge_recursive array_replace_recursive", _merge),
    **_each("array_values array_unique array_filter array_reverse array_slice array_diff array_diff_key array_udiff "
            "iterator_to_array array_pad array_chunk array_change_key_case", _first),
    "array_keys": _of("keys", more=False), "array_push": _put, "array_unshift": _put,
    **_each("array_pop array_shift", _of("pop", more=False)), **_each("array_fill array_fill_keys", _filled),
    "method_exists": lambda line, args: call(line, "method_exists.valid", *args[1:]),
    "validate_file": lambda line, args: ir.Not(line, call(line, "validate_file.valid", *args[:1])),
    "compact": _compact, "isset": _isset, "filter_var": filtered, "filter_input": filtered_input,
    "parse_url": _part_of_url, "pathinfo": _part_of_path, "header": header,
    **{name: _digest(name) for name in ("md5", "sha1")},
    **_each("setcookie setrawcookie", cookie),
    **_each("file_get_contents fopen file stream_get_contents", _stream), "settype": _settype, "define": _defined,
    "parse_str": _parsed, "mb_parse_str": _parsed, "str_repeat": _repeated, "call_user_func": _by_name,
    "call_user_func_array": _by_array,
    **_each("intval absint floatval doubleval boolval", lambda line, args: call(line, "int", *args[:1])),
    "strval": _as("str"), "hash_equals": _as("hash_equals.valid"), "openssl_verify": _as("openssl_verify.valid"),
    **_each("sodium_crypto_auth_verify sodium_crypto_sign_verify_detached", _as("sodium.valid")),
    "sys_get_temp_dir": lambda line, _args: ir.Const(line, "/tmp"),  # noqa: S108  what the function gives
    "get_temp_dir": lambda line, _args: ir.Const(line, "/tmp/"),  # noqa: S108  what the function gives
    "dirname": lambda _line, args: args[0] if args and isinstance(args[0], ir.Const) else None,
    "realpath": lambda _line, args: args[0] if args and isinstance(args[0], ir.Const) else None,
    "iconv": lambda _line, args: args[-1] if args else None,
    **{name: _part(name) for name in _PART_OF}, "mb_convert_encoding": _first,
    "utf8_encode": _first, "utf8_decode": _first,
}  # fmt: skip
