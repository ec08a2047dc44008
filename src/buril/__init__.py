"""buril: a workshop for code models, from your own repositories to your own code model.

The public API: a chain, the store it runs on, what comes out of it, and what a plugin is made of.

Example:
    >>> from buril import Chain
    >>> chain = Chain.from_values({"name": "demo", "collect": ["packages"]})
    >>> chain.top.name
    'demo'
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# name → where it lives; imported on first use, so that `import buril` stays quick
_HOMES = {
    "Artifact": "buril.core.artifact",
    "BurilError": "buril.core.errors",
    "Chain": "buril.chain",
    "CodeFile": "buril.code.codefile",
    "Finding": "buril.code.codefile",
    "GateFailed": "buril.core.errors",
    "Output": "buril.core.stage",
    "Settings": "buril.core.settings",
    "Stage": "buril.core.stage",
    "Store": "buril.core.store",
    "Verdict": "buril.code.codefile",
    "plugin": "buril.core.plugins",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604  the keys are names


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'buril' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
