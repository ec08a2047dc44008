"""Reuse: a request for code is answered from what was written for the same client before, or is on its way to it.

Who types along a suggestion need not wait for it again, and two requests that agree are written once. What is known is
kept in memory, for a few minutes, by client: nobody is answered with what was written for another key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple

from buril.serve.answer import Answer, Asked, End, Piecemeal, Served
from buril.serve.completing.cache import Hit, InFlight, Suggestions, scope_of

KEPT_S = 300.0
LINGER_S = 0.75
"""Seconds that an answer is written on after its client has gone, where nobody waits for the engine: the next key may
ask for what is left of it."""


class Remembered(NamedTuple):
    """What is known of a completion beside its text: how it ended, its characters, and the tokens of its prompt."""

    end: End
    size: int
    prompt_tokens: int


class Reuse:
    """What was written and what is being written, by client and parameters. It belongs to one event loop.

    Args:
        max_bytes: of memory, at most.
    """

    def __init__(self, max_bytes: int) -> None:
        self._known = Suggestions(max_bytes, max_age_s=KEPT_S)
        self._flying = InFlight()
        self._flights: dict[int, Flight] = {}

    def known(self, place: Place) -> Hit | None:
        """What is left to write of a completion that is known; of one that its limit cut, at least half."""
        hit = self._known.get(*place)
        cut = hit is not None and hit.how != "exact" and hit.told.end.finish_reason == "length"
        return None if hit is None or (cut and 2 * len(hit.text) < hit.told.size) else hit

    def joined(self, place: Place) -> tuple[Flight, int] | None:
        """A request on its way that will answer this one as well, and the characters typed since it began.

        Those that nobody wants any more, as something else was typed, are ended.
        """
        found = self._flying.join(*place)
        for number in self._flying.stale(*place):
            self._flights[number].end_unwanted()
        return (self._flights[found.ticket], found.skip) if found else None

    def fly(self, place: Place, answer: Shared) -> Flight:
        """Begin to write an answer, for whoever comes to it."""
        number = self._flying.start(*place)
        flight = self._flights[number] = Flight(answer, lambda text: self._flying.grow(number, text))

        def ended(_task: asyncio.Task[None]) -> None:
            self._flying.end(number)
            del self._flights[number]
            end = flight.end
            if end is not None and end.finish_reason in ("stop", "length"):
                told = Remembered(end, len(flight.text), answer.prompt_tokens)
                self._known.put(*place, flight.text, told=told)

        flight.task.add_done_callback(ended)
        return flight


class Place(NamedTuple):
    """Where a completion is wanted: what must be equal, what stands before, and after."""

    scope: str
    before: str
    after: str


class Diverged(Exception):
    """What was written is not what was typed."""


class Flight:
    """An answer that is being written, for all who wait for it.

    Args:
        answer: of who asked first.
        grown: told of the text so far whenever there is more of it.
    """

    def __init__(self, answer: Shared, grown: Callable[[str], None]) -> None:
        self.answer, self._grown = answer, grown
        self.text = ""
        self.end: End | None = None
        self.readers = 0
        self._problem: BaseException | None = None
        self._news = asyncio.Event()
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(self._ended)

    async def _run(self) -> None:
        await self.answer.begin()
        self.begun.set_result(None)
        parts = self.answer.written()
        try:
            async for part in parts:
                self.text, self.end = self.text + part.text, part.end
                self._grown(self.text)
                self._tell()
        finally:
            await parts.aclose()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Tell all who wait what went wrong, where something did."""
        self._problem = asyncio.CancelledError() if task.cancelled() else task.exception()
        if self._problem and not self.begun.done():
            self.begun.set_exception(self._problem)
            self.begun.exception()  # who waits for it is told; where nobody does, nobody need be
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        """Whether nothing comes any more."""
        return self.end is not None or self._problem is not None

    async def agrees(self, typed: str) -> None:
        """Wait until all that was typed is written.

        Raises:
            Diverged: it will not be.
        """
        while len(self.text) <= len(typed) and typed.startswith(self.text) and not self.has_ended:
            await self._news.wait()
        if not self.text.startswith(typed) or len(self.text) <= len(typed) or self._problem:
            raise Diverged

    async def follow(self, typed: int) -> AsyncGenerator[Piecemeal]:
        """What comes after the characters that were typed already.

        Raises:
            BurilError: what went wrong where it is written.
        """
        shown = typed
        while True:
            news = self._news
            ended, text = self.has_ended, self.text
            if len(text) > shown or ended:
                if self._problem and not self.end:
                    raise self._problem
                new, shown = text[shown:], max(shown, len(text))
                yield Piecemeal(0, new, self.end)
                if ended:
                    return
            else:
                await news.wait()

    def leave(self, *, waiting: int) -> None:
        """A reader goes. With the last one it ends, a little later where nobody waits for the engine."""
        self.readers -= 1
        if self.readers or self.has_ended:
            return
        if waiting or not self.begun.done():
            self.end_unwanted()
        else:
            asyncio.get_running_loop().call_later(LINGER_S, self.end_unwanted)

    def end_unwanted(self) -> None:
        """End it if nobody reads it."""
        if not self.readers:
            self.task.cancel()


