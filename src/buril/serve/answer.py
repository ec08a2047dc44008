"""An answer on its way: guards, engine, guards, and what is told of it at the end; of HTTP it knows nothing."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from buril.code.completing.cursor import Cursor
from buril.code.completing.finish import completed
from buril.code.completing.stop import Stopper
from buril.core.errors import BurilError
from buril.generators._calls import Call
from buril.generators._generator import Completion, Generator, Request
from buril.serve.echo import Echo, echoed
from buril.serve.guards import Fired, Guard, Piece, guarded
from buril.serve.likely import Following, Sent
from buril.serve.metrics import Metrics
from buril.serve.outgoing import Calling, Ending, Outgoing
from buril.serve.release import Release
from buril.serve.waiting import within
from buril.serve.writing import AnyEngine, AnyTicket, Event

if TYPE_CHECKING:
    from buril.serve.editing import Editing
    from buril.serve.surroundings import Surroundings

FINISH = {"eos": "stop", "stop": "stop", "length": "length"}
"""What OpenAI's API calls the ways in which a text ends."""


class Keeping(Protocol):
    """Keeps what is served."""

    def __call__(self, answered: Answered) -> Kept:
        """Keep a sample."""

    def event(self, id_: str, event: str, **told: Any) -> None:
        """Keep what became of one."""

    def close(self) -> None:
        """Write what is held back."""


@dataclass(frozen=True)
class Served:
    """A model ready to answer.

    Attributes:
        name: what clients call it.
        links: digests of what it is made of, as records name them.
        created: when it was made, in seconds since 1970.
        remote: it runs on another machine, which guards must know.
        editing: what is done for editors beside; None for nothing.
        adapter: what the engine calls the adapter that writes, "" for none.
        chats: what answers chats, where that is another.
        beside: the models beside it, by name; they change while it is served.
        keep: keeps a completion and says what is known of it, and keeps what became of one.
        watermark: the mark that is on all that is written, as records name it; None without.
    """

    name: str
    engine: AnyEngine
    generator: Generator
    guards: Sequence[Guard]
    metrics: Metrics
    links: Mapping[str, Any]
    keep: Keeping
    created: int = 0
    remote: bool = False
    watermark: Mapping[str, Any] | None = None
    editing: Editing | None = None
    adapter: str = ""
    chats: Served | None = None
    beside: dict[str, Served] = field(default_factory=dict, repr=False, compare=False)


class Kept(NamedTuple):
    """What is kept of a sample: the id of its record, and the files of the training data that it resembles."""

    record_id: str
    provenance: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    `pieces` are the texts that the model is given, of which the guards judge each, and `make` puts them, as the guards
    left them, into a request. `finish`: the answer ends where it is complete, and is mended. `alone`: nothing else that
    is written may change it. `surroundings`: the place in a repository. `reuse`: what must be equal for the answer to
    be that of another request as well; "" for never. `told`: what the answer says beside its text, in `buril`.
    `echo`: the answer begins with the prompt, which was given as `text` or as `ids`. `calling`: how calls of functions
    stand in the answer, where there may be some.
    """

    pieces: tuple[Piece, ...]
    make: Callable[[Sequence[str]], Request]
    time_limit_s: float
    language: str = ""
    chat: bool = False
    fim: bool = False
    finish: bool = False
    alone: bool = False
    surroundings: Surroundings | None = None
    reuse: str = ""
    told: Mapping[str, Any] = field(default_factory=dict)
    echo: Literal["", "text", "ids"] = ""
    calling: Calling | None = None

    def cursor(self, given: Sequence[str]) -> Cursor | None:
        """Where the answer is put, where it is finished there."""
        return Cursor(given[0], given[1] if self.fim else "", self.language) if self.finish else None


class Answered(NamedTuple):
    """A sample that has ended, for the record."""

    asked: Asked
    request: Request
    sample: int
    text: str
    num_tokens: int
    finish_reason: str
    fired: tuple[Fired, ...]
    given: tuple[str, ...]
    seconds: float = 0.0
    first_s: float | None = None
    prompt_tokens: int = 0
    logprob: float | None = 0.0
    context: tuple[str, ...] = ()


class Piecemeal(NamedTuple):
    """What is new of a sample; `end` is told with the last of it. `tokens` are None where none are told."""

    sample: int
    text: str
    end: End | None = None
    calls: tuple[Call, ...] = ()
    tokens: tuple[Sent, ...] | None = None


class End(NamedTuple):
    """How a sample ended: the reason in OpenAI's words, what is kept of it, and the places that its prompt showed."""

    finish_reason: str
    kept: Kept
    fired: tuple[Fired, ...]
    num_tokens: int
    context: tuple[str, ...] = ()
    told: Mapping[str, Any] = {}


