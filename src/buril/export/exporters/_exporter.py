"""Exporter: the one protocol of what writes a model in a format and reads it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Bits = Literal[4, 8, 16, 32]
"""How exact a format is: what the limits of the comparison go by. 32 means that nothing is rounded."""


@dataclass(frozen=True)
class Source:
    """The model that is exported. Exporters read it and change nothing.

    `folder` is a plain Hugging Face folder: weights with the adapter merged in, configuration, tokenizer. `config` is
    the same without weights. `adapter` is the adapter as it was trained, where there is one; `exact` says that merging
    and storing it rounded nothing. `threads` are those that an engine may use.
    """

    folder: Path
    config: Path
    adapter: Path | None = None
    exact: bool = True
    threads: int = 1


class Reader(Protocol):
    """An exported model, opened by its engine."""

    def greedy(self, prompts: Sequence[tuple[int, ...]], num_tokens: int) -> list[tuple[int, ...]]:
        """What follows each prompt when the likeliest token is taken each time, up to what ends a text."""

    def score(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Log-probability of token 1, 2, … given those before it: one fewer than there are tokens."""


class Exporter(Protocol):
    """A format. Plugins of the kind `exporter` are classes of this shape, made with their settings."""

    engines: tuple[str, ...]
    """What reads the files: generators of buril by their names, and other programs."""
    main: str
    """The file or folder that is handed to an engine, inside the format's own folder; `.` for that folder."""

    def name(self) -> str:
        """The folder in the bundle, with what tells two of the same format apart: `gguf-q8_0`."""

    def bits(self, source: Source) -> Bits:
        """How exact it is."""

    def usage(self) -> str:
        """How the files are loaded, in one line of code or shell, `{folder}` standing for the format's folder."""

    def write(self, source: Source, folder: Path) -> None:
        """Write the files into an empty folder.

        Raises:
            BurilError: for a model that the format has no place for.
        """

    def open(self, source: Source, folder: Path) -> Reader:
        """Open what was written with the engine that reads it, in its most exact precision."""


class Generated:
    """A reader that is one of buril's generators."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator

    def greedy(self, prompts: Sequence[tuple[int, ...]], num_tokens: int) -> list[tuple[int, ...]]:
        """As a generator writes at temperature 0."""
        from buril.generators._generator import Request

        requests = [Request(prompt, max_tokens=num_tokens) for prompt in prompts]
        return [found[0].tokens for found in self.generator.complete(requests)]

    def score(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """As a generator scores."""
        scores: NDArray[np.float32] = self.generator.score([list(ids)])[0]
        return scores


class Stepped:
    """A reader of an engine that gives logits: `step` gives those of the tokens it is handed.

    What ends a text is what ends it in the generators.
    """

    def __init__(self, source: Source) -> None:
        from buril.generators._load import outline
        from buril.generators._writer import end_ids, num_tokens

        loaded = outline(source.config, source.config)
        self.ends, self.num_tokens = end_ids(loaded), num_tokens(loaded)

    def begin(self) -> None:
        """Forget what was read."""
        raise NotImplementedError

    def step(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The logits of some tokens, given all since `begin`: one row each."""
        raise NotImplementedError

    def greedy(self, prompts: Sequence[tuple[int, ...]], num_tokens: int) -> list[tuple[int, ...]]:
        """Token by token."""
        return [self._greedy(prompt, num_tokens) for prompt in prompts]

    def _greedy(self, prompt: tuple[int, ...], num_tokens: int) -> tuple[int, ...]:
        self.begin()
        written: list[int] = []
        row = self.step(prompt)[-1]
        while True:
            token = int(row[: self.num_tokens].argmax())
            if token in self.ends:
                return tuple(written)
            written.append(token)
            if len(written) == num_tokens:
                return tuple(written)
            row = self.step([token])[-1]

    def score(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """All at once."""
        import numpy as np

        self.begin()
        rows = self.step(ids)[:-1].astype(np.float64)
        rows -= rows.max(axis=1, keepdims=True)
        chosen = rows[np.arange(len(ids) - 1), list(ids)[1:]]
        found: NDArray[np.float32] = (chosen - np.log(np.exp(rows).sum(axis=1))).astype(np.float32)
        return found
