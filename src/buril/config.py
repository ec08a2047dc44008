"""The YAML: read with the place of every key, checked strictly, so that a mistake is shown where it stands.

Unknown keys, wrong types and wrong plugin names fail with `file:line:column`, a code and the nearest right word.
`extends: other.yaml` is the only inheritance (mappings merge, anything else is replaced); `env:NAME` and `file:PATH`
are the only indirections, and only their names are kept: their contents never enter a manifest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from buril.core.errors import BurilError, Where, nearest
from buril.core.plugins import PluginKind, Ref, expand, normal, settings_of
from buril.core.settings import Settings
from buril.core.text import _

Place = tuple[str | int, ...]


@dataclass
class Document:
    """A configuration as plain values, and where each key and value stands. `folder` is what paths are relative to."""

    values: dict[str, Any]
    folder: Path = field(default_factory=Path.cwd)
    places: dict[Place, Where] = field(default_factory=dict)

    def where(self, place: Place) -> Where | None:
        """Where a key or item stands, else the nearest thing around it; None for values not from a file."""
        while place and place not in self.places:
            place = place[:-1]
        return self.places.get(place) if place else None


def read(path: Path, seen: tuple[Path, ...] = ()) -> Document:
    """Read a YAML file with its `extends`.

    Raises:
        BurilError: C003 missing, C004 not YAML, C005 a key twice, C006 and C007 for `env:` and `file:`, C008 not a
            mapping, C010 a circle of `extends`, C012 unreadable.
    """
    path = path.resolve()
    if path in seen:
        raise BurilError("C010", chain=" → ".join(item.name for item in (*seen, path)))
    text = _text(path)
    document = _parse(text, path)
    other = document.values.pop("extends", None)
    if other is not None:
        base = read(path.parent / str(other), (*seen, path))
        document.values = _merge(base.values, document.values)
        document.places = {**base.places, **document.places}
    return document


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BurilError("C003", path=path) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise BurilError("C012", path=path, problem=problem) from problem


def _parse(text: str, path: Path) -> Document:
    lines = text.splitlines()
    name = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)

    def where(mark: yaml.Mark, width: int = 1) -> Where:
        return Where(name, mark.line + 1, mark.column + 1, lines[mark.line] if mark.line < len(lines) else "", width)

    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise BurilError("C004", problem=problem.problem or "", where=where(mark) if mark else None) from problem
    except yaml.YAMLError as problem:
        raise BurilError("C004", problem=str(problem).splitlines()[0]) from problem
    if root is None:
        return Document({}, path.parent)
    if not isinstance(root, yaml.MappingNode):
        raise BurilError("C008", kind=_("a list") if isinstance(root, yaml.SequenceNode) else _("a single value"))
    document = Document({}, path.parent)
    document.values = _build(root, (), document, loader, where)
    return document


def _build(node: yaml.Node, place: Place, document: Document, loader: Any, where: Any) -> Any:
    inner: Place
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            inner = (*place, key)
            here = where(key_node.start_mark, len(key))
            if key in found:
                raise BurilError("C005", name=key, first=document.places[inner].line, where=here)
            document.places[inner] = here
            found[key] = _build(value_node, inner, document, loader, where)
        return found
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            inner = (*place, index)
            document.places[inner] = where(item.start_mark)
            items.append(_build(item, inner, document, loader, where))
        return items
    value = loader.construct_object(node)
    _check_reference(value, place, document)
    # dates and the like have no JSON form; their text does
    return value if value is None or isinstance(value, str | int | float | bool) else str(node.value)


def _check_reference(value: Any, place: Place, document: Document) -> None:
    if not isinstance(value, str):
        return
    name = ".".join(map(str, place))
    if value.startswith("env:") and value[4:] not in os.environ:
        raise BurilError("C006", name=name, variable=value[4:], where=document.where(place))
    if value.startswith("file:"):
        path = document.folder / value[5:]
        if not path.is_file() or not os.access(path, os.R_OK):
            problem = _("no such file") if not path.is_file() else _("no permission")
            raise BurilError("C007", name=name, path=value[5:], problem=problem, where=document.where(place))


def _merge(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        return {
            key: _merge(base[key], over[key]) if key in base and key in over else base.get(key, over.get(key))
            for key in [*base, *(key for key in over if key not in base)]
        }
    return over


def validate(
    wanted: type[Settings], given: Any, document: Document, place: Place, defaults: Mapping[str, Any] | None = None
) -> Settings:
    """Settings from plain values; plugins named in them are checked with their own settings first.

    Args:
        wanted: the class.
        given: what the YAML says, short forms included.
        document: where things stand, and what paths are relative to.
        place: where `given` stands.
        defaults: values for keys that `given` leaves out.

    Raises:
        BurilError: C001 unknown key, C002 wrong value, C009 missing key, P001 unknown plugin, each with its place.
    """
    short = given is not None and not isinstance(given, Mapping)  # then the items stand where the settings do
    given = expand(wanted, given)
    if isinstance(given, dict):
        given = {**(defaults or {}), **given}
        given = {
            key: _field(wanted.model_fields.get(key), value, document, _place(wanted, key, place, short=short))
            for key, value in given.items()
        }
    try:
        return wanted.model_validate(given)
    except ValidationError as problems:
        raise _coded(problems, wanted, document, place) from problems
    except BurilError as problem:  # from a validator of the settings, which knows the value but not its place
        where = problem.where or document.where(place)
        raise BurilError(problem.code, where=where, **problem.values) from problem


def _place(wanted: type[Settings], key: str, place: Place, *, short: bool) -> Place:
    """Where a field's value stands: where the settings do, for a short form and for plugins named by keys of theirs."""
    return place if short or key == wanted.others else (*place, key)