class Shared(Answer):
    """An answer to a request for code, which may be known already, or on its way.

    Args:
        served: the model.
        asked: the request.
        owner: whose it is: only they are answered with it.
    """

    def __init__(self, served: Served, asked: Asked, reuse: Reuse, owner: str) -> None:
        super().__init__(served, asked)
        self._reuse, self._owner = reuse, owner
        self._hit: Hit | None = None
        self._flight: Flight | None = None
        self._typed = 0
        self._prompt_tokens = 0
        self._first_s: float | None = None
        self.how = "miss"

    async def admit(self) -> None:
        """Lead the request through the guards; find its answer, join another request, or begin to write.

        Raises:
            Refusal, Busy, BurilError: as `Answer.admit`.
        """
        await self.let_in()
        place = self._place()
        self._hit = self._reuse.known(place)
        if self._hit:
            self.how = self._hit.how
        elif not await self._join(place):
            self._read(self._reuse.fly(place, self))
            assert self._flight is not None
            await self._flight.begun
        self._served.metrics.reused.labels(how=self.how).inc()

    def _place(self) -> Place:
        asked, editing = self._asked, self._served.editing
        told = {"asked": asked.reuse, "owner": self._owner, "others": self._given[1 + asked.fim :],
                "version": editing.repositories.version if editing else 0}  # fmt: skip
        scope = scope_of(str(self._served.links.get("fingerprint", "")), told)
        return Place(scope, self._given[0], self._given[1] if asked.fim else "")

    async def _join(self, place: Place) -> bool:
        found = self._reuse.joined(place)
        if found is None:
            return False
        flight, self._typed = found
        self._read(flight)
        try:
            await flight.agrees(place.before[len(place.before) - self._typed :] if self._typed else "")
        except Diverged:
            self._typed = 0
            self.leave()
            return False
        self.how, self._prompt_tokens = "joined", flight.answer.prompt_tokens
        return True

    def _read(self, flight: Flight) -> None:
        self._flight = flight
        flight.readers += 1

    async def begin(self) -> None:
        """Have it written."""
        await self._begin()

    def written(self) -> AsyncGenerator[Piecemeal]:
        """What is written of it, as it comes."""
        return super().parts()

    async def parts(self) -> AsyncGenerator[Piecemeal]:
        """What is new, as it comes.

        Raises:
            BurilError: the engine has ended.
        """
        if self._hit:
            self._first_s = time.monotonic() - self.came
            yield Piecemeal(0, self._hit.text, self._remembered(self._hit))
            return
        flight = self._flight
        assert flight is not None, "admit() comes first"
        parts = flight.follow(self._typed)
        try:
            async for part in parts:
                if self._first_s is None and part.text:
                    self._first_s = time.monotonic() - self.came
                if part.end and self.how == "joined":
                    self.finished.append(part.end.finish_reason)
                    self.num_tokens = part.end.num_tokens
                yield part._replace(end=part.end and part.end._replace(told=self._beside()))
        finally:
            await parts.aclose()
            self.leave()

    def _remembered(self, hit: Hit) -> End:
        told: Remembered = hit.told
        self.finished.append(told.end.finish_reason)
        tokens = self._served.editing.tokens if self._served.editing else None
        self.num_tokens = len(tokens.encoder.encode(hit.text)) if tokens else 0
        self._prompt_tokens = told.prompt_tokens
        return told.end._replace(num_tokens=self.num_tokens, told=self._beside())

    def _beside(self) -> dict[str, object]:
        return {**self._asked.told, "cache": self.how}

    @property
    def prompt_tokens(self) -> int:
        """Tokens that the model was given, for this request or for the one whose answer this is."""
        return super().prompt_tokens or self._prompt_tokens

    @property
    def first_s(self) -> float | None:
        """Seconds from the request to the first of its text."""
        return super().first_s if self.how == "miss" else self._first_s

    @property
    def charged(self) -> int:
        """Tokens that count for the quota: what was known or on its way costs nothing."""
        return super().charged if self.how == "miss" else 0

    def leave(self) -> None:
        """Nobody reads this any more."""
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.leave(waiting=self._served.engine.num_waiting)


def answer_of(served: Served, asked: Asked, owner: str) -> Answer:
    """The answer to a request: one that may be reused where the request says that it may."""
    reuse = served.editing.reuse if served.editing else None
    return Shared(served, asked, reuse, owner) if reuse and asked.reuse else Answer(served, asked)
