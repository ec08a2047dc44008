"""The form of the YAML, read off the Settings classes: as JSON Schema for editors, in words for people."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticUndefined

from buril.chain import FROM_TRAIN, KEYS, LENGTH, Top, stage_class
from buril.core.errors import BurilError
from buril.core.plugins import PluginKind, Ref, names, plugin, settings_of
from buril.core.settings import Settings
from buril.core.text import _

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLUGIN, _MANY = "x-buril-plugin", "x-buril-many"  # stand-ins that `_settle` turns into references
_LIMITS = (("ge", "≥ {value}"), ("gt", "> {value}"), ("le", "≤ {value}"), ("lt", "< {value}"))


def plugin_kind(info: FieldInfo) -> str | None:
    """The kind of plugin a field names, or None."""
    return next((item.kind for item in info.metadata if isinstance(item, PluginKind)), None)


def is_many(annotation: Any) -> bool:
    """Whether a field holds a list."""
    return get_origin(annotation) in (tuple, list) or any(is_many(item) for item in _members(annotation))


def nested(annotation: Any) -> type[Settings] | None:
    """The Settings class a field holds, itself or inside a list or mapping; None for plugins and plain values."""
    if isinstance(annotation, type) and issubclass(annotation, Settings) and not issubclass(annotation, Ref):
        return annotation
    return next((found for item in get_args(annotation) if (found := nested(item))), None)


def fields_of(stage: str) -> dict[str, FieldInfo]:
    """The keys the YAML may hold below a stage; `train:` and `align:` also take those that describe the base model."""
    found = dict(stage_class(stage).Settings.model_fields)
    others = {name: owner for name, owner in owners_in(stage).items() if name not in found}
    return {**{name: stage_class(owner).Settings.model_fields[name] for name, owner in others.items()}, **found}


def owners_in(stage: str) -> dict[str, str]:
    """Keys below a stage that another stage is told: key → stage."""
    if stage not in ("train", "align"):
        return {}
    base = stage_class("base").Settings.model_fields
    found = {name: "base" for name in FROM_TRAIN if name in base}
    return {**found, LENGTH: "pack"} if stage == "train" else found


# --- words


def type_words(annotation: Any, kind: str | None = None) -> str:
    """A type as a person names it.

    Example:
        `type_words(tuple[int, ...])` → "list of whole number"
    """
    if kind:
        choices = ", ".join(names(kind)) or "—"
        template = (
            _("list of plugins of kind {kind}: {names}")
            if is_many(annotation)
            else _("a plugin of kind {kind}: {names}")
        )
        return template.format(kind=kind, names=choices)
    while get_origin(annotation) is typing.Annotated:
        annotation = get_args(annotation)[0]
    members = _members(annotation)
    if members:
        texts = [type_words(item) for item in members if item is not type(None)]
        return _(" or ").join(texts + ([_("nothing")] if type(None) in members else []))
    origin = get_origin(annotation)
    if origin is Literal:
        return _("one of {choices}").format(choices=", ".join(f"`{item}`" for item in get_args(annotation)))
    if origin in (tuple, list, set, frozenset):
        return _("list of {item}").format(item=type_words(next(iter(get_args(annotation)), Any)))
    if origin is dict or nested(annotation):
        return _("mapping")
    return _plain_words(annotation)


def _plain_words(annotation: Any) -> str:
    plain = {bool: _("true or false"), int: _("whole number"), float: _("number"), str: _("text"), Path: _("path")}
    return plain.get(annotation, getattr(annotation, "__name__", str(annotation)))


def limits_words(info: FieldInfo) -> list[str]:
    """The limits of a field, as a person writes them: `≥ 0`, `< 1`."""
    found = []
    for item in info.metadata:
        found += [
            text.format(value=getattr(item, name)) for name, text in _LIMITS if getattr(item, name, None) is not None
        ]
        if getattr(item, "min_length", None):
            found.append(_("at least {number} long").format(number=item.min_length))
        if getattr(item, "max_length", None):
            found.append(_("at most {number} long").format(number=item.max_length))
        if getattr(item, "pattern", None):
            found.append(_("of the form `{pattern}`").format(pattern=item.pattern))
    return found


def default_of(info: FieldInfo) -> Any:
    """The default as plain data; plugins by name. `PydanticUndefined` where there is none."""
    return shown_value(info.get_default(call_default_factory=True, validated_data={}))


def shown_value(value: Any) -> Any:
    """A value as the YAML would hold it: plugins as `name` or `{name: settings}`, paths as text."""
    if isinstance(value, Ref):
        given = {name: shown_value(item) for name, item in value.settings if name in value.settings.model_fields_set}
        return {value.name: given} if given else value.name
    if isinstance(value, Settings):
        return {name: shown_value(item) for name, item in value}
    if isinstance(value, tuple | list | set | frozenset):
        return [shown_value(item) for item in value]
    if isinstance(value, dict):
        return {str(name): shown_value(item) for name, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def _members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else ()


# --- JSON Schema


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, with a stand-in where a field names plugins: their form depends on what is installed."""

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        """The object of one Settings class."""
        found = super().model_schema(schema)
        for name, info in schema["cls"].model_fields.items():
            kind = plugin_kind(info)
            if kind and name in found.get("properties", {}):
                found["properties"][name] = {
                    "description": info.description or "",
                    _PLUGIN: kind,
                    _MANY: is_many(info.annotation),
                    "x-buril-optional": type(None) in _members(info.annotation),
                }
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Titles made from names tell nothing that the name does not."""
        return False


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a `buril.yaml`, with every stage and every plugin that is installed."""
    definitions: dict[str, Any] = {}
    top = _object(Top, "top", definitions)
    properties: dict[str, Any] = {
        "extends": {"type": "string", "description": _("Another YAML file whose keys hold where this one has none.")},
        **top["properties"],
    }
    for stage in (name for name in KEYS if name != "base"):  # told below `train:`
        properties[stage] = {"$ref": f"#/$defs/{stage}"}
        definitions[stage] = _stage(stage, definitions)
    _plugins(definitions, properties)
    return {
        "$schema": DIALECT,
        "title": "buril.yaml",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": dict(sorted(definitions.items())),
    }


