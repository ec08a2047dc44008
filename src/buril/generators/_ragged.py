"""Continuous batching on a graph whose cache is a rectangle: a place for each row, as long as the longest needs.

Of a prompt everything but its last token runs alone; then the row joins those that get a token in one call, whatever
their lengths. These must lie side by side, so places are exchanged where they do not.

Shapes: B rows, T new tokens, S tokens that a place has room for, H heads, D their width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from buril.core.errors import BurilError
from buril.generators._lanes import SHARED, Lane, alike
from buril.generators._running import Running, write
from buril.generators._writer import Measure, Row, Writer, logprobs

STEP = 256
"""Places grow by so many tokens: growing copies all that is held."""
HEAD_TOKENS = 256
"""Tokens whose logits exist at one time while scoring: of a 150,000-token vocabulary they are 150 MB."""


@dataclass(eq=False)
class Writing(Lane):
    """A row, its place, and the tokens that it may come to.

    `source` is another that runs what both begin with, `shared` tokens of it.
    """

    place: int
    room: int
    row: Row
    source: Writing | None = None
    shared: int = 0


class Cache:
    """Keys and values of some places; memory is taken up as it is written to.

    Args:
        graph: whose layers they are.
        places: how many.
        size: tokens that each has room for.
    """

    def __init__(self, graph: Any, places: int, size: int) -> None:
        self.places, self.size, self._graph = places, size, graph
        self._parts = [self._part() for _part in range(2 * graph.layers)]

    def _part(self) -> NDArray[np.float32]:
        return np.empty((self.places, self._graph.heads, self.size, self._graph.width), np.float32)

    def of(self, first: int, after: int) -> list[NDArray[np.float32]]:
        """The places from one to another."""
        return [part_BHSD[first:after] for part_BHSD in self._parts]

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Let a place begin as another does."""
        for part_BHSD in self._parts:
            part_BHSD[target, :, :tokens] = part_BHSD[source, :, :tokens]

    def exchange(self, one: int, other: int, tokens: int) -> None:
        """Exchange what two places begin with."""
        for part_BHSD in self._parts:
            held_HSD = part_BHSD[one, :, :tokens].copy()
            part_BHSD[one, :, :tokens] = part_BHSD[other, :, :tokens]
            part_BHSD[other, :, :tokens] = held_HSD

    def resize(self, places: int, size: int, kept: Mapping[int, int]) -> None:
        """Other measures; of the places so far those `kept` come first, in this order, with so many tokens each."""
        self.places, self.size = places, size
        for number, old_BHSD in enumerate(self._parts):
            self._parts[number] = self._part()
            for target, (source, tokens) in enumerate(kept.items()):
                self._parts[number][target, :, :tokens] = old_BHSD[source, :, :tokens]


