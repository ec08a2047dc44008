"""PHP's comparisons: many functions answer with a place or with false; what is asked is whether it is there."""

from __future__ import annotations

from typing import Any

from buril.scanners._taint import ir
from buril.scanners._taint.php_names import call, method

COMPARISONS = {
    "==": "==", "===": "==", "!=": "!=", "!==": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
}  # fmt: skip
_PLACES = frozenset({"strpos", "stripos", "mb_strpos", "mb_stripos", "strrpos", "strstr", "stristr", "array_search"})
_SAME = frozenset({"strcmp", "strcasecmp", "strncmp", "strncasecmp", "strnatcmp"})
_ASKING = frozenset(
    {
        "re.search",
        "hash_equals.valid",
        "openssl_verify.valid",
        "sodium.valid",
        "filter_var.valid",
        "method_exists.valid",
    }
)
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
    if (
        isinstance(of, ir.Logic)
        and of.op == "or"
        and isinstance(of.right, ir.Const)
        and isinstance(with_what, ir.Const)
    ):
        return of.left if of.right.value != with_what.value else of
    return of


def _is_number(node: Any) -> bool:
    return isinstance(node, ir.Const) and type(node.value) in (int, float)


def _asked(line: int, operator: str, of: Any, with_what: Any) -> Any:
    """What a comparison of something with a constant says, where that is more than it seems."""
    if isinstance(of, ir.Attr) and of.name == "part":
        of = of.of
    name = of.func.id if isinstance(of, ir.Call) and isinstance(of.func, ir.Name) else ""
    equal, negative = COMPARISONS[operator] in ("==", "!="), operator in ("!=", "!==", "<>")
    if equal and name in ("substr", "mb_substr"):
        return _beginning(line, negative, of, with_what)
    if not isinstance(with_what, ir.Const):
        return None
    if equal and isinstance(of, ir.Item):
        return _sign(line, negative, of, with_what)
    no = with_what.value is False or with_what.value is None or (with_what.value == 0 and name not in _PLACES)
    if not equal:  # a count or a place that is more than nothing
        no, negative = True, operator in (">", ">=") and with_what.value in (0, 1)
        with_what = with_what._replace(value=False)
    if (name in _PLACES or name in _SAME) and len(of.args) > 1:
        known = (no or with_what.value == 0) and (equal or negative)
        return (_place if name in _PLACES else _same)(line, negative, of, with_what) if known else None
    if not equal and not negative:
        return None
    return _unless(line, negative != no, of) if _asks(of) and (no or with_what.value in (True, 1)) else None


def _same(line: int, negative: bool, of: ir.Call, with_what: ir.Const) -> Any:
    """`strcmp($a, "b") === 0`."""
    begins = of.func.id.startswith("strn")
    same = method(of.args[0], "startswith", of.args[1]) if begins else ir.Compare(line, "==", *of.args[:2])
    return _unless(line, negative, same) if with_what.value == 0 else None


def _place(line: int, negative: bool, of: ir.Call, with_what: ir.Const) -> Any:
    """Whether something is in a text or an array, or whether a text begins with it."""
    name, (first, second) = of.func.id, of.args[:2]
    if with_what.value == 0 and with_what.value is not False:
        return _unless(line, negative, method(first, "startswith", second)) if "pos" in name else None
    held = (first, second) if name == "array_search" else (second, first)
    return ir.Compare(line, "in" if negative else "not in", *held) if with_what.value is False else None


def _sign(line: int, negative: bool, of: ir.Item, with_what: ir.Const) -> Any:
    """`$text[0] === "/"` speaks of one sign, not of the text."""
    if not isinstance(of.key, ir.Const) or type(of.key.value) is not int or _is_argument(of.of):
        return None
    return _unless(line, negative, method(of.of, "startswith" if of.key.value == 0 else "endswith", with_what))


def _is_argument(node: Any) -> bool:
    return isinstance(node, ir.Name) and node.id == "$argv"


def _asks(node: Any) -> bool:
    """Whether an expression is a question, whose answer may be compared with true or false."""
    if isinstance(node, ir.Call):
        func = node.func
        return (isinstance(func, ir.Name) and func.id in _ASKING) or (
            isinstance(func, ir.Attr) and func.name in _METHODS
        )
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
