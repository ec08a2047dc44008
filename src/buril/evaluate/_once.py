"""The sandbox of an examination: made when it is first asked for, closed when all is done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from buril.core.plugins import Ref
from buril.sandboxes._lazy import Lazy
from buril.sandboxes._sandbox import Sandbox


def once(ref: Ref, stack: contextlib.ExitStack) -> Callable[[], Sandbox]:
    """Makes the sandbox when it is first asked for, and closes it at the end."""
    made = Lazy(ref)
    stack.callback(made.close)
    return made.get
