"""What a key of the YAML means: found by walking the Settings classes the way the YAML is nested."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic.fields import FieldInfo

from buril.chain import KEYS, Top, describe, stage_class
from buril.cli.schema import (
    default_of,
    fields_of,
    is_given,
    limits_words,
    nested,
    owners_in,
    plugin_kind,
    shown_value,
    type_words,
)
from buril.config import Place, dotted
from buril.core.errors import BurilError, nearest
from buril.core.plugins import names, normal, plugin, settings_of
from buril.core.settings import Settings, is_runtime
from buril.core.text import _

if TYPE_CHECKING:
    from buril.chain import Chain


@dataclass(frozen=True)
class Step:
    """One part of a key. `name` as the YAML spells it; `kind` is set where it names a plugin of that kind."""

    name: str
    kind: str = ""
    implied: bool = False
    """Whether the YAML may leave it out (a shorthand)."""


@dataclass(frozen=True)
class Node:
    """What a key leads to: a stage, a plugin or a field; `fields` are the keys below it."""

    steps: tuple[Step, ...]
    about: str
    fields: dict[str, FieldInfo]
    info: FieldInfo | None = None
    shorthand: str | None = None
    kind: str = ""


def explained(key: str, chain: Chain | None) -> dict[str, Any]:
    """All there is to say of a key, as plain data.

    Raises:
        BurilError: C001 for an unknown key, with the nearest known one.
    """
    node = find(key)
    info = node.info
    default = default_of(info) if info else None
    required = info is not None and not is_given(default)
    keys = {name: first_sentence(item.description or "") for name, item in node.fields.items()}
    if node.kind:
        keys |= {name: _plugin_about(node.kind, name) for name in names(node.kind)}
    return {
        "key": ".".join(step.name for step in node.steps if not step.implied),
        "about": " ".join(node.about.split()),
        "type": type_words(info.annotation, plugin_kind(info)) if info else "",
        "default": None if info is None else _("none: it must be given") if required else _text(default),
        "limits": limits_words(info) if info else [],
        "effect": _effect(info) if info and node.steps[0].name in KEYS else "",
        "keys": keys,
        "now": list(_now(node, chain, None if required else default)) if chain else [],
    }


def find(key: str) -> Node:
    """The node of a key such as `train.method` or `collect.folder.path`; numbers of list items are passed over."""
    parts = [part for part in key.strip().split(".") if part and not part.isdigit()]
    if not parts:
        raise BurilError("C001", name=key, suggestion=nearest(key, _top_names()))
    first, rest = normal(parts[0]), parts[1:]
    if first in KEYS:
        node = Node((Step(first),), describe(first), fields_of(first), shorthand=stage_class(first).Settings.shorthand)
    elif first in Top.model_fields:
        node = _field(Node((), "", {}), first, Top.model_fields[first])
    elif first == "extends":
        node = Node((Step("extends"),), _("Another YAML file whose keys hold where this one has none."), {})
    else:
        raise BurilError("C001", name=key, suggestion=nearest(first, _top_names()))
    for part in rest:
        node = _below(node, normal(part), key)
    return node


def _top_names() -> list[str]:
    return [*Top.model_fields, *KEYS, "extends"]


def _below(node: Node, part: str, key: str) -> Node:
    """One part further down; a plugin may stand right below the stage whose shorthand holds it."""
    if part in node.fields:
        return _field(node, part, node.fields[part])
    kinds = (
        {"": node.kind}
        if node.kind
        else {name: kind for name, info in node.fields.items() if (kind := plugin_kind(info))}
    )
    for field, kind in kinds.items():
        if part in names(kind):
            steps = (*node.steps, *([Step(field, implied=field == node.shorthand)] if field else []), Step(part, kind))
            settings = settings_of(kind, part)
            return Node(steps, _plugin_about(kind, part), dict(settings.model_fields), shorthand=settings.shorthand)
    known = [*node.fields, *(name for kind in kinds.values() for name in names(kind))]
    raise BurilError("C001", name=key, suggestion=nearest(part, known))


def _field(node: Node, name: str, info: FieldInfo) -> Node:
    inner = nested(info.annotation)
    fields = dict(inner.model_fields) if inner else {}
    steps = (*node.steps, Step(name))
    return Node(
        steps, info.description or "", fields, info, inner.shorthand if inner else None, plugin_kind(info) or ""
    )


def _plugin_about(kind: str, name: str) -> str:
    try:
        return first_sentence(plugin(kind, name).__doc__ or "")
    except BurilError as problem:  # its extra is missing: the line that installs it says more than nothing
        return problem.hint


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, on one line."""
    line = " ".join(text.strip().split("\n\n")[0].split())
    return re.split(r"(?<=[.!?;])\s", line, maxsplit=1)[0].rstrip(".;")


