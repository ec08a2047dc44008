"""The folder where sources keep what they fetched, and the lock that lets two runs share it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from buril.core.errors import BurilError


def cache_folder(chosen: Path | None, name: str) -> Path:
    """The folder that was chosen, else `~/.cache/buril/NAME` (`XDG_CACHE_HOME` is heeded); it exists.

    Raises:
        BurilError: S003 when it can't be made.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = chosen.expanduser() if chosen else (Path(base) if base else Path.home() / ".cache") / "buril" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise BurilError("S003", path=folder, problem=problem.strerror or "") from problem
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; a second process waits here, and finds what the first one fetched."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