def _field(info: FieldInfo | None, value: Any, document: Document, place: Place) -> Any:
    if info is None:
        return value
    kind = next((item.kind for item in info.metadata if isinstance(item, PluginKind)), None)
    if kind:
        return _plugins(kind, value, document, place)
    if _is_path(info.annotation) and value is not None:
        return [_absolute(item, document) for item in value] if isinstance(value, list) else _absolute(value, document)
    inner = _settings_in(info.annotation)
    if inner and isinstance(value, dict):
        return {key: _field(inner.model_fields.get(key), item, document, (*place, key)) for key, item in value.items()}
    return value


def _settings_in(annotation: Any) -> type[Settings] | None:
    """The settings that a field holds, where it is one of them or nothing."""
    found = (item for item in (annotation, *get_args(annotation)) if isinstance(item, type))
    return next((item for item in found if issubclass(item, Settings) and item is not Ref), None)


def _is_path(annotation: Any) -> bool:
    return annotation is Path or any(_is_path(item) for item in get_args(annotation))


def _absolute(value: Any, document: Document) -> Any:
    return str(document.folder / Path(value).expanduser()) if isinstance(value, str) else value


def _plugins(kind: str, value: Any, document: Document, place: Place) -> Any:
    if isinstance(value, list):
        return tuple(_plugin(kind, item, document, (*place, index)) for index, item in enumerate(value))
    return _plugin(kind, value, document, place)


def _plugin(kind: str, item: Any, document: Document, place: Place) -> Any:
    if isinstance(item, Ref):
        return item
    given: Any = {}
    if isinstance(item, str):
        name, inner = item, (*place, item)
    elif isinstance(item, dict) and len(item) == 1:
        ((name, given),) = item.items()
        inner = (*place, name)
        if inner not in document.places and place and isinstance(place[-1], int):  # named by a key of the stage
            inner = (*place[:-1], name)
    else:
        raise BurilError(
            "C002",
            name=dotted(place),
            value=shown(item),
            where=document.where(place),
            problem=_("expected a name, or one name with its settings"),
        )
    try:
        wanted = settings_of(kind, name)
    except BurilError as problem:
        raise BurilError(problem.code, where=document.where(inner), **problem.values) from problem
    return Ref(kind=kind, name=normal(name), settings=validate(wanted, given, document, inner))


