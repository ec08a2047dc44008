"""What software a process runs, so that machines which work on one artifact can be held to the same."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

_PACKAGES = ("numba", "numpy", "pyarrow", "tree-sitter", "tree-sitter-language-pack", "xxhash", "hyperscan")
"""Packages on which bytes may depend."""


@cache
def software() -> dict[str, str]:
    """Names and versions: Python's, buril's with a digest of its code, and those of the packages bytes depend on."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for package in ("buril", *_PACKAGES):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    found["buril"] = f"{found.get('buril', '?')} ({digest.hexdigest()[:8]})"
    return found


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """What differs, in words; empty when nothing does.

    Example:
        `difference({"numpy": "2.0"}, {"numpy": "1.26"})` → "numpy 2.0 here, 1.26 there"
    """
    names = [name for name in sorted({*here, *there}) if here.get(name) != there.get(name)]
    return "; ".join(f"{name} {here.get(name, '—')} here, {there.get(name, '—')} there" for name in names)
