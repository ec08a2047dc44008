"""What stands for a module, a name or an object that is not there: it answers anything, and notes what it is asked."""

from __future__ import annotations

import importlib
import re
import sys
import types
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from typing import Any, cast

from buril.sandboxes._witness.scene import ROOT, SAYS, scene

_SQL = re.compile(
    r"^\s*(?:select|insert|update|delete|replace|with|create|drop|alter|pragma|call|exec)\b", re.IGNORECASE
)
_HOLE = re.compile(r"\?|%\((\w+)\)s|%s|(?<![:\w]):(\w+)|\$(\d+)")
_ERROR = re.compile(r"(?:Error|Exception|Warning|Exists|NotFound|Timeout)$")
_BINARY = ("add", "radd", "sub", "rsub", "mul", "rmul", "mod", "rmod", "truediv", "rtruediv", "floordiv", "and", "or")
_COMPARED = ("lt", "le", "gt", "ge")


class Unknown:
    """Anything. What is called is noted by name, with its arguments; what comes of it is unknown again."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        found = type(name, (Exception,), {}) if _ERROR.search(name) else type(self)(f"{self._name}.{name}")
        self.__dict__[name] = found
        return found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and isinstance(args[0], types.FunctionType | type):
            return args[0]  # a decorator
        note(self._name, args, kwargs)
        return type(self)(f"{self._name}()")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in SAYS:
            scene.say(self._name, name, value)
        else:
            scene.calls.append([f"{self._name}.{name} =", [value], {}])
        self.__dict__[name] = value

    def __setitem__(self, key: Any, value: Any) -> None:
        scene.calls.append([f"{self._name}[] =", [key, value], {}])

    def __getitem__(self, key: Any) -> Any:
        return type(self)(f"{self._name}[{key!r}]")

    def __iter__(self) -> Iterator[Any]:
        return iter([type(self)(f"{self._name}[{number}]") for number in range(2)])

    def __enter__(self) -> Unknown:
        return self

    def __exit__(self, *problem: object) -> None:
        return None

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return ()

    def __instancecheck__(self, value: object) -> bool:
        return False

    def __str__(self) -> str:
        return f"<{self._name}>"

    __repr__ = __str__

    def __format__(self, form: str) -> str:
        return str(self)

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return 2

    def __int__(self) -> int:
        return 7

    __index__ = __int__

    def __float__(self) -> float:
        return 7.0

    def __fspath__(self) -> str:
        return f"{ROOT}/notes.txt"

    def __contains__(self, item: object) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unknown) and other._name == self._name

    def __hash__(self) -> int:
        return hash(self._name)


def _operators() -> None:
    def binary(sign: str) -> Any:
        return lambda self, other: Unknown(
            f"{self._name} {sign} {other if type(other) is not Unknown else other._name}"
        )

    for name in _BINARY:
        setattr(Unknown, f"__{name}__", binary(name))
    for name in _COMPARED:
        setattr(Unknown, f"__{name}__", lambda self, other: True)


_operators()


def note(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Note a call; what it says of care goes apart, and a query with its parameters becomes the text that it means."""
    told = {}
    for key, value in kwargs.items():
        if key in SAYS:
            scene.say(name, key, value)
        else:
            told[key] = value
    for key in ("timeout", "filter"):
        if key not in kwargs:
            scene.say(name, key, None)
    given = list(args)
    if given and isinstance(given[0], str) and _SQL.match(given[0]):
        scene.sql.append(given[0])
        holes = [item if isinstance(item, list | tuple | dict) else (item,) for item in given[1:]]
        filled = filled_in(given[0], holes[0] if holes else told.get("params", told.get("parameters", ())))
        scene.calls.append([name.rsplit(".", 1)[-1], [filled], {}])
        return
    scene.calls.append([name, given, told])


def filled_in(text: str, values: Any) -> str:
    """A query with its parameters as quoted text in their places, blanks and the quotes of numbers evened out."""
    places = iter(values) if isinstance(values, list | tuple) else iter(())

    def value(found: re.Match[str]) -> str:
        key = found[1] or found[2]
        if key and isinstance(values, dict):
            return repr(str(values[key])) if key in values else found[0]
        if found[3] and isinstance(values, list | tuple) and 0 < int(found[3]) <= len(values):
            return repr(str(values[int(found[3]) - 1]))
        try:
            return repr(str(next(places)))
        except StopIteration:
            return found[0]

    full = _HOLE.sub(value, text) if values else text
    plain = re.sub(r"\s+", " ", re.sub(r"[\"'`]", "", full))
    return re.sub(r" ?([=(),<>]) ?", r"\1", plain).strip(" ;")


class Missing:
    """Finds what no other finder has: modules that are not there."""

    made: dict[str, Any] = {}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """A module of our own for any name that is asked for last."""
        top = name.split(".", maxsplit=1)[0]
        if top in sys.stdlib_module_names and "." not in name:
            return None
        return ModuleSpec(name, cast(Any, self), is_package=True)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        """The module: what is known of it, and anything else."""
        module = types.ModuleType(spec.name)
        module.__dict__.update(self.made.get(spec.name, {}))
        anything = Unknown(spec.name)

        def other(name: str) -> Any:
            below = f"{spec.name}.{name}"
            return (
                importlib.import_module(below)
                if any(f"{one}.".startswith(f"{below}.") for one in self.made)
                else getattr(anything, name)
            )

        module.__dict__["__getattr__"] = other
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing is left to do."""