def _problem(error: Mapping[str, Any]) -> str:
    """What pydantic found, as a phrase in the language in force; rare kinds keep its own English."""
    context = error.get("ctx", {})
    limits = {
        "greater_than": "> {gt}",
        "greater_than_equal": "≥ {ge}",
        "less_than": "< {lt}",
        "less_than_equal": "≤ {le}",
    }
    kind = error["type"]
    if kind in limits:
        return _("must be {limit}").format(limit=limits[kind].format(**context))
    if kind in ("literal_error", "enum"):
        return _("must be one of {choices}").format(choices=context.get("expected", "").replace("'", "`"))
    for start, text in (
        ("int", _("must be a whole number")),
        ("float", _("must be a number")),
        ("finite_number", _("must be a number")),
        ("bool", _("must be true or false")),
        ("string", _("must be text")),
        ("tuple", _("must be a list")),
        ("list", _("must be a list")),
        ("dict", _("must be a mapping")),
        ("model", _("must be a mapping")),
    ):
        if kind.startswith(start):
            return text
    message = str(error["msg"])
    return message.removeprefix("Value error, ")


def _coded(problems: ValidationError, wanted: type[Settings], document: Document, place: Place) -> BurilError:
    """Pydantic's findings as one error of ours: unknown keys before the missing ones that they explain."""
    errors = sorted(problems.errors(), key=lambda item: item["type"] != "extra_forbidden")
    unknown = errors[0]["type"] == "extra_forbidden"
    found: dict[Place, BurilError] = {}
    for error in errors:
        inner: Place = tuple(part for part in error["loc"] if isinstance(part, int | str))
        told = any(inner[: len(seen)] == seen or seen[: len(inner)] == inner for seen in found)
        if not told and not (unknown and error["type"] == "missing"):  # a union's members fail at the same place
            known = list(_fields_at(wanted, inner[:-1]))
            found[inner] = _one(error, dotted((*place, *inner)), known, document.where((*place, *inner)))
    return together(list(found.values()))


def together(problems: Sequence[BurilError]) -> BurilError:
    """Several mistakes as one error: the first, which tells of the others, each place and code once."""
    found = {
        (item.code, item.where, str(item.values)): item for problem in problems for item in (problem, *problem.also)
    }
    first, *others = found.values()
    first.also = tuple(others)
    for other in others:
        other.also = ()
    return first


def _one(error: Mapping[str, Any], name: str, known: list[str], where: Where | None) -> BurilError:
    """One of pydantic's findings; `known` are the names that may stand where this one does."""
    if error["type"] == "extra_forbidden":
        return BurilError("C001", name=name, suggestion=nearest(str(error["loc"][-1]), known), where=where)
    if error["type"] == "missing":
        return BurilError("C009", name=name, where=where)
    return BurilError("C002", name=name, problem=_problem(error), value=shown(error.get("input")), where=where)


def _fields_at(wanted: Any, inner: Place) -> Iterator[str]:
    for part in inner:
        annotation = wanted.model_fields[part].annotation if part in getattr(wanted, "model_fields", {}) else None
        wanted = next((item for item in (annotation, *get_args(annotation)) if hasattr(item, "model_fields")), wanted)
    yield from getattr(wanted, "model_fields", {})


def dotted(place: Place) -> str:
    """A place as a person writes it, without the numbers of list items: `collect.folder.path`."""
    return ".".join(part for part in place if isinstance(part, str))


def shown(value: Any) -> str:
    """A value short enough for one line."""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def reveal(value: str, folder: Path) -> str:
    """What an `env:` or `file:` text stands for, read now; any other text is itself. Never store the result."""
    if value.startswith("env:"):
        return os.environ[value[4:]]
    if value.startswith("file:"):
        return (folder / value[5:]).read_text(encoding="utf-8").strip()
    return value
