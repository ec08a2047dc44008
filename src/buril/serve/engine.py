"""The thread that writes: requests of many clients in one session of a generator, each told of its text as it comes.

A request that the engine can't take in time is not taken: the queue is bounded, and who comes later is told when to
come again. Whoever goes is taken out before the next step.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from buril.core.errors import BurilError
from buril.generators._generator import Request, TokenLogprob
from buril.generators._session import Session, seen
from buril.generators._writer import Row
from buril.serve.writing import AnyTicket, Busy, Event

AGAIN_S = 0.05
"""Seconds after which room in the cache is asked for again."""
RECENT = 64
"""Requests whose time says how long the next will take."""


@dataclass(eq=False)
class Ticket:
    """A request on its way. Events are put into `events` by the thread that writes, in the loop of who asked."""

    request: Request
    rows: list[Row]
    loop: asyncio.AbstractEventLoop
    events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    came: float = field(default_factory=time.monotonic)
    first: float | None = None
    """When its first token was there."""
    shown: list[int] = field(default_factory=list)
    left: set[int] = field(default_factory=set)

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt."""
        return len(self.rows[0].prompt)

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that had been read already, for another request."""
        return self.rows[0].cached

    def num_tokens(self, sample: int) -> int:
        """Tokens of a sample so far."""
        row = self.rows[sample]
        return max(0, len(row.ids) - row.rewriting)

    def logprob(self, sample: int) -> float:
        """The sum of their natural log-probabilities."""
        return self.rows[sample].logprob

    def told(self, sample: int) -> Sequence[TokenLogprob]:
        """What is told of them, for a request that asks for it."""
        return self.rows[sample].told or ()


class Engine:
    """Writes for many.

    Args:
        session: of a generator.
        most_waiting: samples that may wait for their turn.
    """

    def __init__(self, session: Session, *, most_waiting: int) -> None:
        self._session, self._most_waiting = session, most_waiting
        self._changed = threading.Condition()
        self._inbox: deque[Callable[[], None]] = deque()
        self._coming: Counter[str] = Counter()
        self._tickets: dict[int, Ticket] = {}
        self._closing = False
        self._took: deque[float] = deque(maxlen=RECENT)
        self.broken: BurilError | None = None
        """What ended it; nothing is written any more."""
        self.down: BurilError | None = None
        """It is never away for a while."""
        self.steps = self.tokens = 0
        self._thread = threading.Thread(target=self._run, name="buril-engine", daemon=True)
        self._thread.start()

    # --- who asks

    async def submit(self, request: Request) -> Ticket:
        """Take a request.

        Raises:
            Busy: there is no room.
            BurilError: T015, T021 for a request that can't be written; what ended the engine.
        """
        if self.broken:
            raise self.broken
        if self.num_waiting + request.num_samples > self._most_waiting + self._room():
            raise Busy(self.wait_s())
        loop = asyncio.get_running_loop()
        self._come(request.num_samples, request.adapter)
        rows: list[Row] = []
        try:
            rows = await asyncio.to_thread(self._session.rows, request)
        finally:
            self._come(len(rows) - request.num_samples, request.adapter)  # those that are there come off when they join
        ticket = Ticket(request, rows, loop, shown=[0] * len(rows), left=set(range(len(rows))))
        self._put(lambda: self._add(ticket))
        return ticket

    def cancel(self, ticket: AnyTicket) -> None:
        """Take a request out; from now on it is told nothing."""
        assert isinstance(ticket, Ticket)
        self._put(lambda: self._drop(ticket, ticket.rows))

    def stop(self, ticket: AnyTicket, sample: int) -> None:
        """Take one sample out: what is wanted of it is there."""
        assert isinstance(ticket, Ticket)
        self._put(lambda: self._drop(ticket, [ticket.rows[sample]]))

    @property
    def num_waiting(self) -> int:
        """Samples that have no turn yet."""
        return self._coming.total() + self._session.num_waiting

    @property
    def num_running(self) -> int:
        """Samples that are being written."""
        return len(self._session) - self._session.num_waiting

    def _room(self) -> int:
        return max(0, self._session.most - self.num_running)

    def wait_s(self) -> float:
        """Seconds after which a place is likely to be free: what the waiting take, by what the last took."""
        each = sum(self._took) / len(self._took) if self._took else 1.0
        return max(1.0, each * (1 + self.num_waiting) / max(1, self._session.most))

    def between(self, action: Callable[[], None]) -> None:
        """Have something done between two steps, in the thread that owns the session, and wait for it.

        Raises:
            BurilError: V004 where the engine has ended before; what `action` raises.
        """
        done: Future[None] = Future()

        def run() -> None:
            try:
                action()
            except (BurilError, OSError, RuntimeError, MemoryError) as problem:  # who waits is told, the engine goes on
                done.set_exception(problem)
            else:
                done.set_result(None)

        self._put(run)
        while not done.done():
            try:
                done.result(timeout=1.0)
            except NotYet:
                if not self.is_running:
                    raise BurilError("V004") from None

    async def scored(self, score: Callable[[], list[TokenLogprob]]) -> list[TokenLogprob]:
        """What `score` says, asked between two steps; it takes the place of a sample that waits.

        Where the cache has no room beside what is being written it is asked again, until it has.

        Raises:
            Busy: there is no room.
            BurilError: what `score` raises, or what ended the engine.
        """
        if self.broken:
            raise self.broken
        if self.num_waiting + 1 > self._most_waiting + self._room():
            raise Busy(self.wait_s())
        loop, beside = asyncio.get_running_loop(), [0]

        def scored() -> list[TokenLogprob]:
            beside[0] = len(self._session)  # what is written at that time; it may have ended when this is told
            return score()

        self._come(1, "")
        try:
            while True:
                done: asyncio.Future[list[TokenLogprob]] = loop.create_future()
                self._put(partial(_score, scored, done, loop))
                try:
                    return await done
                except BurilError as problem:
                    if problem.code != "T021" or not beside[0]:
                        raise
                await asyncio.sleep(AGAIN_S)
        finally:
            self._come(-1, "")

    def adapters(self) -> set[str]:
        """Adapters that samples on their way name; to be asked between two steps."""
        with self._changed:
            coming = {name for name, number in self._coming.items() if number > 0}
        return (coming | self._session.adapters) - {""}

    @property
    def is_running(self) -> bool:
        """Whether anything is still written."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the thread; what is on its way is told so."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    # --- the thread

    def _put(self, action: Callable[[], None]) -> None:
        with self._changed:
            self._inbox.append(action)
            self._changed.notify()

    def _run(self) -> None:
        while self._wait():
            try:
                ended = self._session.step()
            except (BurilError, RuntimeError, MemoryError) as problem:
                self._break(problem)
                return
            self.steps += 1
            self._tell(ended)
        self._session.close()
        self._fail(BurilError("V004"))

    def _wait(self) -> bool:
        """Do what was asked meanwhile, and wait where there is nothing to write; False at the end."""
        while True:
            with self._changed:
                while not self._inbox and not len(self._session) and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return False
                actions = [self._inbox.popleft() for _action in range(len(self._inbox))]
            for action in actions:
                action()
            if len(self._session):
                return True

    def _come(self, number: int, adapter: str) -> None:
        """Count samples that are on their way into the session, from any thread."""
        with self._changed:
            self._coming[adapter] += number

    def _add(self, ticket: Ticket) -> None:
        self._come(-len(ticket.rows), ticket.request.adapter)
        for row in ticket.rows:
            self._tickets[id(row)] = ticket
        self._session.add(ticket.rows)

    def _drop(self, ticket: Ticket, rows: Sequence[Row]) -> None:
        gone = [row for row in rows if self._tickets.pop(id(row), None)]
        ticket.left -= {row.position[1] for row in gone}
        self._session.cancel(gone)

    def _tell(self, ended: Sequence[Row]) -> None:
        """Send each client what is new of its texts."""
        now, writer = time.monotonic(), self._session.writer
        news: dict[int, tuple[Ticket, list[Event]]] = {}
        for row in [*ended, *self._session.writing]:
            ticket = self._tickets.get(id(row))
            if ticket is None or len(row.ids) == 0 and not row.ended:
                continue
            if ticket.first is None:
                ticket.first = now
            sample, found = row.position[1], seen(row, writer)
            if found.ended or len(found.text) > ticket.shown[sample]:
                ticket.shown[sample] = len(found.text)
                completion = writer.completion(row) if found.ended else None
                event = Event(sample, found.text, completion, num_tokens=ticket.num_tokens(sample))
                news.setdefault(id(ticket), (ticket, []))[1].append(event)
        for row in ended:
            self.tokens += len(row.ids)
            ticket = self._tickets.pop(id(row), None)
            if ticket:
                ticket.left.discard(row.position[1])
                if not ticket.left:
                    self._took.append(now - ticket.came)
        for ticket, events in news.values():
            _send(ticket, events)

    def _break(self, problem: Exception) -> None:
        self.broken = problem if isinstance(problem, BurilError) else BurilError("V005", problem=str(problem))
        self._fail(self.broken)

    def _fail(self, problem: BurilError) -> None:
        """Tell all that are on their way, or came meanwhile, what went wrong."""
        with self._changed:
            actions = [self._inbox.popleft() for _action in range(len(self._inbox))]
        for action in actions:
            action()
        tickets = {id(ticket): ticket for ticket in self._tickets.values()}
        for ticket in tickets.values():
            _send(ticket, [Event(sample, "", problem=problem) for sample in sorted(ticket.left)])
        self._tickets.clear()


def _score(
    score: Callable[[], list[TokenLogprob]], done: asyncio.Future[list[TokenLogprob]], loop: asyncio.AbstractEventLoop
) -> None:
    """Score a text, in the thread that writes; one whose client has gone is not."""
    if done.cancelled():
        return
    problem: BaseException | None = None
    found: list[TokenLogprob] = []
    try:
        found = score()
    except (BurilError, OSError, RuntimeError, MemoryError) as raised:  # who waits is told, the engine goes on
        problem = raised if isinstance(raised, BurilError) else BurilError("V005", problem=str(raised))

    def tell() -> None:
        if done.cancelled():
            return
        if problem is not None:
            done.set_exception(problem)
        else:
            done.set_result(found)

    with suppress(RuntimeError):  # its loop is closed: it is gone
        loop.call_soon_threadsafe(tell)


def _send(ticket: Ticket, events: Sequence[Event]) -> None:
    """Put events into the queue of who asked; one whose loop is closed is gone."""

    def put() -> None:
        for event in events:
            ticket.events.put_nowait(event)

    try:
        ticket.loop.call_soon_threadsafe(put)
    except RuntimeError:
        return
