"""What the sources share when they list files: globs, and the look at a file that says whether to read it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from buril.code.language import detect, may_be_source
from buril.data.source import Dropped, SourceFile, read_head

SHEBANG_BYTES = 256
NOT_SOURCE = (
    "node_modules",
    ".buril",
    "bower_components",
    "site-packages",
    "__pycache__",
    ".venv",
    "venv",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".ipynb_checkpoints",
    ".hg",
    ".svn",
    "*.egg-info",
)
"""Names of folders that tools fill with other people's code or with their own state."""


def globs(patterns: Sequence[str]) -> Callable[[str], bool]:
    """A test whether a path, or a folder above it, fits one of the patterns.

    `*` and `?` stay inside one name, `**` crosses folders; a pattern without a slash fits at any depth.

    Example:
        `globs(["node_modules", "docs/**/*.py"])("a/node_modules/x.js")` → True
    """
    if not patterns:
        return lambda path: False
    whole = re.compile("|".join(f"(?:{_regex(pattern)})(?:/.*)?" for pattern in patterns), re.DOTALL)
    return lambda path: whole.fullmatch(path) is not None


def _regex(pattern: str) -> str:
    pattern = pattern.strip("/")
    text = "" if "/" in pattern else "(?:.*/)?"
    place = 0
    while place < len(pattern):
        for sign, meaning in (("**/", "(?:.*/)?"), ("**", ".*"), ("*", "[^/]*"), ("?", "[^/]")):
            if pattern.startswith(sign, place):
                text += meaning
                place += len(sign)
                break
        else:
            text += re.escape(pattern[place])
            place += 1
    return text


class Lister:
    """Looks at files below one root without opening them (but for the `#!` of those without an ending)."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real = os.path.realpath(root)
        self._folders: dict[str, bool] = {}

    def look(self, path: str, license: str = "", blob: str = "") -> SourceFile | Dropped:
        """A file worth reading, or why it is not: not there, a link, outside the root, empty, not source code."""
        file = self._root / path
        try:
            path.encode()
            facts = file.lstat()
        except UnicodeEncodeError:
            return Dropped(path, 0, "path", "not UTF-8")
        except (OSError, ValueError) as problem:
            return Dropped(path, 0, "missing", getattr(problem, "strerror", None) or "")
        if not self._inside(path.rpartition("/")[0]):
            return Dropped(path, 0, "outside")
        if not stat.S_ISREG(facts.st_mode):
            return Dropped(path, 0, "symlink" if stat.S_ISLNK(facts.st_mode) else "not_a_file")
        source = may_be_source(path)
        if source is None:
            source = bool(detect(path, read_head(file, SHEBANG_BYTES).decode("utf-8", "replace")))
        if not source or facts.st_size == 0:
            return Dropped(path, facts.st_size, "empty" if source else "language")
        return SourceFile(path, facts.st_size, license, blob)

    def stamp(self, path: str) -> tuple[int, int]:
        """Size and time of change (ns) of a file, or (-1, -1): what a fingerprint needs."""
        try:
            facts = (self._root / path).lstat()
        except (OSError, ValueError):
            return -1, -1
        return facts.st_size, facts.st_mtime_ns

    def _inside(self, folder: str) -> bool:
        """Whether a folder really lies below the root, no link on the way leading out."""
        if folder not in self._folders:
            real = os.path.realpath(self._root / folder)
            self._folders[folder] = real == self._real or real.startswith(self._real + os.sep)
        return self._folders[folder]
