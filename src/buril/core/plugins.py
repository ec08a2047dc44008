"""Plugins: one file a noun. In-tree a plugin's file name is its name; third parties use entry points.

A plugin file defines one public class named like the file in CamelCase (`sources/folder.py` → `Folder`), with a
nested `Settings` where it can be told something, a `version` that enters identities, and `requires`: the packages
it imports. Nothing is imported before the plugin is used. Dashes and underscores in names are the same.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

from pydantic import SerializeAsAny
from pydantic_core import core_schema

from buril.core.errors import BurilError, nearest
from buril.core.settings import Settings

KINDS: dict[str, str] = {
    "source": "buril.data.sources",
    "step": "buril.data.steps",
    "augment": "buril.data.augment",
    "pairing": "buril.data.pairing",
    "language": "buril.code.languages",
    "scanner": "buril.scanners",
    "sandbox": "buril.sandboxes",
    "generator": "buril.generators",
    "engine": "buril.engines",
    "base": "buril.train.bases",
    "method": "buril.train.methods",
    "objective": "buril.train.objectives",
    "preference": "buril.train.preferences",
    "tracker": "buril.train.trackers",
    "suite": "buril.evaluate.suites",
    "runtime": "buril.evaluate.runtimes",
    "metric": "buril.evaluate.metrics",
    "guard": "buril.serve.guards",
    "exporter": "buril.export.exporters",
}


def normal(name: str) -> str:
    """The form of a name that files have: `multipl-e` → `multipl_e`."""
    return name.strip().replace("-", "_").lower()


@cache
def names(kind: str) -> dict[str, str]:
    """All plugins of a kind: name → where it comes from (`buril` or the distribution that offers it), sorted.

    Raises:
        BurilError: P003 when two packages offer the same name.
    """
    package = importlib.import_module(KINDS[kind])
    found = {info.name: "buril" for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_")}
    for point in metadata.entry_points(group=f"buril.{kind}"):
        owner = point.dist.name if point.dist else point.value
        name = normal(point.name)
        if name in found:
            raise BurilError("P003", kind=kind, name=name, first=found[name], second=owner)
        found[name] = owner
    return dict(sorted(found.items()))


@cache
def plugin(kind: str, name: str) -> Any:
    """The class of a plugin, imported now.

    Raises:
        BurilError: P001 for an unknown name (with the nearest known one), P002 when a package it needs is missing,
            P004 when the file does not hold the class it should.
    """
    known = names(kind)
    if normal(name) not in known:
        raise BurilError("P001", kind=kind, name=name, suggestion=nearest(normal(name), list(known)))
    wanted = normal(name)
    try:
        if known[wanted] != "buril":
            points = metadata.entry_points(group=f"buril.{kind}")
            found = next(point for point in points if normal(point.name) == wanted).load()
        else:
            found = getattr(importlib.import_module(f"{KINDS[kind]}.{wanted}"), camel(wanted))
    except ModuleNotFoundError as missing:
        package = (missing.name or "?").split(".")[0]
        if package == "buril":
            raise
        raise BurilError("P002", kind=kind, name=name, package=package, install=extra_of(package)) from missing
    except AttributeError as problem:
        raise BurilError("P004", kind=kind, name=name, problem=str(problem)) from problem
    for package in getattr(found, "requires", ()):
        require(package, kind=kind, name=name)
    return found


def require(package: str, *, kind: str, name: str) -> None:
    """Check that an importable package is there, without importing it.

    Raises:
        BurilError: P002 with the pip line that installs it.
    """
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise BurilError("P002", kind=kind, name=name, package=package, install=extra_of(package))


def camel(name: str) -> str:
    """`human_eval` → `HumanEval`."""
    return "".join(part.capitalize() for part in name.split("_"))


def extra_of(package: str) -> str:
    """What to `pip install` for an importable package: the extra of buril that declares it, else the package."""
    try:
        lines = metadata.requires("buril") or []
    except metadata.PackageNotFoundError:
        lines = []
    extras = set()
    for line in lines:
        requirement, _semicolon, marker = line.partition(";")
        found = re.search(r"""extra == ["']([\w-]+)["']""", marker)
        if found and normal(re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]) == normal(package):
            extras.add(found[1])
    # the narrowest extra that has it: `all` and `dev` hold everything
    best = sorted(extras, key=lambda extra: (extra in ("all", "dev", "bench"), extra in ("eval", "serve"), extra))
    return f"buril[{best[0]}]" if best else package


