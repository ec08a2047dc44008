"""A session: a model to which requests come and from which they go, while others are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from buril.generators._decode import Decoder
from buril.generators._generator import Request, begun
from buril.generators._lanes import Lane
from buril.generators._running import Running
from buril.generators._writer import Row, Writer


class Seen(NamedTuple):
    """What of a row's text is sure not to change any more, and whether that is all of it."""

    text: str
    ended: bool


class Session:
    """Requests on their way. Everything but `rows` belongs to one thread.

    Args:
        running: the engine with what is on its way.
        rows: makes the samples of a request.
    """

    def __init__(self, running: Running, rows: Callable[[Sequence[Request]], Iterator[Row]]) -> None:
        self._running, self._rows = running, rows

    def rows(self, request: Request) -> list[Row]:
        """The samples of a request, which may join; any thread may ask.

        Raises:
            BurilError: T015 for a suffix where the model has no sentinels, T021 for what never fits into the cache.
        """
        found = list(self._rows([request]))
        for row in found:
            self._running.engine.check(row)
        return found

    def add(self, rows: Sequence[Row]) -> None:
        """Let samples wait for their turn."""
        self._running.waiting.extend(rows)

    def cancel(self, rows: Sequence[Row]) -> None:
        """Take samples out."""
        for row in rows:
            self._running.cancel(row)

    def step(self) -> list[Row]:
        """Write one token more of each sample that has its turn; the samples that have ended.

        Raises:
            BurilError: what the engine raises: nothing that was on its way can be gone on with then.
        """
        return self._running.step()

    def close(self) -> None:
        """Let go of all that is on its way."""
        self._running.close()

    @property
    def writer(self) -> Writer:
        """What draws the tokens."""
        return self._running.writer

    def __len__(self) -> int:
        return len(self._running)

    @property
    def most(self) -> int:
        """Samples that can be written at a time."""
        return self._running.most

    @property
    def writing(self) -> list[Row]:
        """The samples that have their turn."""
        return [lane.row for lane in self._running.lanes]

    @property
    def adapters(self) -> set[str]:
        """The adapters of all samples, "" among them where one has none."""
        return {row.request.adapter for row in (*self.writing, *self._running.waiting)}

    @property
    def num_waiting(self) -> int:
        """Samples that have no turn yet."""
        return len(self._running.waiting)


def seen(row: Row, writer: Writer) -> Seen:
    """What of a row may be shown: neither half a character, nor what may turn out to begin a stop string."""
    if row.ended:
        return Seen(writer.completion(row).text, True)
    if row.rest or not row.ids:
        return Seen("", False)
    text = writer.written(row)
    return Seen(text[: len(text) - begun(text, row.request.stop)].rstrip("�"), False)


class Waves:
    """The reference engine as one that rows may leave: who comes while others are written waits for their end."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._wave: Iterator[None] | None = None
        self._lanes: list[Any] = []

    def check(self, row: Row) -> None:
        """Any row fits: the cache grows."""

    def lane(self, row: Row, lanes: Sequence[Any]) -> WaveLane | None:
        """A place in the next wave; None while one is on its way."""
        return None if self._wave else WaveLane([], 0, row)

    def step(self, lanes: Sequence[Any], writer: Writer, step_tokens: int) -> None:
        """Write a token of each lane."""
        del writer, step_tokens  # the decoder has its own
        if self._wave is None:
            self._lanes = list(lanes)
            self._wave = self._decoder.steps(sorted((lane.row for lane in lanes), key=lambda row: -len(row.prompt)))
        next(self._wave, None)

    def give(self, lane: Any) -> None:
        """Let go of a lane; with the last one the wave ends."""
        lane.row.ended = lane.row.ended or "length"
        self._lanes = [other for other in self._lanes if other is not lane]
        if not self._lanes:
            self._wave = None


class WaveLane(Lane):
    """A row in a wave."""

    def __init__(self, tokens: list[int], filled: int, row: Row) -> None:
        super().__init__(tokens, filled)
        self.row = row
