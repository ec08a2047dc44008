"""Tasks that come from a file: where it is told, how it is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from buril.code.unpacked import unpacked
from buril.core.artifact import sha256_file
from buril.core.errors import BurilError
from buril.evaluate.suites._coding import Coding

Task = TypeVar("Task")


class FileSettings(Coding.Settings):
    """Where the tasks are, how they are put, and how many completions are drawn."""

    path: Path | None = None
    """The file of the tasks; its bytes are part of the identity, its place is not."""

    def identity(self) -> dict[str, Any]:
        """The settings, with the digest of the file instead of its path."""
        found = super().identity()
        return {**found, "path": sha256_file(self.file()) if self.file().is_file() else str(self.path)}

    def file(self) -> Path:
        """The file of the tasks, there or not."""
        return self.path or Path("tasks.jsonl")


def lines_of(path: Path, suite: str) -> list[dict[str, Any]]:
    """The objects of a file of tasks: JSON lines, gzipped or not, or one JSON list.

    Raises:
        BurilError: E008 without the file, E009 when it holds something else.
    """
    try:
        text = unpacked(path).decode("utf-8")
    except FileNotFoundError:
        raise BurilError("E008", suite=suite, path=path) from None
    except (OSError, EOFError, UnicodeDecodeError) as problem:
        raise BurilError("E009", path=path, line=0, problem=problem) from problem
    try:
        if text.lstrip().startswith("["):
            return list(json.loads(text))
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as problem:
        number = text[: getattr(problem, "pos", 0)].count("\n") + 1
        raise BurilError("E009", path=path, line=number, problem=problem) from problem


def tasks_of(path: Path, suite: str, read: Callable[[dict[str, Any]], Task]) -> list[Task]:
    """What `read` makes of each line of a file; it raises KeyError, TypeError or ValueError for what is no task.

    Raises:
        BurilError: E008 without the file, E009 when it holds something else.
    """
    found = []
    for number, line in enumerate(lines_of(path, suite), 1):
        try:
            found.append(read(line))
        except (KeyError, TypeError, ValueError) as problem:
            raise BurilError("E009", path=path, line=number, problem=f"{type(problem).__name__}: {problem}") from None
    return found