class Ragged:
    """Writes with a graph.

    Args:
        graph: what `_onnx.Graph` is.
        most: rows at a time.
        cache_mb: memory for keys and values. It is taken up only as far as it is used.
        keep: whether what a free place holds is remembered until it is taken for something else, those that were free
            longest first. What is written then depends, in its last bits, on what was written before.
    """

    def __init__(self, graph: Any, *, most: int, cache_mb: int, keep: bool = False) -> None:
        self.graph, self.most, self.cache_mb, self.keep = graph, most, cache_mb, keep
        self.cells = cells(graph, cache_mb)
        self._cache = Cache(graph, 0, 0)
        self._held: dict[int, Writing] = {}
        self._left: dict[int, list[int]] = {}
        """What free places hold, those that were free longest first."""

    def write(self, rows: Iterable[Row], writer: Writer, *, step_tokens: int) -> Iterator[Row]:
        """Write rows to their ends, `step_tokens` tokens of prompts a step; each comes when it ends.

        Raises:
            BurilError: T021 when a row does not fit into the cache, even alone; T031.
        """
        return write(Running(self, writer, most=self.most, step_tokens=step_tokens), rows)

    # --- who has which place

    def check(self, row: Row) -> None:
        """Refuse a row that would never fit.

        Raises:
            BurilError: T021.
        """
        if self._room(row) > self.cells:
            raise BurilError("T021", tokens=self._room(row), fits=self.cells, cache_mb=self.cache_mb)

    def _room(self, row: Row) -> int:
        """Tokens that a row may come to; a byte that is written again may be a token. At the window's end it ends."""
        return min(len(row.prompt) + len(row.rest) + row.request.max_tokens, int(self.graph.window))

    def lane(self, row: Row, lanes: Sequence[Writing]) -> Writing | None:
        """A place for a row; None until another ends.

        Raises:
            BurilError: T021 when it would never fit.
        """
        self.check(row)
        room = self._room(row)
        if not self._makes_room(room):
            return None
        prompt = row.prompt[:-1]  # the last token always runs: its logits are wanted
        place, filled = self._free_place(prompt)
        others = [(alike(lane.row.prompt[:-1], prompt), lane) for lane in lanes]
        shared, source = max(others, key=lambda pair: pair[0], default=(0, None))
        made = Writing(list(row.prompt), filled, place, room, row)
        if source is not None and shared >= max(SHARED, filled + 1):
            made.filled, made.source, made.shared = 0, source, shared
        self._held[place] = made
        return made

    def _makes_room(self, room: int) -> bool:
        """Whether there is a free place of this room, once places are as long as they must be and no longer."""
        if room <= self._cache.size and len(self._held) < self._cache.places:
            return True
        longest = max([room, *(lane.room for lane in self._held.values())])
        size = min(-(-longest // STEP) * STEP, self.cells)
        places = min(self.most, self.cells // size)
        if places <= len(self._held):
            return False
        left = sorted((place for place in self._left if len(self._left[place]) <= size), reverse=True)
        kept = [*self._held, *left[: places - len(self._held)]]
        self._cache.resize(places, size, {place: len(self._content(place)) for place in kept})
        self._renumber({place: number for number, place in enumerate(kept)})
        return True

    def _free_place(self, prompt: Sequence[int]) -> tuple[int, int]:
        """The free place that begins most like a prompt, and how far; else the one that was free longest."""
        free = [place for place in range(self._cache.places) if place not in self._held]
        shared = {place: alike(self._left.get(place, ()), prompt) for place in free}
        best = max(free, key=lambda place: shared[place])
        if shared[best] < SHARED:
            empty = (place for place in free if place not in self._left)
            best = next(empty, next(iter(self._left), best))
            shared[best] = 0
        self._left.pop(best, None)
        return best, shared[best]

    def give(self, lane: Writing) -> None:
        """Take the place of a lane back."""
        del self._held[lane.place]
        if self.keep:
            self._left[lane.place] = lane.tokens[: lane.filled]

    def _content(self, place: int) -> list[int]:
        lane = self._held.get(place)
        return lane.tokens[: lane.filled] if lane else self._left.get(place, [])

    def _renumber(self, to: Mapping[int, int]) -> None:
        """Give places other numbers; those without one hold nothing any more."""
        self._held = {to[place]: lane for place, lane in self._held.items()}
        self._left = {to[place]: ids for place, ids in self._left.items() if place in to}
        for place, lane in self._held.items():
            lane.place = place

    # --- a step

    def step(self, lanes: Sequence[Writing], writer: Writer, step_tokens: int) -> None:
        """Run what is due of prompts, and draw a token for each lane of which only its last token is due."""
        for lane in lanes:  # those that others wait for came before them
            self._take_over(lane)
            size = min(lane.due - 1, step_tokens) if lane.source is None else 0
            if size:
                self._run(lane, size)
                step_tokens -= size
        ready = [lane for lane in lanes if lane.due == 1]
        if not ready:
            return
        ready = self._side_by_side(ready)
        ids_BT = np.array([[lane.tokens[-1]] for lane in ready], np.int64)
        cache, ends = self._cache.of(0, len(ready)), [len(lane.tokens) for lane in ready]
        logits_BV = torch.from_numpy(self.graph.run(cache, ids_BT, ends, logits=True)[:, 0])
        drawn = writer.step([lane.row for lane in ready], logits_BV).tolist()
        for lane, token in zip(ready, drawn, strict=True):
            lane.filled = len(lane.tokens)
            lane.tokens.append(token)
            if len(lane.tokens) > self.graph.window:
                lane.row.ended = lane.row.ended or "length"

    def _run(self, lane: Writing, size: int) -> None:
        """Run the next tokens of a prompt."""
        ids_BT = np.array([lane.tokens[lane.filled : lane.filled + size]], np.int64)
        end = lane.filled + size
        self.graph.run(self._cache.of(lane.place, lane.place + 1), ids_BT, [end], logits=False)
        lane.filled = end

    def _take_over(self, lane: Writing) -> None:
        """Give a lane that waits what another has run for it."""
        if lane.source and lane.source.filled >= lane.shared:
            self._cache.copy(lane.source.place, lane.place, lane.shared)
            lane.filled, lane.source = lane.shared, None

    def _side_by_side(self, ready: Sequence[Writing]) -> list[Writing]:
        """Those that get a token, once they have the first places, in the order of these."""
        number = len(ready)
        places = {lane.place for lane in ready}
        holes = [place for place in range(number) if place not in places]
        for lane in [lane for lane in ready if lane.place >= number]:
            one, other = holes.pop(), lane.place
            self._cache.exchange(one, other, max(len(self._content(one)), lane.filled))
            self._renumber({**{place: place for place in range(self._cache.places)}, one: other, other: one})
        return sorted(ready, key=lambda lane: lane.place)


def cells(graph: Any, cache_mb: int) -> int:
    """Tokens that some memory holds the keys and values of."""
    return max(1, cache_mb * 2**20 // int(graph.cell_bytes))


def score(
    graph: Any, sequences: Sequence[Sequence[int]], *, cache_mb: int, measure: Measure = logprobs
) -> list[NDArray[np.float32]]:
    """Natural log-probability of every token of each sequence but its first, given those before it.

    `measure` says what else is to be told of each token's logits.

    Raises:
        BurilError: T021 when a sequence does not fit into the cache, T032 when it is longer than the model's window,
            before any is scored; T031.
    """
    longest = max(map(len, sequences), default=0)
    if longest > graph.window:
        raise BurilError("T032", tokens=longest, window=graph.window)
    if longest > cells(graph, cache_mb):
        raise BurilError("T021", tokens=longest, fits=cells(graph, cache_mb), cache_mb=cache_mb)
    cache = Cache(graph, 1, longest)
    return [_scored(graph, cache, list(sequence), measure) for sequence in sequences]


def _scored(graph: Any, cache: Cache, ids: list[int], measure: Measure) -> NDArray[np.float32]:
    found: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    for first in range(0, len(ids) - 1, HEAD_TOKENS):
        after = min(first + HEAD_TOKENS, len(ids) - 1)
        ids_BT = np.array([ids[first:after]], np.int64)
        logits_TV = torch.from_numpy(graph.run(cache.of(0, 1), ids_BT, [after], logits=True)[0])
        found.append(measure(logits_TV, torch.tensor(ids[first + 1 : after + 1])).numpy())
    return np.concatenate(found)
