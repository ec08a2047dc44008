"""Rows on their way through an engine: they join between two steps, and may be taken out again.

An engine says which lane a row gets and runs a step of all lanes; who joins when is decided here, alike for a list of
requests (`write`) and for a server, whose requests come and go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

from buril.generators._writer import Row, Writer


class Batching(Protocol):
    """An engine that runs lanes together.

    One whose lanes are apart (`apart = True`) computes a lane alike wherever in the cache it lies and whatever else the
    cache holds: then a row that asks to be alone has steps of its own. On any other it has the engine to itself.
    """

    def check(self, row: Row) -> None:
        """Refuse a row that would never fit (T021)."""

    def lane(self, row: Row, lanes: Sequence[Any]) -> Any | None:
        """A lane for a row; None until another ends."""

    def step(self, lanes: Sequence[Any], writer: Writer, step_tokens: int) -> None:
        """Run what is due, and draw a token for each lane of which nothing is due any more."""

    def give(self, lane: Any) -> None:
        """Take a lane back."""


class Running:
    """What is being written, and what waits.

    Args:
        engine: what computes the logits.
        writer: draws the tokens and ends the rows.
        most: rows at a time.
        step_tokens: tokens of a step, at most; longer prompts take several.
    """

    def __init__(self, engine: Batching, writer: Writer, *, most: int, step_tokens: int) -> None:
        self.engine, self.writer, self.most, self.step_tokens = engine, writer, most, step_tokens
        self.waiting: deque[Row] = deque()
        self.lanes: list[Any] = []
        self._leaving: set[int] = set()

    def __len__(self) -> int:
        return len(self.waiting) + len(self.lanes)

    def add(self, row: Row) -> None:
        """Let a row wait for its turn.

        Raises:
            BurilError: T021 when it would never fit into the cache.
        """
        self.engine.check(row)
        self.waiting.append(row)

    def cancel(self, row: Row) -> None:
        """Take a row out; it never comes from `step`.

        One whose prompt is running is taken out when that is done: others may have been promised what it fills.
        """
        if row in self.waiting:
            self.waiting.remove(row)
        elif any(lane.row is row for lane in self.lanes):
            self._leaving.add(id(row))

    def _may_leave(self, lane: Any) -> bool:
        return id(lane.row) in self._leaving and lane.due <= 1

    def step(self) -> list[Row]:
        """Let rows join, run one step; the rows that have ended.

        Raises:
            BurilError: T021.
        """
        ended = self._join()
        for lanes in self._together():
            self.engine.step(lanes, self.writer, self.step_tokens)
        for lane in [
            lane for lane in self.lanes if lane.row.ended or (id(lane.row) in self._leaving and lane.due <= 1)
        ]:
            self.engine.give(lane)
            self.lanes.remove(lane)
            if id(lane.row) not in self._leaving:
                ended.append(lane.row)
            self._leaving.discard(id(lane.row))
        return ended

    def _join(self) -> list[Row]:
        """Give lanes to those that wait, in their order; those that have nothing to write end at once."""
        ended = []
        while self.waiting and len(self.lanes) < self.most:
            row = self.waiting[0]
            if row.ended is not None:
                ended.append(row)
            elif self._may_join(row) and (lane := self.engine.lane(row, self.lanes)) is not None:
                self.lanes.append(lane)
            else:
                break
            self.waiting.popleft()
        return ended

    def _together(self) -> Iterator[list[Any]]:
        """The lanes that a call of the engine runs: all in one, but for those that ask to be alone."""
        if others := [lane for lane in self.lanes if not lane.row.request.alone]:
            yield others
        yield from ([lane] for lane in self.lanes if lane.row.request.alone)

    def _may_join(self, row: Row) -> bool:
        """Whether a row may be computed beside those that are on their way."""
        if getattr(self.engine, "apart", False):
            return True
        return not self.lanes if row.request.alone else not any(lane.row.request.alone for lane in self.lanes)

    def close(self) -> None:
        """Give all lanes back; nothing waits any more."""
        for lane in self.lanes:
            self.engine.give(lane)
        self.lanes, self._leaving = [], set()
        self.waiting.clear()


def write(running: Running, rows: Iterable[Row]) -> Iterator[Row]:
    """Write rows to their ends; each comes when it ends.

    Raises:
        BurilError: T021 when a row does not fit into the cache, even alone.
    """
    source = iter(rows)
    try:
        while True:
            room = running.most - len(running)
            running.waiting.extend(islice(source, max(room, not running.waiting)))
            if not running:
                return
            yield from running.step()
    finally:  # whoever asked may not want the rest
        running.close()
