"""What all contract checks share: how a problem is told, and what holds for a plugin of any kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from buril.core.artifact import canonical
from buril.core.plugins import KINDS
from buril.core.settings import Settings

HEAVY = ("torch", "transformers", "peft", "tokenizers")
"""Packages that take seconds to load: a plan must not need them."""

_IMPORTS = """
import importlib, json, sys
told, heavy = {}, json.loads(sys.argv[2])
for name in json.loads(sys.argv[1]):
    before = set(sys.modules)
    importlib.import_module(name)
    told[name] = [package for package in heavy if package in sys.modules and package not in before]
print(json.dumps(told))
"""


def expect(truth: object, problem: str) -> None:
    """Raise `AssertionError` with `problem` unless `truth` is true; unlike `assert` it holds under `python -O`."""
    if not truth:
        raise AssertionError(problem)


def same(first: object, second: object, problem: str) -> None:
    """Expect two values to be equal, and show both when they are not."""
    expect(first == second, f"{problem}: {_short(first)} / {_short(second)}")


def make(plugin: Any) -> Any:
    """A plugin ready for use: a class is called with its default settings, anything else is taken as it is."""
    if not isinstance(plugin, type):
        return plugin
    settings: type[Settings] | None = getattr(plugin, "Settings", None)
    return plugin() if settings is None else plugin(settings())


def class_of(plugin: Any) -> Any:
    """The class of a plugin, or the class itself."""
    return plugin if isinstance(plugin, type) else type(plugin)


def plain(value: Any, problem: str) -> bytes:
    """The canonical JSON of a value; a value that has none is the problem told."""
    try:
        return canonical(value)
    except (TypeError, ValueError) as found:
        raise AssertionError(f"{problem}: {found}") from found


def check_plugin(kind: str, plugin: Any) -> None:
    """What holds for a plugin of any kind: it is documented, has a version, and its settings are strict and explained.

    Args:
        kind: one of `buril.core.plugins.KINDS`.
        plugin: the class, or a plugin made from it.
    """
    found = class_of(plugin)
    name = f"{kind} {found.__name__}"
    expect(kind in KINDS, f"{kind!r} is no kind of plugin: {', '.join(KINDS)}")
    expect((found.__doc__ or "").strip(), f"{name} has no docstring; `buril plugins` shows its first line")
    version = getattr(found, "version", None)
    expect(
        type(version) is int and version >= 1, f"{name}.version is {version!r}: a whole number from 1 on enters keys"
    )
    requires = getattr(found, "requires", ())
    names = isinstance(requires, tuple) and all(isinstance(item, str) for item in requires)
    expect(names, f"{name}.requires is {requires!r}, not a tuple of importable names")
    settings = getattr(found, "Settings", None)
    if settings is not None:
        _check_settings(name, settings)


def _check_settings(name: str, settings: Any) -> None:
    strict = isinstance(settings, type) and issubclass(settings, Settings)
    expect(strict, f"{name}.Settings must be a subclass of buril.core.settings.Settings")
    for key in ("extra", "frozen"):
        same(settings.model_config.get(key), Settings.model_config[key], f"{name}.Settings relaxes `{key}`")
    bare = [key for key, info in settings.model_fields.items() if not (info.description or "").strip()]
    expect(not bare, f"{name}.Settings does not explain {', '.join(bare)}: write a docstring below each field")
    short = settings.shorthand
    expect(short is None or short in settings.model_fields, f"{name}.Settings.shorthand names no field: {short!r}")
    if not any(info.is_required() for info in settings.model_fields.values()):
        told = [plain(settings().identity(), f"{name}.Settings().identity() is no plain JSON") for _ in range(2)]
        same(told[0], told[1], f"{name}.Settings() has two identities")


def check_imports(*plugins: Any, heavy: tuple[str, ...] = HEAVY) -> None:
    """Importing the modules of these plugins loads none of the heavy packages: they are imported at use.

    A plan and `buril config check` import the plugins that the YAML names, and must answer in a second. One process
    imports all modules in turn; what the first loads is not blamed on the next.
    """
    modules = sorted({class_of(plugin).__module__ for plugin in plugins})
    done = subprocess.run(  # noqa: S603  this Python, a fixed program
        [sys.executable, "-c", _IMPORTS, json.dumps(modules), json.dumps(heavy)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    expect(done.returncode == 0, f"importing {', '.join(modules)} fails: {done.stderr.strip()[-500:]}")
    loaded = {name: packages for name, packages in json.loads(done.stdout).items() if packages}
    told = "; ".join(f"{name} loads {', '.join(packages)}" for name, packages in loaded.items())
    expect(not loaded, f"{told}: import them inside the functions that need them")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"
