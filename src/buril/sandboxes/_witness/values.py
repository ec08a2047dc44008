"""Arguments as a plan describes them, and values as plain data that can be compared."""

from __future__ import annotations

import io
import json
import os
import pickle
import pickletools
import sqlite3
import tarfile
import types
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

from buril.sandboxes._witness.database import connection, told
from buril.sandboxes._witness.scene import CANARY, MARK, ROOT, scene
from buril.sandboxes._witness.unknown import Unknown
from buril.sandboxes._witness.web import Answer, Request

_DEPTH, _ITEMS = 6, 60
_CALLING = frozenset({"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ"})


class Text(io.StringIO):
    """A stream of text that tells how much of it was asked for."""

    def read(self, size: int | None = -1) -> str:
        """What was asked for."""
        scene.say("read", "size", size)
        return super().read(size)


class Bytes(io.BytesIO):
    """A stream of bytes that tells how much of it was asked for."""

    def read(self, size: int | None = -1) -> bytes:
        """What was asked for."""
        scene.say("read", "size", size)
        return super().read(size)


class Evil:
    """What a pickle makes a mark with."""

    def __reduce__(self) -> Any:
        return os.mkdir, (MARK,)


def made(spec: dict[str, Any]) -> Any:
    """The argument that a plan describes.

    Raises:
        KeyError: for a kind that is not known.
    """
    return _MAKERS[spec["kind"]](spec)


def _packed(spec: dict[str, Any]) -> Any:
    """A value in the form that this text reads; an attack is what that form can be made to do."""
    text = scene.text
    value, hostile = spec.get("value"), bool(spec.get("hostile"))
    if "yaml" in text:
        data = b"!!python/object/apply:os.mkdir [mark]" if hostile else json.dumps(value).encode()
    elif (
        "json" in text
        and not ("pickle" in text and hostile)
        and not ("pickle.load" in text and "json.load" not in text)
    ):
        data = json.dumps(value).encode() if not hostile else pickle.dumps(Evil())
    elif any(name in text for name in ("pickle", "marshal", "shelve", "dill")):
        data = pickle.dumps(Evil() if hostile else value)
    else:
        data = json.dumps(value).encode() if not hostile else pickle.dumps(Evil())
    if spec.get("coded"):
        import base64

        data = base64.b64encode(data)
    return data.decode("latin-1") if spec.get("text") else data


def _callable(spec: dict[str, Any]) -> Any:
    def given(*args: Any, **told: Any) -> Any:
        scene.calls.append(["a given function", list(args), told])
        if spec.get("raises"):
            raise RuntimeError(spec["raises"])
        return spec.get("value")

    return given


def _archive(spec: dict[str, Any]) -> Any:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name in spec["names"]:
            member = tarfile.TarInfo(name)
            member.size = 5
            archive.addfile(member, io.BytesIO(b"alpha"))
    held.seek(0)
    return tarfile.open(fileobj=held)


def _named(spec: dict[str, Any]) -> Any:
    """An object with attributes, and anything else."""
    found = Unknown(spec["name"])
    found.__dict__.update({name: made(item) for name, item in spec.get("attributes", {}).items()})
    return found


_MAKERS: dict[str, Any] = {
    "plain": lambda spec: spec["value"],
    "bytes": lambda spec: spec["value"].encode("latin-1"),
    "set": lambda spec: set(spec["value"]),
    "tuple": lambda spec: tuple(spec["value"]),
    "list": lambda spec: [made(item) for item in spec["items"]],
    "dict": lambda spec: {key: made(item) for key, item in spec["items"].items()},
    "path": lambda spec: Path(spec["value"]),
    "stream": lambda spec: (Bytes if spec.get("binary") else Text)(
        spec["value"].encode("latin-1") if spec.get("binary") else spec["value"]
    ),
    "db": lambda _spec: connection(),
    "cursor": lambda _spec: connection().cursor(),
    "request": lambda _spec: Request(),
    "answer": lambda _spec: Answer(),
    "packed": _packed,
    "callable": _callable,
    "archive": _archive,
    "named": _named,
    "object": lambda _spec: types.SimpleNamespace(title="alpha"),
}


def unpacked(data: bytes) -> Any:
    """What a file holds, as a value where it is JSON or a pickle of plain data; else as text."""
    try:
        if data[:1] in (b"[", b"{", b'"'):
            return {"json": json.loads(data)}
    except ValueError:
        pass
    if data[:1] == b"\x80" and data[-1:] == b".":
        try:
            if not any(code.name in _CALLING for code, _argument, _place in pickletools.genops(data)):
                return {"json": pickle.loads(data)}  # noqa: S301  plain data, in the jail
        except (ValueError, pickle.UnpicklingError, EOFError):
            pass
    return data.decode("latin-1")


def plain(value: Any, depth: int = 0) -> Any:  # noqa: PLR0911  one return a kind of value reads best
    """A value as JSON that says what it is; what is not data is told by its type and its attributes."""
    if depth > _DEPTH:
        return {"deep": type(value).__name__}
    if value is None or isinstance(value, bool | int | float):
        return value if not isinstance(value, float) else {"float": repr(value)}
    if isinstance(value, str):
        return _hidden(str.__str__(value))
    if isinstance(value, bytes | bytearray):
        return {"bytes": _hidden(bytes(value).decode("latin-1"))}
    if isinstance(value, Unknown):
        return {"unknown": value._name}
    if isinstance(value, PurePath):
        return {"path": str(value)}
    if isinstance(value, dict):
        pairs = [[plain(key, depth + 1), plain(item, depth + 1)] for key, item in islice(value.items(), _ITEMS)]
        return {"dict": sorted(pairs, key=lambda pair: json.dumps(pair[0]))}
    if isinstance(value, list | tuple):
        return {
            type(value).__name__ if type(value) in (list, tuple) else "tuple": [
                plain(item, depth + 1) for item in value[:_ITEMS]
            ]
        }
    if isinstance(value, set | frozenset):
        return {"set": sorted((plain(item, depth + 1) for item in value), key=json.dumps)}
    if isinstance(value, sqlite3.Connection):
        return {"database": told(value)}
    if isinstance(value, Iterator) and not isinstance(value, io.IOBase):
        return {"iterator": [plain(item, depth + 1) for item in islice(value, _ITEMS)]}
    return _object(value, depth)


def _object(value: Any, depth: int) -> Any:
    if isinstance(value, io.IOBase):
        return {"stream": "" if value.closed or not value.readable() else plain(value.read(), depth + 1)}
    if isinstance(value, type | types.FunctionType | types.ModuleType | types.BuiltinFunctionType):
        return {"named": getattr(value, "__name__", "?")}
    held = getattr(value, "__dict__", None)
    shown = {"is": type(value).__name__}
    if isinstance(held, dict) and held:
        shown["has"] = plain({key: item for key, item in held.items() if not key.startswith("__")}, depth + 1)
    elif "__str__" in vars(type(value)):
        shown["says"] = str(value)
    return shown


def _hidden(text: str) -> str:
    """Text in which a digest stands as a name of what was hashed, where the kind of hash is not to count."""
    if not scene.masked:
        return text
    import base64

    for raw, name in scene.digests:
        for form in (
            raw.hex(),
            base64.b64encode(raw).decode(),
            base64.urlsafe_b64encode(raw).decode(),
            raw.decode("latin-1"),
        ):
            text = text.replace(form, f"<digest {name}>")
    return text


__all__ = ["CANARY", "ROOT", "made", "plain", "unpacked"]
