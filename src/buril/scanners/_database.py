"""The compiled automaton of many patterns, kept between processes: it takes most of a second to make and 1 ms to read.

It lies in `~/.cache/buril/patterns` (`XDG_CACHE_HOME` is heeded), readable and writable by its user alone, and is named
by a hash of the patterns and the library: other patterns are another file. It is as good as code, so a file that
somebody else owns or may write is not read; the library itself refuses one that is damaged or of another processor.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from buril.core.machine import cache_home

Pattern = tuple[bytes, bool]
"""An expression, and whether upper and lower case are the same to it."""


def database(library: Any, patterns: Sequence[Pattern]) -> Any:
    """The database of these patterns in block mode; the number of a pattern is its id.

    Args:
        library: the module `hyperscan`.
        patterns: at least one.
    """
    path = _path(library, patterns)
    found = _read(library, path)
    if found is None:
        found = library.Database()
        found.compile(
            expressions=[expression for expression, _ in patterns],
            ids=list(range(len(patterns))),
            flags=[library.HS_FLAG_DOTALL | library.HS_FLAG_CASELESS * caseless for _, caseless in patterns],
        )
        _write(path, bytes(library.dumpb(found)))
    return found


def _path(library: Any, patterns: Sequence[Pattern]) -> Path:
    named = hashlib.sha256(f"{library.__version__}\0{platform.machine()}\0".encode())
    for expression, caseless in patterns:
        named.update(b"%d %d\0" % (len(expression), caseless) + expression)
    return cache_home() / "buril" / "patterns" / f"{named.hexdigest()[:32]}.hs"


def _read(library: Any, path: Path) -> Any:
    """The database of a file that is this user's own; None without one, or where the library refuses it."""
    try:
        with path.open("rb") as stream:
            state = os.fstat(stream.fileno())
            if state.st_uid != os.geteuid() or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return None
            found = library.loadb(stream.read(), library.HS_MODE_BLOCK)
    except (OSError, library.error):
        return None
    found.scratch = library.Scratch(found)
    return found


def _write(path: Path, content: bytes) -> None:
    """Keep a database; a home that can't be written costs the time of making it again, nothing else."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        temporary.replace(path)
