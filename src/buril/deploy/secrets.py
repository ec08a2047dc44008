"""What of the YAML may not leave this machine: secrets, and files that pods would not find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError

if TYPE_CHECKING:
    from buril.code.codefile import Finding
    from buril.scanners.secrets import Secrets


@cache
def _scanner() -> Secrets:
    """The scanner of secrets; its patterns are compiled once."""
    from buril.scanners.secrets import Secrets

    return Secrets(Secrets.Settings(rules=("secrets",)))


def found_in(text: str) -> Iterator[Finding]:
    """What looks like a secret in a text, never its value."""
    return iter(_scanner().scan(text, "yaml"))


def refuse_secrets(values: Mapping[str, Any]) -> None:
    """See that the YAML holds no secret itself and refers to no file.

    Raises:
        BurilError: V504, V505.
    """
    for place, value in leaves(values):
        if isinstance(value, str) and value.startswith("file:"):
            raise BurilError("V505", name=place, file=value[5:])
        if isinstance(value, str) and not value.startswith("env:"):
            key = place.rpartition(".")[2]
            found = next(found_in(f"{key}: {value}\n"), None)
            if found:
                raise BurilError("V504", name=place, rule=found.rule)


def variables_in(values: Mapping[str, Any]) -> Iterator[str]:
    """The environment that values refer to."""
    return (value[4:] for _place, value in leaves(values) if isinstance(value, str) and value.startswith("env:"))


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value with its dotted name."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item, place)
    else:
        yield place, value
