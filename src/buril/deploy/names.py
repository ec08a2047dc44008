"""Names, labels and quantities in the forms that Kubernetes takes."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Literal

Tree = dict[str, Any]
"""A manifest or a part of one: plain values, as they are written."""
Component = Literal["server", "engine", "training", "refresh"]

LONGEST = 40
"""Characters of a model's name in the names made of it: with what is added they stay below the 63 of a label."""


def dns(name: str) -> str:
    """A name as DNS takes it (RFC 1123): small letters, digits, dashes. Two names that would be one get a hash.

    Example:
        `dns("acme-coder")` → `acme-coder`; `dns("Acme.Coder")` → `acme-coder-c02463`
    """
    found = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST].strip("-") or "model"
    return found if found == name else f"{found}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def selector(site: str, component: Component | None = None) -> dict[str, str]:
    """The labels by which pods of a site are found: all of them, or those of one component."""
    found = {"app.kubernetes.io/name": "buril", "app.kubernetes.io/instance": site}
    return {**found, "app.kubernetes.io/component": component} if component else found


def metadata(site: str, namespace: str, name: str, component: Component) -> Tree:
    """The head of a manifest."""
    return {"name": name, "namespace": namespace, "labels": selector(site, component)}


def processors(number: float) -> str:
    """A number of processors: `2`, `500m`."""
    thousandths = max(1, round(number * 1000))
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"


def megabytes(number: float) -> str:
    """A number of 10^6 bytes: `1500M`."""
    return f"{max(1, round(number))}M"


def resources(requests: tuple[float, float], limits: tuple[float, float], *, gpus: int = 0) -> Tree:
    """Requests and limits as (processors, MB); GPUs stand in both, as they can't be shared."""
    more = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {
        name: {"cpu": processors(cpu), "memory": megabytes(memory), **more}
        for name, (cpu, memory) in (("requests", requests), ("limits", limits))
    }
