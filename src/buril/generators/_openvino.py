"""OpenVINO without what its Python package tells others of its use."""

from __future__ import annotations

import sys
from typing import Any

TELEMETRY = "openvino_telemetry"


def openvino() -> Any:
    """The package `openvino`; the only place that may import it first.

    Importing it sends an event to Google Analytics and leaves an identifier in the home folder, unless the user has
    said no beforehand (seen in 2026.4). Where the package that does so can't be imported it does without, so that one
    is hidden meanwhile. A program that has imported `openvino` by itself is not kept from anything.
    """
    if "openvino" not in sys.modules:
        before = {name: sys.modules[name] for name in [TELEMETRY] if name in sys.modules}
        sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # how Python is told that there is none
        try:
            import openvino  # noqa: F401  it is in sys.modules now
        finally:
            del sys.modules[TELEMETRY]
            sys.modules.update(before)
    return sys.modules["openvino"]
