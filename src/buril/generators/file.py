"""File: completions that somebody else wrote, from a file of JSON lines; it loads no model and writes nothing itself.

A line is `{"task_id": …, "completion": …}`, as the tools of HumanEval, MBPP and EvalPlus write them, or a row of an
evaluation's `samples/`; `solution`, a whole program that begins with the task's prompt, is taken too. Several lines of
one task are its samples, in their order; the first is the greedy one, or that which a row calls so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from buril.code.unpacked import unpacked
from buril.core.artifact import sha256_file
from buril.core.errors import BurilError, nearest
from buril.core.settings import Settings as BaseSettings
from buril.generators._generator import Completion, Request, up_to, without_adapters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAMES = ("task_id", "id", "name")
GREEDY = "greedy-0"


@dataclass(frozen=True)
class Line:
    """A completion, or with `whole` a program that begins with the prompt."""

    text: str
    whole: bool
    greedy: bool


class File:
    """Gives back the completions of a file by the names of the tasks."""

    version: ClassVar[int] = 1
    requires: ClassVar[tuple[str, ...]] = ()
    remote: ClassVar[bool] = True

    class Settings(BaseSettings):
        """Which file."""

        path: Path
        """JSON lines, gzipped or not. Its bytes are part of the identity, its place is not."""
        form: Literal["plain", "chat"] = "plain"
        """Which rows count in a file that tells how a task was put."""

        def identity(self) -> dict[str, Any]:
            """The settings, with the digest of the file instead of its path."""
            found = super().identity()
            return {**found, "path": sha256_file(self.path) if self.path.is_file() else str(self.path)}

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lines: dict[str, list[Line]] | None = None

    def open(
        self, base_dir: Path, tokenizer_dir: Path, *, adapter_dir: Path | None = None, model_dir: Path | None = None
    ) -> None:
        """There is no model to load."""

    def complete(self, requests: Sequence[Request]) -> Iterator[list[Completion]]:
        """The completions of each request's task, cut where the request stops.

        Raises:
            BurilError: E020 when a task has fewer than asked, E021 when the file holds something else, V031 for an
                adapter.
        """
        without_adapters(requests, "file")
        lines = self.lines()
        for request in requests:
            found = lines.get(request.name, [])
            greedy = [line for line in found if line.greedy]
            if request.temperature > 0 and len(found) > len(greedy) > 0:
                found = [line for line in found if not line.greedy]
            elif request.temperature == 0:
                found = greedy or found
            if len(found) < request.num_samples:
                raise BurilError(
                    "E020", path=self.settings.path, task=request.name, number=len(found), wanted=request.num_samples,
                    suggestion=nearest(request.name, list(lines)),
                )  # fmt: skip
            yield [self._completion(line, request) for line in found[: request.num_samples]]

    def lines(self) -> dict[str, list[Line]]:
        """What the file holds, by task.

        Raises:
            BurilError: E021 when it is not there or holds something else.
        """
        if self._lines is None:
            self._lines = {}
            for name, line in self._read():
                self._lines.setdefault(name, []).append(line)
        return self._lines

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Refused (E022): there is no model."""
        raise BurilError("E022", generator="file")

    def encode(self, text: str) -> list[int]:
        """Refused (E022): there is no tokenizer."""
        raise BurilError("E022", generator="file")

    def chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """Refused (T017): how a task was put is done already."""
        raise BurilError("T017")

    def _completion(self, line: Line, request: Request) -> Completion:
        text = line.text
        if line.whole:
            prompt = request.prompt if isinstance(request.prompt, str) else ""
            begun = next((start for start in (prompt, prompt.strip()) if start and text.startswith(start)), None)
            if begun is None:
                raise BurilError("E021", path=self.settings.path, line=request.name, problem="`solution` ≠ `prompt` …")
            text = text[len(begun) :]
        text, stopped = up_to(text, request.stop)
        return Completion(text, (), "stop" if stopped else "eos", math.nan)

    def _read(self) -> Iterator[tuple[str, Line]]:
        path = self.settings.path
        number = 0  # the line that a problem is told of
        try:
            text = unpacked(path).decode("utf-8")
            for part in text.splitlines():
                number += 1
                row = json.loads(part) if part.strip() else {}
                if row and row.get("form", self.settings.form) == self.settings.form:
                    yield _line(row)
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as problem:
            told = f"{type(problem).__name__}: {problem}"
            raise BurilError("E021", path=path, line=number, problem=told) from problem


def _line(row: Mapping[str, Any]) -> tuple[str, Line]:
    name = next((str(row[key]) for key in NAMES if key in row), None)
    if name is None:
        raise KeyError(NAMES[0])
    whole = "completion" not in row
    text = row["solution"] if whole else row["completion"]
    if not isinstance(text, str):
        raise TypeError(f"{name}: {type(text).__name__}")
    return name, Line(text, whole, row.get("sample") == GREEDY)
