"""What is in a variable after a call has put something there: decoders, readers, builders of text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from buril.scanners._taint import ir
from buril.scanners._taint.builtin import pieces
from buril.scanners._taint.ir import NOTHING
from buril.scanners._taint.rules import Fill, Given
from buril.scanners._taint.value import ALL, EMPTY, Taint, Value

TEXT = "@text"
"""The slot of a builder that holds its text so far."""
_BUILDERS = ("Builder", "Buffer", "Buffer()", "BufferString()")


def place_of(node: Any) -> Any:
    """What an argument stands for: that whose address it is, or that which it is a part of."""
    if isinstance(node, ir.Call) and isinstance(node.func, ir.Name) and node.func.id == "@ref" and node.args:
        return place_of(node.args[0])
    if isinstance(node, ir.Item) and isinstance(node.key, ir.Other):
        return place_of(node.of)
    return node


def read_by(fill: Fill, given: Given, path: str, line: int) -> frozenset[Taint]:
    """The inputs that a call puts somewhere."""
    if fill.label:
        return frozenset([Taint(f"{path}:{line}", fill.label, line, fill.origin)])
    every: list[Value | None] = [*given.values()]
    values = every if ALL in fill.places else [given.at(place) for place in fill.places]
    return frozenset(taint for value in values if value is not None for taint in value.inside())


def filled(value: Value, taints: frozenset[Taint], texts: Sequence[Value] | None = None, depth: int = 3) -> Value:
    """A value after something was put there, perhaps inputs: a number carries none, each field is one of its own.

    Args:
        value: before; what it holds at first says of which kind it is.
        taints: the inputs that may be in it.
        texts: what is added to its text; None where it is no text that grows.
        depth: structs within structs that are gone into.
    """
    if texts is not None:
        return _longer(value, texts)
    if isinstance(value.const, (bool, int, float)) or value.path == "@numeric":
        return EMPTY
    of_class = value.owner.parts if value.owner is not None and value.path.startswith("@object") else None
    fields = {
        name: part
        for name, part in {**(of_class or {}), **(value.parts or {})}.items()
        if isinstance(name, str) and not (part.code is not None and isinstance(part.code[0], ir.Function))
    }
    if depth and fields:
        parts = {name: filled(part, _named(taints, f".{name}"), None, depth - 1) for name, part in fields.items()}
        return value.but(const=NOTHING, parts={**(value.parts or {}), **parts}, taints=frozenset(), lead="")
    anything = (
        value.const is None
        or value.path == "@anything"
        or re.search(r"\.(M|D|H|Map)$", value.path)
        or (value.rest is not None and value.rest.const is None)
    )
    inner = Value(taints=_named(taints, "(json)") if anything else taints)
    if value.parts is not None:
        return Value(parts={}, rest=inner, path=value.path)
    return inner.but(path=value.path if not value.path.startswith("@zeros") else "", owner=value.owner)


def _named(taints: frozenset[Taint], more: str) -> frozenset[Taint]:
    return frozenset(taint._replace(id=f"{taint.id}{more}") for taint in taints)


def _longer(value: Value, texts: Sequence[Value]) -> Value:
    """A builder of text after something was written to it; what is none stays as it is."""
    if not value.path.endswith(_BUILDERS):
        return value
    before = (value.parts or {}).get(TEXT)
    parts = [*([before] if before is not None else []), *texts]
    if all(isinstance(part.const, (str, int)) for part in parts):
        text = "".join(str(part.const) for part in parts)
        made = Value(const=text, lead=text)
    else:
        made = pieces(parts)
    return value.but(parts={**(value.parts or {}), TEXT: made})
