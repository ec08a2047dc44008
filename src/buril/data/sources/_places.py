"""Where things are: the parts of a URL that decide who may see a token, and the folder of a source's cache."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit


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


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def cache_folder(chosen: Path | None, name: str) -> Path:
    """Where a source keeps what it fetched: the folder that was chosen, else `~/.cache/buril/NAME`."""
    if chosen is not None:
        return chosen.expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "buril" / name
