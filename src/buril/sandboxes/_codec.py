"""Plain Python values as typed JSON and back: what crosses the border of a sandbox, in both directions.

Only exact built-in types cross. An instance of a subclass or of any other class has no encoding, so an object whose
`__eq__` always says True never reaches the judge; the judge compares plain data that it parsed itself. Three subclasses
of dict in the standard library that programs return where a dict is meant (`defaultdict`, `OrderedDict`, `Counter`)
cross as the dict they hold. Never pickle.
"""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 40
MAX_JSON_INT = 1 << 53
_PLAIN = (type(None), bool, str)
_DICTS = (dict, defaultdict, OrderedDict, Counter)


@dataclass(frozen=True)
class Encoded:
    """A value that is typed JSON already, such as an answer that is handed on as it came."""

    data: Any


class Unencodable(ValueError):
    """A value that is not plain data, or nests too deep."""


def encode(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911  one return a kind of value reads best
    """A value as what JSON can say: lists stay lists, all else that JSON lacks becomes `{type: …}`.

    Raises:
        Unencodable: for a value of another class, or deeper than 40 levels (so also one that holds itself).
    """
    kind = type(value)
    if depth > MAX_DEPTH:
        raise Unencodable("nested too deep")
    if kind is Encoded:
        return value.data
    if kind in _PLAIN:
        return value
    if kind is int:
        return value if -MAX_JSON_INT < value < MAX_JSON_INT else {"int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind is complex:
        return {"complex": [encode(value.real), encode(value.imag)]}
    if kind is bytes:
        return {"bytes": value.hex()}
    if kind is list:
        return [encode(item, depth + 1) for item in value]
    if kind in _DICTS:
        return {"dict": [[encode(key, depth + 1), encode(item, depth + 1)] for key, item in dict.items(value)]}
    if kind in (tuple, set, frozenset):
        return {kind.__name__: [encode(item, depth + 1) for item in value]}
    raise Unencodable(f"a value of type {kind.__name__} is not plain data")


def decode(data: Any) -> Any:
    """The value that `encode` was given. For trusted data only: a set is built as it stands."""
    if isinstance(data, list):
        return [decode(item) for item in data]
    if not isinstance(data, dict):
        return data
    ((kind, inner),) = data.items()
    if kind == "dict":
        return {decode(key): decode(item) for key, item in inner}
    makers: dict[str, Any] = {
        "int": lambda text: int(text, 16),
        "float": float,
        "bytes": bytes.fromhex,
        "complex": lambda parts: complex(decode(parts[0]), decode(parts[1])),
        "tuple": lambda items: tuple(map(decode, items)),
        "set": lambda items: set(map(decode, items)),
        "frozenset": lambda items: frozenset(map(decode, items)),
    }
    return makers[kind](inner)


def same(got: Any, expected: Any) -> bool:
    """Whether two *encoded* values are equal as Python's `==` would say of the plain values, with two differences.

    A bool equals only a bool, and floats may differ by one part in 10^9 (summation order). `got` is untrusted: it is
    read as data, nothing in it is built or called. NaN equals NaN.
    """
    if isinstance(expected, bool) or isinstance(got, bool) or expected is None or got is None:
        return got is expected
    wanted, given = _number(expected), _number(got)
    if wanted is not None or given is not None:
        return wanted is not None and given is not None and _close(given, wanted)
    if isinstance(expected, str) or isinstance(got, str):
        return bool(got == expected)
    if isinstance(expected, list) or isinstance(got, list):
        return isinstance(got, list) and isinstance(expected, list) and _all_same(got, expected)
    return isinstance(got, dict) and _same_tagged(got, expected)


def _same_tagged(got: dict[str, Any], expected: dict[str, Any]) -> bool:
    ((kind, wanted),) = expected.items()
    if kind in ("set", "frozenset"):  # Python says {1} == frozenset({1})
        inner = got.get("set", got.get("frozenset")) if len(got) == 1 else None
        return isinstance(inner, list) and {*map(_text, inner)} == {*map(_text, wanted)}
    if list(got) != [kind] or not isinstance(got[kind], list if isinstance(wanted, list) else str):
        return False
    if kind == "dict":
        pairs = [item for item in got[kind] if isinstance(item, list) and len(item) == 2]
        given = {_text(key): item for key, item in pairs}
        keys = {_text(key): item for key, item in wanted}
        return (
            len(pairs) == len(got[kind])
            and given.keys() == keys.keys()
            and all(same(given[key], item) for key, item in keys.items())
        )
    if kind == "bytes":
        return bool(got[kind] == wanted)
    return _all_same(got[kind], wanted)


def _all_same(got: list[Any], expected: list[Any]) -> bool:
    return len(got) == len(expected) and all(map(same, got, expected))


def _number(data: Any) -> int | float | None:
    if isinstance(data, int | float) and not isinstance(data, bool):
        return data
    if isinstance(data, dict) and len(data) == 1:
        ((kind, text),) = data.items()
        try:
            if kind == "int" and isinstance(text, str):
                return int(text, 16)
            if kind == "float" and isinstance(text, str):
                return float(text)
        except ValueError:
            return None
    return None


def _close(got: int | float, expected: int | float) -> bool:
    if isinstance(got, int) and isinstance(expected, int):
        return got == expected
    try:
        a, b = float(got), float(expected)
    except OverflowError:
        return False
    return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


def _text(data: Any) -> str:
    """One text per value, so that 1 and 1.0 are the same member or key; the nesting stays as parsed."""
    number = _number(data)
    if number is not None:
        whole = isinstance(number, int) or (math.isfinite(number) and number == int(number))
        return f"n{hex(int(number))}" if whole else f"n{number!r}"
    if isinstance(data, list):
        return "[" + ",".join(map(_text, data)) + "]"
    if isinstance(data, dict):
        return "{" + ",".join(f"{key}:{_text(item)}" for key, item in data.items()) + "}"
    return json.dumps(data)


def show(data: Any, width: int = 200) -> str:
    """An encoded value as a person would write it, cut at `width` characters."""
    text = _show(data)
    return text if len(text) <= width else text[: width - 1] + "…"


def _show(data: Any) -> str:  # noqa: PLR0911  one return a kind of value reads best
    number = _number(data)
    if number is not None:
        return repr(number) if isinstance(number, float) or abs(number) < MAX_JSON_INT else hex(number)
    if isinstance(data, list):
        return "[" + ", ".join(map(_show, data)) + "]"
    if not isinstance(data, dict) or len(data) != 1:
        return repr(data)
    ((kind, inner),) = data.items()
    if not isinstance(inner, list):
        return f"{kind}({inner!r})"
    if kind == "dict":
        return "{" + ", ".join(": ".join(map(_show, item)) if isinstance(item, list) else "?" for item in inner) + "}"
    body = ", ".join(map(_show, inner))
    if kind == "tuple":
        return f"({body},)" if len(inner) == 1 else f"({body})"
    return f"{{{body}}}" if kind == "set" and inner else f"{kind}({body})"