def _stage(stage: str, definitions: dict[str, Any]) -> dict[str, Any]:
    settings = stage_class(stage).Settings
    found = _object(settings, stage, definitions)
    if others := owners_in(stage):
        added = {
            name: _object(stage_class(owner).Settings, owner, definitions)["properties"][name]
            for name, owner in others.items()
        }
        found["properties"] = {**added, **found.get("properties", {})}
    if settings.others:
        _name_plugins(settings, found, definitions)
    return {"description": _(KEYS[stage][1]), **_forms(settings, found)}


def _name_plugins(settings: type[Settings], found: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Let the keys of a stage name plugins, beside its own."""
    kind = plugin_kind(settings.model_fields[settings.others or ""])
    assert kind is not None
    for name in names(kind):
        told = settings_of(kind, name)
        about = (plugin(kind, name).__doc__ or "").strip().split("\n")[0]
        form = {"description": about, **_forms(told, _object(told, f"{kind}.{name}", definitions))}
        found["properties"].update(dict.fromkeys(_spellings(name), form))


def _forms(settings: type[Settings], found: dict[str, Any]) -> dict[str, Any]:
    """All a Settings class may be given as: its mapping, nothing, or what its shorthand stands for."""
    short = settings.shorthand
    more = [found["properties"][short]] if short and short in found.get("properties", {}) else []
    empty = [] if found.get("required") else [{"type": "null"}]
    return {"anyOf": [found, *more, *empty]}


def _object(settings: type[Settings], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The object of a class; the classes inside it go to `definitions` under names that begin with `prefix`."""
    found = settings.model_json_schema(
        schema_generator=_Generator, mode="validation", ref_template=f"#/$defs/{prefix}.{{model}}"
    )
    for name, inner in found.pop("$defs", {}).items():
        definitions[f"{prefix}.{name}"] = _settle(inner)
    settled = _settle(found)
    assert isinstance(settled, dict)
    settled.pop("title", None)
    return settled


def _settle(value: Any) -> Any:
    """Replace the stand-ins by references to the plugins of their kind."""
    if isinstance(value, list):
        return [_settle(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _PLUGIN in value:
        target: dict[str, Any] = {"$ref": f"#/$defs/plugin.{value[_PLUGIN]}"}
        target = {"type": "array", "items": target} if value[_MANY] else target
        if value["x-buril-optional"]:
            target = {"anyOf": [target, {"type": "null"}]}
        return {"description": value["description"], **target}
    return {name: _settle(item) for name, item in value.items()}


def _plugins(definitions: dict[str, Any], properties: dict[str, Any]) -> None:
    """Add the forms of all plugins that the keys and definitions refer to, until they refer to nothing new."""
    while missing := sorted(
        {kind for kind in _kinds([properties, definitions]) if f"plugin.{kind}" not in definitions}
    ):
        for kind in missing:
            definitions[f"plugin.{kind}"] = {}
            definitions[f"plugin.{kind}"] = _plugin(kind, definitions)


def _kinds(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _kinds(item)
    elif isinstance(value, dict):
        target = value.get("$ref")
        if isinstance(target, str) and target.startswith("#/$defs/plugin."):
            yield target.removeprefix("#/$defs/plugin.")
        for item in value.values():
            yield from _kinds(item)


def _plugin(kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A plugin of a kind as an item of the YAML: its name, or one name with its settings."""
    forms: dict[str, Any] = {}
    bare = []
    for name in names(kind):
        try:
            settings = settings_of(kind, name)
        except BurilError as problem:
            if problem.code == "P004":  # a file without the class of a plugin can't be named in a YAML
                continue
            form: dict[str, Any] = {"description": problem.hint}  # an extra is missing: its settings are not known
        else:
            form = _forms(settings, _object(settings, f"{kind}.{name}", definitions))
            if form["anyOf"][-1] == {"type": "null"}:
                bare += _spellings(name)
        forms.update(dict.fromkeys(_spellings(name), form))
    mapping = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": forms,
        "additionalProperties": False,
    }
    return {"anyOf": [{"enum": bare}, mapping] if bare else [mapping]}


def _spellings(name: str) -> list[str]:
    return sorted({name, name.replace("_", "-")})


def is_given(default: Any) -> bool:
    """Whether a default is one."""
    return default is not PydanticUndefined