class Refusal(Exception):
    """A guard refused the request."""

    def __init__(self, fired: Sequence[Fired]) -> None:
        super().__init__()
        self.fired = tuple(fired)
        stopped = next(item for item in fired if item.code)
        self.code, self.guard = stopped.code, stopped.guard
        first = stopped.reasons[0]
        self.told = f"{stopped.guard}: {first.message or first.rule} ({stopped.where}:{first.line})"


class Answer:
    """One request from its admission to its end.

    Args:
        served: the model.
        asked: the request.
    """

    def __init__(self, served: Served, asked: Asked) -> None:
        self._served, self._asked = served, asked
        self.came = time.monotonic()
        self.fired: tuple[Fired, ...] = ()
        self.ticket: AnyTicket | None = None
        self.num_tokens = 0
        self.finished: list[str] = []
        self._given: tuple[str, ...] = ()
        self._events: dict[int, Event] = {}
        self._stoppers: list[Stopper] = []
        self._echo = Echo("", None)
        self.how = ""
        """Where a text comes from that may be known already; "" where it can't be."""

    async def admit(self) -> None:
        """Lead the request through the guards, and have it taken.

        Raises:
            Refusal: a guard refused it.
            Busy: there is no room.
            BurilError: it can't be written.
        """
        await self.let_in()
        await self._begin()

    async def let_in(self) -> None:
        """Lead the request through the guards.

        Raises:
            Refusal: a guard refused it.
        """
        served = self._served
        outcome = await asyncio.to_thread(guarded, self._asked.pieces, served.guards, remote=served.remote)
        self.fired = outcome.fired
        self._count(outcome.fired)
        if outcome.refusal is not None:
            raise Refusal(outcome.fired)
        self._given = tuple(piece.text for piece in outcome.pieces)

    async def _begin(self) -> None:
        """Have the request taken.

        Raises:
            Busy: there is no room.
            BurilError: it can't be written.
        """
        if place := self._asked.surroundings:
            self._asked = await asyncio.to_thread(place.look, self._served, self._asked, self._given)
            self.fired += place.fired
            self._count(place.fired)
        request = await asyncio.to_thread(self._asked.make, self._given)
        if self._asked.echo:
            self._echo = await echoed(self._served, self._asked, request, self._given[0])
        self.ticket = await self._served.engine.submit(replace(request, adapter=self._served.adapter))

    @property
    def charged(self) -> int:
        """Tokens that count for the quota of who asked."""
        return self.prompt_tokens + self.num_tokens

    def leave(self) -> None:
        """Nobody reads this any more: what is left of it goes out of the engine."""
        if self.ticket and self.ticket.left:
            self._served.engine.cancel(self.ticket)

    @property
    def prompt_tokens(self) -> int:
        """Tokens that the model was given."""
        return self.ticket.prompt_tokens if self.ticket else 0

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that the engine had read already, for another request."""
        return self.ticket.cached_tokens if self.ticket else 0

    @property
    def first_s(self) -> float | None:
        """Seconds from the request to its first token."""
        first = self.ticket.first if self.ticket else None
        return None if first is None else first - self.came

    async def parts(self) -> AsyncGenerator[Piecemeal]:
        """What is new, as it comes. Whoever stops asking takes the request out of the engine.

        Raises:
            BurilError: the engine has ended.
        """
        ticket = self.ticket
        assert ticket is not None, "admit() comes first"
        number = ticket.request.num_samples
        left = {sample: self._outgoing(ticket, sample) for sample in range(number)}
        cursor = self._asked.cursor(self._given)
        self._stoppers = [Stopper("", cursor=cursor) for _sample in range(number)] if cursor else []
        try:
            for sample in range(number if self._asked.echo else 0):
                yield Piecemeal(sample, self._echo.text, tokens=self._echo.tokens)
            while left:
                event = await self._next(ticket, left)
                outgoing = left.get(event.sample)
                if outgoing is None:
                    continue
                event = self._cut_where_complete(event)
                if not outgoing.release.due(event.text, ended=event.completion is not None):
                    continue
                part = await self._part(outgoing, event)
                if part.end:
                    del left[event.sample]
                if part.text or part.end or part.calls or part.tokens:
                    yield part
        finally:
            if left or len(self.finished) < number:
                self._served.engine.cancel(ticket)

    def _outgoing(self, ticket: AnyTicket, sample: int) -> Outgoing:
        """What lets a sample out."""
        served, asked = self._served, self._asked
        before = self._given[0] if self._given and not asked.chat else ""
        release = Release(
            served.guards, language=asked.language, before=before, chat=asked.chat, remote=served.remote
        )  # fmt: skip
        release.calling = asked.calling
        following = None
        if ticket.request.logprobs is not None:
            begin = len(self._echo.text)
            following = Following(partial(ticket.told, sample), begin=begin, ends=not asked.chat)
        return Outgoing(release, asked.calling, following)

    async def _next(self, ticket: AnyTicket, left: Mapping[int, Outgoing]) -> Event:
        """The latest event of a sample; at the limit of time, that the first of those left has ended."""
        rest = ticket.came + self._asked.time_limit_s - time.monotonic()
        try:
            event = await within(ticket.events.get(), max(0.001, rest))
        except asyncio.TimeoutError:
            return self._cut(ticket, min(left))
        if event.problem:
            raise event.problem
        self._events[event.sample] = event
        return event

    def _cut_where_complete(self, event: Event) -> Event:
        """What of a text is to be shown; one that is complete is written no further."""
        if not self._stoppers:
            return event
        stopper = self._stoppers[event.sample]
        seen = stopper.feed(event.text, final=event.completion is not None)
        if not seen.done and event.completion is None:
            return event._replace(text=seen.text)
        text = completed(stopper.cursor, event.text).text
        if event.completion is None and self.ticket:
            self._served.engine.stop(self.ticket, event.sample)
        reason = event.completion.finish_reason if event.completion and not seen.done else "stop"
        return event._replace(text=text, completion=Completion(text, (), reason, math.nan))

    def _cut(self, ticket: AnyTicket, sample: int) -> Event:
        """A sample ends where it is.

        Raises:
            BurilError: V041 where it may not, as it would be another text the next time.
        """
        self._served.engine.cancel(ticket)
        if self._asked.alone:
            raise BurilError("V041", seconds=self._asked.time_limit_s)
        while not ticket.events.empty():
            event = ticket.events.get_nowait()
            self._events[event.sample] = event
        latest = self._events.get(sample)
        if latest and latest.completion:
            return latest
        text = latest.text if latest else ""
        return Event(sample, text, Completion(text, (), "length", math.nan))

    async def _part(self, outgoing: Outgoing, event: Event) -> Piecemeal:
        """What an event lets out."""
        done = event.completion
        ending = Ending(done is not None, done is not None and done.finish_reason == "eos")
        if outgoing.release.reads:
            new = await asyncio.to_thread(outgoing.push, event.text, ending)
        else:
            new = outgoing.push(event.text, ending)
        part = Piecemeal(event.sample, new.text, None, new.calls, new.tokens)
        if done is None and not new.stopped:
            return part
        reason = "content_filter" if new.stopped or done is None else FINISH[done.finish_reason]
        if outgoing.calls and reason == "stop":
            reason = "tool_calls"
        return part._replace(end=await self._end(outgoing, event, reason))

    async def _end(self, outgoing: Outgoing, event: Event, reason: str) -> End:
        """Count and record a sample."""
        assert self.ticket is not None, "admit() comes first"
        release = outgoing.release
        sample, num_tokens = event.sample, event.num_tokens
        if num_tokens is None:
            num_tokens = self.ticket.num_tokens(sample)
        self.num_tokens += num_tokens
        self.finished.append(reason)
        self._served.metrics.finished.labels(finish_reason=reason).inc()
        self._count(release.fired)
        fired = (*self.fired, *release.fired)
        seconds, logprob = time.monotonic() - self.came, self.ticket.logprob(sample)
        answered = Answered(
            self._asked, self.ticket.request, sample, outgoing.kept, num_tokens, reason, fired, self._given,
            seconds, self.first_s, self.prompt_tokens, logprob, self._shown,
        )  # fmt: skip
        if self._served.editing:
            self._served.editing.took(seconds)
        kept = await asyncio.to_thread(self._served.keep, answered)
        return End(reason, kept, fired, num_tokens, self._shown, self._asked.told)

    @property
    def _shown(self) -> tuple[str, ...]:
        return self._asked.surroundings.shown if self._asked.surroundings else ()

    def _count(self, fired: Sequence[Fired]) -> None:
        for item in fired:
            self._served.metrics.guards.labels(guard=item.guard, action=item.action).inc()
