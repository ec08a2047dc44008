"""The folder where sources keep what they fetched, and the lock that lets two runs share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from buril.core.errors import BurilError
from buril.data.sources import _places


def cache_folder(chosen: Path | None, name: str) -> Path:
    """The folder that was chosen, else `~/.cache/buril/NAME` (`XDG_CACHE_HOME` is heeded); it exists.

    Raises:
        BurilError: S003 when it can't be made.
    """
    folder = _places.cache_folder(chosen, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise BurilError("S003", path=folder, problem=problem.strerror or "") from problem
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; a second process waits here, and finds what the first one fetched."""
    with _places.locked(folder.with_name(f".{folder.name}.lock")):
        yield
