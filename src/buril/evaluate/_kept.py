"""Kept completions: what a model has written is not written again after an interruption.

Completions are kept a batch at a time, and the batches follow from what is asked alone: so those that are left after an
interruption are the ones that would have come, and the results are the same to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buril.generators._generator import Completion, Generator, Request

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROWS = 128
"""Completions of one batch; a generator may divide it further."""


class Kept:
    """A generator whose completions are written down as they come, and read again where they are there already.

    Args:
        generator: what writes.
        path: a file of JSON lines, which is added to; it belongs to one model.
    """

    def __init__(self, generator: Generator, path: Path) -> None:
        self.generator = generator
        self._path = path
        self._found = dict(_read(path))

    def open(
        self, base_dir: Path, tokenizer_dir: Path, *, adapter_dir: Path | None = None, model_dir: Path | None = None
    ) -> None:
        """Load a model."""
        self.generator.open(base_dir, tokenizer_dir, adapter_dir=adapter_dir, model_dir=model_dir)

    def complete(self, requests: Sequence[Request]) -> Iterator[list[Completion]]:
        """The completions of each request, in their order."""
        for batch in _batches(requests):
            key = hashlib.sha256(repr(batch).encode("utf-8", "surrogatepass")).hexdigest()
            if key not in self._found:
                self._found[key] = list(self.generator.complete(batch))
                self._add(key, self._found[key])
            yield from self._found[key]

    def score(self, sequences: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """Log-probabilities, anew each time."""
        return self.generator.score(sequences)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return self.generator.encode(text)

    def chat(self, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """The prompt of a chat."""
        return self.generator.chat(messages)

    def _add(self, key: str, found: Sequence[Sequence[Completion]]) -> None:
        line = json.dumps({"asked": key, "written": [[asdict(item) for item in items] for items in found]})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())


def _batches(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """Requests in batches of at most `ROWS` completions."""
    batch: list[Request] = []
    for request in requests:
        if batch and sum(item.num_samples for item in [*batch, request]) > ROWS:
            yield batch
            batch = []
        batch.append(request)
    if batch:
        yield batch


def _read(path: Path) -> Iterator[tuple[str, list[list[Completion]]]]:
    """What is there; half a line that a killed run left at the end is taken off."""
    data = path.read_bytes() if path.exists() else b""
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
    for line in data[:whole].splitlines():
        told: Any = json.loads(line)
        yield told["asked"], [[_completion(item) for item in items] for items in told["written"]]


def _completion(item: dict[str, Any]) -> Completion:
    usage = item["usage"]
    return Completion(**{**item, "tokens": tuple(item["tokens"]), "usage": tuple(usage) if usage else None})