def _effect(info: FieldInfo) -> str:
    if is_runtime(info.json_schema_extra):
        return _("speed only: a change reuses what is there")
    return _("the result: a change makes the stage and what depends on it again")


def _text(value: Any) -> str:
    if value is None or value == "":
        return _("nothing") if value is None else '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_text(item)}" for name, item in value.items()) + "}"
    return str(value)


# --- the value here


def _now(node: Node, chain: Chain, default: Any) -> Iterator[dict[str, str]]:
    """The values a key has in the YAML, each with its place; else the one that holds without it."""
    values: Any = chain.document.values
    found = list(_walk(values, (), node.steps, _shorthand_of(node)))
    for value, place in found:
        where = chain.document.where(place)
        shown = f"{where.file}:{where.line}:{where.column}" if where else dotted(place)
        yield {"value": _text(value), "where": shown}
    if not found and node.info is not None:
        value = _effective(node, chain, default)
        yield {"value": _text(value), "where": _("default") if value == default else _("from other settings")}


def _shorthand_of(node: Node) -> str | None:
    stage = node.steps[0].name
    return stage_class(stage).Settings.shorthand if stage in KEYS else None


def _walk(value: Any, place: Place, steps: tuple[Step, ...], shorthand: str | None) -> Iterator[tuple[Any, Place]]:
    """The values that `steps` lead to in plain YAML values; `shorthand` is the field a bare value stands for."""
    if not steps:
        yield value, place
        return
    step, *rest = steps
    if step.kind:
        for item, inner in _items(value, place):
            name, given, there = _named(item, inner)
            if normal(name) == step.name:
                yield from _walk(given, there, tuple(rest), settings_of(step.kind, step.name).shorthand)
    elif isinstance(value, dict):
        if step.name in value:
            inner_short = shorthand if not place else None
            yield from _walk(value[step.name], (*place, step.name), tuple(rest), inner_short)
    elif value is not None and step.name == shorthand:
        yield from _walk(value, place, tuple(rest), None)


def _items(value: Any, place: Place) -> Iterator[tuple[Any, Place]]:
    if isinstance(value, list):
        yield from ((item, (*place, index)) for index, item in enumerate(value))
    elif value is not None:
        yield value, place


def _named(item: Any, place: Place) -> tuple[str, Any, Place]:
    if isinstance(item, dict) and len(item) == 1:
        ((name, given),) = item.items()
        return str(name), given, (*place, name)
    return str(item), {}, place


def _effective(node: Node, chain: Chain, default: Any) -> Any:
    """The value of a stage's own field with everything applied; deeper keys have their default."""
    if len(node.steps) != 2 or node.steps[0].name not in KEYS:
        return default
    stage, name = node.steps[0].name, node.steps[1].name
    if name not in stage_class(stage).Settings.model_fields:
        stage = owners_in(stage).get(name, stage)
    try:
        settings: Settings = chain.settings(stage)
    except BurilError:
        return default
    return shown_value(getattr(settings, name, default))
