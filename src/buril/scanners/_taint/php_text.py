"""PHP's functions that look at text, change it or print it, as other forms of what `ir.py` has; for `php_calls.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from buril.scanners._taint import ir
from buril.scanners._taint.php_names import SCOPE, call, method

_FORMAT = re.compile(r"%(?:(\d+)\$)?[-+ 0]*(?:'.)?\d*(?:\.\d+)?([bcdeEfFgGhHosuxX%])")
_PLAIN_PART = re.compile(
    r"(?:(?:\[(?:[\w-]|\\[dw-])+\]|\[(?:[\d.,+-]|\\[d.-])+\]|\\[dw]|[\w|$^-])(?:[+*?]|\{\d+(?:,\d*)?\})?)*"
)
"""A pattern of nothing but letters, digits and hyphens, or of numbers."""
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<named>\(\?(?:P?<\w+>|'\w+'))|\((?P<aside>\?(?:<?[=!:]|[^)]))?|\)", re.DOTALL
)
"""What a pattern is made of, as far as it matters where its groups begin and end."""
_RANDOM = re.compile(r"^random_|randombytes|pseudo_bytes|^random\.")
_QUOTES = ("'", '"', "`", "]")
_SENT = re.compile(r"(?i)^\s*(location|access-control-allow-origin)\s*:\s*")
_NOT_A_PAGE = re.compile(r"(?i)^\s*content-type\s*:\s*(?!text/html|application/xhtml)[a-z]")
_FILTERS = {
    "FILTER_VALIDATE_INT": "valid", "FILTER_VALIDATE_FLOAT": "valid", "FILTER_VALIDATE_BOOLEAN": "valid",
    "FILTER_VALIDATE_BOOL": "valid", "FILTER_VALIDATE_IP": "valid", "FILTER_VALIDATE_MAC": "valid",
    "FILTER_VALIDATE_DOMAIN": "domain", "FILTER_VALIDATE_REGEXP": "domain", "FILTER_VALIDATE_EMAIL": "email",
    "FILTER_SANITIZE_NUMBER_INT": "number", "FILTER_SANITIZE_NUMBER_FLOAT": "number",
    "FILTER_SANITIZE_SPECIAL_CHARS": "escaped", "FILTER_SANITIZE_FULL_SPECIAL_CHARS": "escaped",
    "FILTER_SANITIZE_STRING": "escaped", "FILTER_SANITIZE_STRIPPED": "escaped", "FILTER_SANITIZE_ENCODED": "encoded",
}  # fmt: skip
_FROM = {"INPUT_GET": "$_GET", "INPUT_POST": "$_POST", "INPUT_COOKIE": "$_COOKIE", "INPUT_REQUEST": "$_REQUEST",
         "INPUT_SERVER": "$_SERVER"}  # fmt: skip


def text_in(node: Any) -> str | None:
    return node.value if isinstance(node, ir.Const) and isinstance(node.value, str) else None


def pattern_of(text: str) -> tuple[str, str]:
    """A pattern without its delimiters, and its flags; one that allows more than its ends say begins with `(?:`."""
    text = text.strip()
    if len(text) < 2:
        return text, ""
    close = {"(": ")", "[": "]", "{": "}", "<": ">"}.get(text[0], text[0])
    end = text.rfind(close)
    inner, flags = (text[1:end], text[end + 1 :]) if end > 0 else (text, "")
    depth, apart = 0, False
    for sign in re.sub(r"\\.|\[[^\]]*\]", "", inner):
        depth += (sign == "(") - (sign == ")")
        apart = apart or (sign == "|" and depth == 0)
    return (f"(?:{inner})" if apart or "m" in flags else inner), flags


def _pattern(line: int, node: Any) -> Any:
    text = text_in(node)
    return ir.Const(line, re.sub(r"\\([-_@ #/~])", r"\1", pattern_of(text)[0])) if text is not None else node


def matched(line: int, args: list[Any]) -> Any:
    """`preg_match($pattern, $text, $groups)`: what fits a group of plain signs alone is harmless."""
    return _matched(line, args, lambda held: held)


def matched_all(line: int, args: list[Any]) -> Any:
    """`preg_match_all`: with `PREG_SET_ORDER` each match has the groups, else each group the matches."""
    by_match = len(args) > 3 and isinstance(args[3], ir.Name) and args[3].id == "PREG_SET_ORDER"
    any_key = ir.Name(line, "@any")
    return _matched(line, args, lambda held: ir.Make(line, "dict", ((any_key, held),)) if by_match else held)


def _matched(line: int, args: list[Any], shape: Callable[[Any], Any]) -> Any:
    if len(args) < 2:
        return None
    asked = call(line, "re.search", _pattern(line, args[0]), args[1])
    if len(args) < 3 or not isinstance(args[2], (ir.Name, ir.Attr, ir.Item)):
        return asked
    text = text_in(args[0])
    plain = [_PLAIN_PART.fullmatch(group) is not None for group in groups(pattern_of(text)[0])] if text else [False]
    items: list[tuple[Any, Any]] = []
    if not all(plain):
        items = [(ir.Const(line, place + 1), ir.Other(line, ())) for place, known in enumerate(plain) if known]
        items.append((ir.Name(line, "@group"), args[1]))
    held = shape(ir.Make(line, "dict", tuple(items)))
    return asked._replace(args=(*asked.args, ir.Bind(line, args[2], held)))


def groups(pattern: str) -> list[str]:
    """What stands in each group of a pattern that captures, in order; a named one counts by its number only."""
    found: dict[int, str] = {}
    open_at: list[tuple[int, int]] = []
    number = 0
    for token in _TOKEN.finditer(pattern):
        if token[0].startswith("("):
            captures = token["named"] is not None or token["aside"] is None
            number += captures
            open_at.append((number if captures else 0, token.end()))
        elif token[0] == ")" and open_at:
            place, start = open_at.pop()
            if place:
                found[place] = pattern[start : token.start()]
    return [found.get(place, ".") for place in range(1, number + 1)]


def substituted(line: int, args: list[Any]) -> Any:
    if len(args) < 3:
        return None
    found, new, subject = args[:3]
    patterns = [item for _key, item in found.items] if isinstance(found, ir.Make) else [found]
    if any("e" in pattern_of(text)[1] for item in patterns if (text := text_in(item)) is not None):
        return None  # the replacement is code
    for item in patterns[:20]:
        subject = call(line, "re.sub", _pattern(line, item), ir.Const(line, "") if isinstance(new, ir.Make) else new,
                       subject)  # fmt: skip
    outside = [item for item in patterns if text_in(item) is None]
    return ir.Other(line, (subject, call(line, "preg_pattern", *outside))) if outside else subject


def filtered(line: int, args: list[Any]) -> Any:
    if len(args) < 2:
        return args[0] if args else None
    kind = args[1].id if isinstance(args[1], ir.Name) else ""
    name = _FILTERS.get(kind, "kept")
    if name == "domain" and kind.endswith("REGEXP"):
        return _by_pattern(line, args)
    return call(line, f"filter_var.{name}", args[0])


def _by_pattern(line: int, args: list[Any]) -> Any:
    """`filter_var($x, FILTER_VALIDATE_REGEXP, ["options" => ["regexp" => "/^…$/"]])`."""
    options = args[2] if len(args) > 2 else None
    while isinstance(options, ir.Make) and options.items:
        key, options = options.items[0]
        if isinstance(key, ir.Const) and key.value == "regexp" and text_in(options) is not None:
            plain, _flags = pattern_of(str(options.value))
            anchored = plain.startswith("^") and plain.endswith("$") and ".*" not in plain
            return call(line, "filter_var.valid" if anchored else "filter_var.kept", args[0])
    return call(line, "filter_var.kept", args[0])


def filtered_input(line: int, args: list[Any]) -> Any:
    if len(args) < 2 or not isinstance(args[0], ir.Name):
        return None
    value = ir.Item(line, ir.Name(line, _FROM.get(args[0].id, "$_GET")), args[1])
    return filtered(line, [value, *args[2:]])


def formatted(line: int, args: list[Any]) -> Any:
    """A format that stands in the program: numbers are numbers."""
    text = text_in(args[0]) if args else None
    if text is None:
        return None
    parts: list[Any] = []
    end = place = 0
    for found in _FORMAT.finditer(text):
        parts.append(ir.Const(line, text[end : found.start()]))
        end, kind = found.end(), found[2]
        if kind == "%":
            parts.append(ir.Const(line, "%"))
            continue
        number_of = int(found[1]) if found[1] else place + 1
        place += not found[1]
        value = args[number_of] if number_of < len(args) else ir.Other(line, ())
        parts.append(value if kind == "s" else call(line, "int", value))
    parts.append(ir.Const(line, text[end:]))
    return ir.Text(line, tuple(part for part in parts if not isinstance(part, ir.Const) or part.value != ""))


def formatted_by(line: int, args: list[Any]) -> Any:
    if len(args) > 1 and isinstance(args[1], ir.Make):
        return formatted(line, [args[0], *(item for _key, item in args[1].items)])
    return None


def printed(line: int, args: list[Any]) -> Any:
    made = formatted(line, args)
    return call(line, "echo.plain" if SCOPE.plain else "echo", made if made is not None else ir.Text(line, tuple(args)))


def replaced(line: int, args: list[Any]) -> Any:
    if len(args) < 3:
        return None
    found, new, subject = args[:3]
    items = [item for _key, item in found.items[:20]] if isinstance(found, ir.Make) else [found]
    doubled = len(items) == 1 and text_in(items[0]) in _QUOTES and text_in(new) == 2 * str(text_in(items[0]))
    if doubled:  # how databases escape what stands between two of them
        return call(line, "str_replace.doubled", subject)
    for item in items:
        subject = method(subject, "replace", item, ir.Const(line, "") if isinstance(new, ir.Make) else new)
    plain = any(text_in(item) in (".", "/") for item in items)
    return call(line, "str_replace.path", subject) if plain and text_in(new) in ("", "-", "_") else subject


def escaped(line: int, args: list[Any]) -> Any:
    """What `htmlspecialchars` leaves as it is, by its second argument."""
    flags = args[1].id if len(args) > 1 and isinstance(args[1], ir.Name) else ""
    left = {"ENT_COMPAT": "htmlspecialchars.double", "ENT_NOQUOTES": "strip_tags"}.get(flags)
    return call(line, left, args[0]) if left else None


def header(line: int, args: list[Any]) -> Any:
    """What a header says depends on its name: what comes after the name is given to a call of that name."""
    if not args:
        return None
    first = args[0].parts[0] if isinstance(args[0], ir.Text) else args[0]
    text = text_in(first)
    if text is None:
        return None
    SCOPE.plain = SCOPE.plain or _NOT_A_PAGE.match(text) is not None
    found = _SENT.match(text)
    if found is None or not isinstance(args[0], ir.Text):
        return None
    rest = (ir.Const(line, text[found.end() :]), *args[0].parts[1:])
    kept = tuple(part for part in rest if not isinstance(part, ir.Const) or part.value != "")
    value = kept[0] if len(kept) == 1 else ir.Text(line, kept)
    return call(line, "header.location" if found[1].lower() == "location" else "header.origin", value)


def cookie(line: int, args: list[Any]) -> Any:
    """A cookie whose settings come from elsewhere."""
    elsewhere = len(args) == 3 and isinstance(args[2], (ir.Attr, ir.Item, ir.Name, ir.Call))
    return call(line, "setcookie.elsewhere", *args) if elsewhere and not _is_time(args[2]) else None


def _is_time(node: Any) -> bool:
    name = node.id if isinstance(node, ir.Name) else node.func.id if isinstance(node, ir.Call) and isinstance(
        node.func, ir.Name) else ""  # fmt: skip
    return re.search(r"(?i)time|expir|until|date|^int$|age|^\$exp", name) is not None


def mixed(parts: list[Any]) -> list[Any] | None:
    """Expressions of which one holds what nobody can guess: what could be guessed beside it does no harm. Else None."""
    return [_without_guessable(part) for part in parts] if any(_is_random(part) for part in parts) else None


def _is_random(node: Any) -> bool:
    name, inner = _call_of(node)
    return _RANDOM.search(name) is not None or any(_is_random(part) for part in inner)


def _call_of(node: Any) -> tuple[str, tuple[Any, ...]]:
    """The name of a function that is called, and what it is given; of text, its parts."""
    if isinstance(node, ir.Call) and isinstance(node.func, ir.Name):
        return node.func.id, node.args
    return "", node.parts if isinstance(node, (ir.Text, ir.Other)) else ()


def _without_guessable(node: Any) -> Any:
    name, inner = _call_of(node)
    if name in ("uniqid", "microtime", "time", "rand", "mt_rand"):
        return ir.Other(node.line, ())
    kept = tuple(_without_guessable(part) for part in inner)
    return node._replace(args=kept) if name else node._replace(parts=kept) if inner else node
