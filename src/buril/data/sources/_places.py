"""Where things are: the parts of a URL that decide who may see a token, and the folder of a source's cache."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from buril.core.errors import BurilError
from buril.core.machine import cache_home


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL: what must be the same for a token to go along."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", "", 0
    return parts.scheme, parts.hostname or "", port


def resource(url: str) -> str:
    """Which of GitHub's limits a request counts against: `core`, `search` or `graphql`."""
    path = urlsplit(url).path
    return "graphql" if path.endswith("/graphql") else "search" if "/search/" in path else "core"


def server_time(date: str) -> float:
    """The server's clock by its `Date`, which its limits count by; ours when it says none."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, IndexError):
        return time.time()


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def cache_folder(chosen: Path | None, name: str) -> Path:
    """Where a source keeps what it fetched: the folder that was chosen, else `~/.cache/buril/NAME`."""
    return cache_home() / "buril" / name if chosen is None else chosen.expanduser()


def writable(folder: Path) -> Path:
    """The folder, made where it is not there, for its owner alone.

    Raises:
        BurilError: D043 when it can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as problem:
        raise BurilError("D043", path=folder, problem=problem.strerror or problem) from problem
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BurilError("D043", path=folder, problem=os.strerror(13))
    return folder


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that other threads and processes of this machine respect; a process that dies lets it go."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
