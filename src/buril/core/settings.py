"""Settings: what a stage or a plugin can be told, checked strictly, with the part that bears identity set apart.

A field that changes bytes (a threshold, a learning rate) is part of the identity of what is made with it; a field
that changes only speed (`workers`, `device`) is declared with `runtime(...)` and never enters a key.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any] | list[Any] | str | int | float | bool | None


def runtime(default: Any, **limits: Any) -> Any:
    """A field that changes speed, not bytes: it stays out of every identity.

    Example:
        `workers: int = runtime(2, ge=1)`
    """
    return Field(default, json_schema_extra={"runtime": True}, **limits)


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values are frozen, the text below a field documents it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    shorthand: ClassVar[str | None] = None
    """The field that a bare list or a bare value stands for in the YAML (`collect: [...]`)."""
    others: ClassVar[str | None] = None
    """The field of plugins that keys which are no field are names of (`augment: {rename: 0.1}`)."""

    def identity(self) -> dict[str, Any]:
        """The fields that bear identity, as plain JSON with sorted keys; nested settings drop their runtime too."""
        return {
            name: _plain(getattr(self, name))
            for name, field in sorted(type(self).model_fields.items())
            if not is_runtime(field.json_schema_extra)
        }


def is_runtime(extra: object) -> bool:
    """Whether a field's schema extra marks it as runtime."""
    return isinstance(extra, dict) and bool(extra.get("runtime"))


def _plain(value: Any) -> Any:
    if hasattr(value, "identity"):
        return value.identity()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(_plain(item) for item in value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
