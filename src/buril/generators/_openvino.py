"""OpenVINO without what its Python package tells others of its use."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TELEMETRY = "openvino_telemetry"


class _Stack(ctypes.Structure):
    """`stack_t` of <signal.h>."""

    _fields_ = (("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


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


def cpu_runs_bf16() -> bool:
    """Whether OpenVINO can be told to multiply in bf16 on this CPU; it refuses where instructions are missing."""
    with signal_stack_kept():
        return "BF16" in openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """What is done within leaves the calling thread the signal stack that it had.

    OpenVINO's plugin for CPUs gives the thread that loads it a signal stack of its own, and takes that memory away with
    its last model, on whatever thread that happens (seen in 2026.4). The next signal, such as Ctrl-C, would then end
    the process without a word.
    """
    if sys.platform != "linux":
        yield
        return
    library, before = ctypes.CDLL(None, use_errno=True), _Stack()
    library.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        library.sigaltstack(ctypes.byref(before), None)