class Ref(Settings):
    """A plugin named in settings, with its own settings: `folder: {path: src}` or just `secrets`."""

    kind: str
    """The kind of plugin, e.g. `source`."""
    name: str
    """Its name."""
    settings: SerializeAsAny[Settings]
    """Its settings, an instance of the plugin's own `Settings`."""

    def make(self) -> Any:
        """The plugin, ready to use: its class called with its settings."""
        return plugin(self.kind, self.name)(self.settings)

    def identity(self) -> dict[str, Any]:
        """Name, version and identity settings of the plugin."""
        version = getattr(plugin(self.kind, self.name), "version", 1)
        return {"name": self.name, "version": version, "settings": self.settings.identity()}


def settings_of(kind: str, name: str) -> type[Settings]:
    """The `Settings` class of a plugin; one without settings accepts none."""
    found: type[Settings] = getattr(plugin(kind, name), "Settings", Settings)
    return found


class PluginKind:
    """Marks a field that holds plugins of a kind, so that the YAML may name them shortly.

    Example:
        `sources: Annotated[tuple[Ref, ...], PluginKind("source")]` accepts `[packages, {folder: {path: src}}]`;
        a field of type `Annotated[Ref, PluginKind("base")]` accepts one such item.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Parse the short forms before pydantic checks the result."""
        return core_schema.no_info_before_validator_function(self.parse, handler(source))

    def parse(self, value: Any) -> Any:
        """Short forms to `Ref`s; what is neither a name nor a mapping is left for pydantic to refuse."""
        if isinstance(value, list | tuple):
            return tuple(self._one(item) for item in value)
        if isinstance(value, Mapping) and not {"kind", "name"} <= value.keys() and len(value) > 1:
            return tuple(self._one({name: item}) for name, item in value.items())
        return self._one(value)

    @staticmethod
    def listed(value: Any) -> list[Any]:
        """What names plugins as a list of items; a mapping of several names is several items."""
        if isinstance(value, Mapping):
            return [{name: item} for name, item in value.items()]
        return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]

    def _one(self, item: Any) -> Any:
        if isinstance(item, str):
            return Ref(kind=self.kind, name=normal(item), settings=settings_of(self.kind, item)())
        if isinstance(item, Mapping) and len(item) == 1:
            ((name, given),) = item.items()
            wanted = settings_of(self.kind, str(name))
            return Ref(kind=self.kind, name=normal(str(name)), settings=wanted.model_validate(expand(wanted, given)))
        return item


def expand(wanted: type[Settings], given: Any) -> Any:
    """The mapping that a short value stands for: nothing → {}, a bare list or value → `{shorthand: value}`.

    Keys that name plugins (`others`) are gathered: `{rename: 0.1, seed: 3}` → `{plugins: {rename: 0.1}, seed: 3}`.
    """
    if given is None:
        return {}
    if wanted.others and isinstance(given, Mapping) and not given.keys() <= wanted.model_fields.keys():
        named = {name: value for name, value in given.items() if name not in wanted.model_fields}
        listed = PluginKind.listed(given.get(wanted.others))
        return {
            **{k: v for k, v in given.items() if k not in named},
            wanted.others: [*listed, *PluginKind.listed(named)],
        }
    if wanted.shorthand and not isinstance(given, Mapping):
        return {wanted.shorthand: given}
    return given
