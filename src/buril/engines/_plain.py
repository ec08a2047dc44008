"""Jobs and results as JSON, so that processes which share nothing but a disk can hand them on.

Never pickles: reading one runs whatever it says, and a shared disk has many writers. Here reading makes named tuples,
dataclasses and settings of buril and of its plugins' packages, numpy arrays, paths and plain values; functions are
named, and only those of the same packages are found.
"""

from __future__ import annotations

import base64
import importlib
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from buril.core.plugins import KINDS
from buril.core.settings import Settings


def dumps(value: Any) -> str:
    """A value as one line of JSON, the same line for equal values.

    Raises:
        TypeError: for a value of another kind than the module's text names.
    """
    return json.dumps(_plain(value), separators=(",", ":"))


def loads(line: str) -> Any:
    """The value of a line.

    Raises:
        ValueError: when it names what is not buril's or a plugin's.
    """
    return _value(json.loads(line))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    for kind, tag, encode in _ENCODERS:
        if isinstance(value, kind):
            return {tag: encode(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return _record(value, {field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, Settings):
        return _record(value, {name: getattr(value, name) for name in type(value).model_fields})
    raise TypeError(f"a value of type {type(value).__name__}")


def _record(value: Any, named: dict[str, Any]) -> dict[str, Any]:
    return {"record": _name(type(value)), "of": {name: _plain(item) for name, item in named.items()}}


def _tuple(value: tuple[Any, ...]) -> Any:
    return [_plain(item) for item in value]


def _array(value: Any) -> str:
    stream = io.BytesIO()
    np.save(stream, np.asarray(value), allow_pickle=False)
    return base64.b64encode(zlib.compress(stream.getvalue(), 1)).decode()


def _named(value: Any) -> list[Any]:
    return [_name(type(value)), [_plain(item) for item in value]]


class _NamedTuple(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, tuple) and hasattr(value, "_fields")


class _AnyNamedTuple(metaclass=_NamedTuple):
    """Stands for all of them in the table below."""


def _partial(value: partial[Any]) -> list[Any]:
    return [_plain(value.func), [_plain(item) for item in value.args], _plain(value.keywords)]


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if "record" in plain:
        return _found(plain["record"], type)(**{name: _value(item) for name, item in plain["of"].items()})
    ((tag, held),) = plain.items()
    return _DECODERS[tag](held)


def _unnamed(held: Any) -> Any:
    return _found(held[0], type)(*(_value(item) for item in held[1]))


def _unpartial(held: Any) -> Any:
    return partial(_value(held[0]), *(_value(item) for item in held[1]), **_value(held[2]))


def _unarray(held: str) -> Any:
    array = np.load(io.BytesIO(zlib.decompress(base64.b64decode(held))), allow_pickle=False)
    return array if array.ndim else array[()]


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "named": _unnamed,
    "tuple": lambda held: tuple(_value(item) for item in held),
    "dict": lambda held: {_value(key): _value(item) for key, item in held},
    "frozenset": lambda held: frozenset(_value(item) for item in held),
    "set": lambda held: {_value(item) for item in held},
    "bytes": base64.b64decode,
    "path": Path,
    "array": _unarray,
    "partial": _unpartial,
    "function": lambda held: _found(held, FunctionType),
}


def _name(value: Any) -> str:
    if "<" in value.__qualname__:
        raise TypeError(f"{value.__qualname__}, which stands in no module")
    _package(value.__module__)
    return f"{value.__module__}:{value.__qualname__}"


_ENCODERS: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = (
    (_AnyNamedTuple, "named", _named),
    (tuple, "tuple", _tuple),
    (dict, "dict", lambda value: [[_plain(key), _plain(item)] for key, item in value.items()]),
    (frozenset, "frozenset", lambda value: sorted((_plain(item) for item in value), key=json.dumps)),
    (set, "set", lambda value: sorted((_plain(item) for item in value), key=json.dumps)),
    (bytes, "bytes", lambda value: base64.b64encode(value).decode()),
    (Path, "path", str),
    (np.ndarray | np.generic, "array", _array),
    (partial, "partial", _partial),
    (FunctionType, "function", _name),
)


def _found(name: str, kind: type) -> Any:
    module, _colon, inner = name.partition(":")
    _package(module)
    value: Any = importlib.import_module(module)
    for part in inner.split("."):
        value = getattr(value, part)
    record = isinstance(value, type) and (
        issubclass(value, Settings) or is_dataclass(value) or (issubclass(value, tuple) and hasattr(value, "_fields"))
    )
    if not isinstance(value, kind) or (kind is type and not record):
        raise ValueError(f"{name} is not what a job is made of")
    return value


def _package(module: str) -> None:
    if module.split(".", maxsplit=1)[0] not in _known():
        raise TypeError(f"{module}, which is neither buril's nor a plugin's")


@cache
def _known() -> frozenset[str]:
    """The packages whose classes and functions may be named: buril's own, and those that offer plugins."""
    points = [point for kind in KINDS for point in metadata.entry_points(group=f"buril.{kind}")]
    return frozenset({"buril", *(point.value.split(".")[0].split(":")[0] for point in points)})
