"""PHP's comparisons: many of its functions answer with a place or with false, and what is asked is whether it is there."""

from __future__ import annotations

from typing import Any

from buril.scanners._taint import ir
from buril.scanners._taint.php_names import call, method

COMPARISONS = {
    "==": "==", "===": "==", "!=": "!=", "!==": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
}  # fmt: skip
_PLACES = frozenset({"strpos", "stripos", "mb_strpos", "mb_stripos", "strrpos", "strstr", "stristr", "array_search"})
_SAME = frozenset({"strcmp", "strcasecmp", "strncmp", "strncasecmp", "strnatcmp"})
_ASKING = frozenset({"re.search", "hash_equals.valid", "openssl_verify.valid", "sodium.valid", "filter_var.valid"})
_METHODS = frozenset({"isdigit", "startswith", "endswith"})


def compared(line: int, operator: str, left: Any, right: Any) -> Any:
    """A comparison, or what it asks: `strpos($a, "b") !== false` is whether `b` is in `$a`."""
    left, right = _without_default(left, right), _without_default(right, left)
    found = _asked(line, operator, left, right)
    if found is None:
        found = _asked(line, {">": "<", "<": ">", ">=": "<=", "<=": ">="}.get(operator, operator), right, left)
    if found is not None:
        return found
    if operator in ("==", "!=", "<>") and any(_is_number(side) for side in (left, right)):
        return ir.Other(line, (call(line, "int", left), call(line, "int", right)))  # "1 or more" == 1
    return ir.Compare(line, COMPARISONS[operator], left, right)


def _without_default(of: Any, with_what: Any) -> Any:
    """`($a ?? "") !== "b"` speaks of `$a`."""
    if isinstance(of, ir.Logic) and of.op == "or" and isinstance(of.right, ir.Const) and isinstance(with_what, ir.Const):
        return of.left if of.right.value != with_what.value else of
    return of


def _is_number(node: Any) -> bool:
    return isinstance(node, ir.Const) and type(node.value) in (int, float)


def _asked(line: int, operator: str, of: Any, with_what: Any) -> Any:
    """What a comparison of something with a constant says, where that is more than it seems."""
    if isinstance(of, ir.Attr) and of.name == "part":
        of = of.of
    name = of.func.id if isinstance(of, ir.Call) and isinstance(of.func, ir.Name) else ""
    negative = operator in ("!=", "!==", "<>")
    if COMPARISONS[operator] in ("==", "!=") and name in ("substr", "mb_substr"):
        return _beginning(line, negative, of, with_what)
    if not isinstance(with_what, ir.Const):
        return None
    if isinstance(of, ir.Item) and isinstance(of.key, ir.Const) and type(of.key.value) is int and COMPARISONS[operator] in ("==", "!="):
        asked = "startswith" if of.key.value == 0 else "endswith"  # one sign of a text
        return _unless(line, negative, method(of.of, asked, with_what)) if not _is_argument(of.of) else None
    no = with_what.value is False or with_what.value is None or (with_what.value == 0 and name not in _PLACES)
    if COMPARISONS[operator] not in ("==", "!="):  # a count or a place that is more than nothing
        no, negative = True, operator in (">", ">=") and with_what.value in (0, 1)
        if not negative:
            return None
    if name in _PLACES and len(of.args) > 1:
        if no and with_what.value is not None:
            held = of.args[1], of.args[0]
            if name == "array_search":
                held = of.args[0], of.args[1]
            return ir.Compare(line, "in" if negative else "not in", *held)
        if with_what.value == 0 and "pos" in name:
            return _unless(line, negative, method(of.args[0], "startswith", of.args[1]))
        return None
    if name in _SAME and len(of.args) > 1 and with_what.value == 0:
        begins = name.startswith("strn")
        same = method(of.args[0], "startswith", of.args[1]) if begins else ir.Compare(line, "==", *of.args[:2])
        return _unless(line, negative, same)
    if _asks(of) and (no or with_what.value in (True, 1)):
        return _unless(line, negative != no, of)
    return None


def _is_argument(node: Any) -> bool:
    return isinstance(node, ir.Name) and node.id == "$argv"


def _asks(node: Any) -> bool:
    """Whether an expression is a question, whose answer may be compared with true or false."""
    if isinstance(node, ir.Call):
        func = node.func
        return (isinstance(func, ir.Name) and func.id in _ASKING) or (isinstance(func, ir.Attr) and func.name in _METHODS)
    return isinstance(node, (ir.Not, ir.Logic)) or (isinstance(node, ir.Compare) and node.op in ("in", "not in"))


def _beginning(line: int, negative: bool, of: ir.Call, with_what: Any) -> Any:
    """`substr($a, 0, 3) === "abc"`."""
    if not of.args:
        return None
    start = of.args[1].value if len(of.args) > 1 and isinstance(of.args[1], ir.Const) else None
    name = "startswith" if start == 0 else "endswith"
    return _unless(line, negative, method(of.args[0], name, with_what))


def _unless(line: int, negative: bool, node: Any) -> Any:
    return ir.Not(line, node) if negative else node
