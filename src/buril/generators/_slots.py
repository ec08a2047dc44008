"""Continuous batching on llama.cpp: rows join as others end, and prompts that begin alike run once.

Shapes: N tokens of one call, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from buril.core.errors import BurilError
from buril.generators._lanes import SHARED, Lane, alike, planned
from buril.generators._llamacpp import Llama
from buril.generators._running import Running, write
from buril.generators._writer import Measure, Row, Writer, logprobs


@dataclass(eq=False)
class Slot(Lane):
    """A sequence, its number, and the cells of the cache that are kept for it."""

    number: int
    room: int


@dataclass(eq=False)
class Writing(Slot):
    """One to which the model adds. `source` is another that runs what both begin with, `shared` tokens of it."""

    row: Row
    source: Writing | None
    shared: int


class Slots:
    """Writes and scores with a model of llama.cpp.

    Args:
        llama: the model.
        cache_mb: what its cache takes, to name it in an error.
    """

    def __init__(self, llama: Llama, *, cache_mb: int) -> None:
        self.llama, self.cache_mb = llama, cache_mb
        self.free = list(range(llama.sequences - 1, -1, -1))
        self.cells = llama.cells

    # --- who has which part of the cache

    def _take(self, room: int, *, alone: bool) -> int | None:
        """A sequence of so many tokens; None where there is no room until another ends.

        Raises:
            BurilError: T021 when there would be none, ever.
        """
        if self.free and room <= self.cells:
            self.cells -= room
            return self.free.pop()
        if alone or room > self.llama.cells:
            raise BurilError("T021", tokens=room, fits=self.llama.cells, cache_mb=self.cache_mb)
        return None

    def _give(self, slot: Slot) -> None:
        self.llama.forget(slot.number)
        self.free.append(slot.number)
        self.cells += slot.room

    # --- writing

    def write(self, rows: Iterable[Row], writer: Writer, *, step_tokens: int) -> Iterator[Row]:
        """Write rows to their ends, `step_tokens` tokens a step; each comes when it ends.

        Raises:
            BurilError: T021 when a row does not fit into the cache, even alone.
        """
        return write(Running(self, writer, most=self.llama.sequences, step_tokens=step_tokens), rows)

    def check(self, row: Row) -> None:
        """Refuse a row that would never fit.

        Raises:
            BurilError: T021.
        """
        if _room(row) > self.llama.cells:
            raise BurilError("T021", tokens=_room(row), fits=self.llama.cells, cache_mb=self.cache_mb)

    def lane(self, row: Row, lanes: Sequence[Writing]) -> Writing | None:
        """Cells for a row; None until another ends.

        Raises:
            BurilError: T021 when it would never fit.
        """
        room = _room(row)
        number = self._take(room, alone=not lanes)
        if number is None:
            return None
        found = [(min(alike(lane.row.prompt, row.prompt), len(row.prompt) - 1), lane) for lane in lanes]
        shared, source = max(found, key=lambda pair: pair[0], default=(0, None))
        return Writing(list(row.prompt), 0, number, room, row, source if shared >= SHARED else None, shared)

    def give(self, lane: Slot) -> None:
        """Take the cells of a lane back."""
        self._give(lane)

    def step(self, lanes: Sequence[Writing], writer: Writer, step_tokens: int) -> None:
        """Run what is due, and draw a token for each lane of which nothing is due any more."""
        self._step(lanes, writer, step_tokens)

    def _step(self, lanes: Sequence[Writing], writer: Writer, step_tokens: int) -> None:
        """Run what is due, and draw a token for each lane of which nothing is due any more."""
        parts = planned([lane for lane in lanes if lane.source is None], step_tokens)
        ends = np.cumsum([size for _lane, size in parts])
        ready = [place for place, (lane, size) in enumerate(parts) if lane.due == size]
        logits_NV = self._logits(parts, [int(ends[place]) - 1 for place in ready])
        self._take_over(lanes)
        if not ready:
            return
        drawn = writer.step([parts[place][0].row for place in ready], torch.from_numpy(logits_NV)).tolist()
        for place, token in zip(ready, drawn, strict=True):
            parts[place][0].tokens.append(token)

    def _take_over(self, lanes: Sequence[Writing]) -> None:
        """Give the lanes that wait what others have run for them; the last token of a prompt is left to run."""
        for lane in lanes:
            if lane.source and lane.source.filled >= lane.shared:
                self.llama.share(lane.source.number, lane.number, lane.shared)
                lane.filled, lane.source, lane.row.cached = lane.shared, None, lane.shared

    # --- scoring

    def score(self, sequences: Sequence[Sequence[int]], measure: Measure = logprobs) -> list[NDArray[np.float32]]:
        """Natural log-probability of every token of each sequence but its first, given those before it.

        `measure` says what else is to be told of each token's logits.

        Raises:
            BurilError: T021 when a sequence does not fit into the cache, before any is scored.
        """
        longest = max(map(len, sequences), default=0)
        if longest > self.llama.cells:
            raise BurilError("T021", tokens=longest, fits=self.llama.cells, cache_mb=self.cache_mb)
        found: list[list[NDArray[np.float32]]] = [[np.zeros(0, np.float32)] for _sequence in sequences]
        lanes: dict[int, Slot] = {}
        left = [place for place, sequence in enumerate(sequences) if len(sequence) > 1][::-1]
        try:
            while left or lanes:
                while left and sum(lane.due for lane in lanes.values()) < self.llama.outputs:
                    tokens = list(sequences[left[-1]])
                    number = self._take(len(tokens), alone=not lanes)
                    if number is None:
                        break
                    lanes[left.pop()] = Slot(tokens, 0, number, len(tokens))
                self._score(lanes, found, measure)
        finally:
            for lane in lanes.values():
                self._give(lane)
        return [np.concatenate(parts) for parts in found]

    def _score(self, lanes: dict[int, Slot], found: list[list[NDArray[np.float32]]], measure: Measure) -> None:
        """Score the next tokens of some sequences; those that are done leave `lanes`."""
        before = {place: lane.filled for place, lane in lanes.items()}
        parts = planned(list(lanes.values()), self.llama.outputs)
        logits_NV = torch.from_numpy(self._logits(parts, range(sum(size for _lane, size in parts))))
        at = 0
        for place, lane in list(lanes.items()):
            after = torch.tensor(lane.tokens[before[place] + 1 : lane.filled + 1], dtype=torch.int64)
            found[place].append(measure(logits_NV[at : at + len(after)], after).numpy())
            at += lane.filled - before[place]
            if not lane.due:
                self._give(lanes.pop(place))

    def _logits(self, parts: Sequence[tuple[Slot, int]], wanted: Sequence[int]) -> NDArray[np.float32]:
        given = [(lane.number, lane.filled, lane.tokens[lane.filled : lane.filled + size]) for lane, size in parts]
        found = self.llama.run(given, wanted)
        for lane, size in parts:
            lane.filled += size
        return found


def _room(row: Row) -> int:
    """Tokens that a row may come to; a byte that is written again may be a token."""
    return len(row.prompt) + len(row.rest) + row.request.max_tokens
