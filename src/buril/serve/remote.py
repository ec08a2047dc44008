"""An engine that is another process, by URL: vLLM on a GPU, llama.cpp's server, another server of ours.

Each sample is one stream of the other server, read in the loop of ours: no thread, one pool of connections. Who goes
closes the stream, and the other server stops writing. What it says before the first token decides the answer to our
client: busy is busy, a refusal is a refusal; a connection that fails is tried again as long as the other server is not
known to be away. Once there is text nothing is tried again: it has been shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._generator import Request
from buril.generators._upstream import Asked, Upstream
from buril.generators.openai import MAX_WAIT_S, PASSING, retry_after, seed_of
from buril.serve.chunks import Odd, events
from buril.serve.guards.sentinels import broken_up
from buril.serve.health import Health
from buril.serve.relay import RemoteTicket, Sample
from buril.serve.waiting import within
from buril.serve.writing import Busy, Event

if TYPE_CHECKING:
    import httpx

    from buril.serve.writing import AnyTicket

MOST = 64
"""Samples on their way at a time, unless the settings say how many."""
CONNECT_S, DRAIN_S = 5.0, 1.0
RECENT = 64
BUSY_S = 2.0
"""Seconds after which to come again, where the other server does not say."""
REFUSAL_BYTES = 1 << 16


class _Broke(Exception):
    """A stream that failed before it ended; `away`: nobody listens there."""

    def __init__(self, told: str, *, away: bool = False) -> None:
        super().__init__(told)
        self.away = away


class RemoteEngine:
    """Lets another server write for many.

    Args:
        upstream: what that server is asked.
        health: says whether it is there.
        most_waiting: samples that may wait for their turn.
    """

    def __init__(self, upstream: Upstream, health: Health, *, most_waiting: int) -> None:
        self._upstream, self._health, self._most_waiting = upstream, health, most_waiting
        self._most = upstream.settings.concurrency or MOST
        self._turns = asyncio.Semaphore(self._most)
        self._client: httpx.AsyncClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._took: deque[float] = deque(maxlen=RECENT)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.num_waiting = self.num_running = self.tokens = 0
        self.broken: BurilError | None = None

    @property
    def down(self) -> BurilError | None:
        """Why the other server can't be asked just now."""
        return self._health.down

    async def submit(self, request: Request) -> RemoteTicket:
        """Take a request; it is taken when the other server has.

        Raises:
            Busy: there is no room, here or there.
            BurilError: V004, V010 to V014, T015 for a hole that nobody can fill.
        """
        if problem := self.broken or self.down:
            raise problem
        number = request.num_samples
        if self.num_waiting + number > self._most_waiting + max(0, self._most - self.num_running):
            raise Busy(self.wait_s())
        loop = self._loop = asyncio.get_running_loop()
        samples = [Sample(place) for place in range(number)]
        self.num_waiting += number
        try:
            asked = await asyncio.to_thread(self._asked, request)
        finally:
            self.num_waiting -= number
        self.num_waiting += number  # from here on each task counts off its own
        ticket = RemoteTicket(request, asked, samples, loop.create_future(), left=set(range(number)))
        for sample in samples:
            sample.task = asyncio.ensure_future(self._write(ticket, sample))
            self._tasks.add(sample.task)
            sample.task.add_done_callback(partial(self._gone, ticket, sample))
        await self._until_taken(ticket)
        return ticket

    async def _until_taken(self, ticket: RemoteTicket) -> None:
        first, timeout_s = ticket.samples[0].task, self._upstream.settings.timeout_s
        assert first is not None
        try:
            await asyncio.wait((first, ticket.taken), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.cancel(ticket)
            raise
        if ticket.taken.done():
            return
        self.cancel(ticket)
        if first.done():
            first.result()  # it raises why
        raise Busy(self.wait_s())

    def _asked(self, request: Request) -> Asked:
        """What is sent. Where texts go on as they are, they spell no control token: who reads them might mind it."""
        if self._upstream.way == "own":
            request = _broken_up(request)
        return self._upstream.asked(request)

    def cancel(self, ticket: AnyTicket) -> None:
        """Close the streams of a request."""
        for sample in list(ticket.left):
            self.stop(ticket, sample)

    def stop(self, ticket: AnyTicket, sample: int) -> None:
        """Close the stream of one sample."""
        assert isinstance(ticket, RemoteTicket)
        task = ticket.samples[sample].task
        if sample in ticket.left and task is not None:
            ticket.left.discard(sample)
            task.cancel()

    def wait_s(self) -> float:
        """Seconds after which a place is likely to be free: what the waiting take, by what the last took."""
        each = sum(self._took) / len(self._took) if self._took else 1.0
        return max(1.0, each * (1 + self.num_waiting) / self._most)

    def close(self) -> None:
        """Take nothing more; what is on its way is told so."""
        self.broken = BurilError("V004")
        self._health.close()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._client is not None:
            self._tasks.add(asyncio.ensure_future(self._client.aclose()))

    # --- one sample

    async def _write(self, ticket: RemoteTicket, sample: Sample) -> None:
        """Write one sample to its end. What goes wrong before the request is taken is raised, else told."""
        try:
            async with self._turn(sample):
                await self._tried(ticket, sample)
        except (BurilError, Busy) as problem:
            if sample.number == 0 and not ticket.taken.done():
                raise
            told = problem if isinstance(problem, BurilError) else self._away(_("it is busy"), 1)
            ticket.tell(Event(sample.number, sample.text, problem=told))
        except asyncio.CancelledError:
            if self.broken:  # not who asked has gone: we end
                ticket.tell(Event(sample.number, sample.text, problem=self.broken))
                if not ticket.taken.done():
                    raise self.broken from None
            raise

    def _gone(self, ticket: RemoteTicket, sample: Sample, task: asyncio.Task[None]) -> None:
        """A task has ended. What nobody expected is told, or who asked would wait for it."""
        self._tasks.discard(task)
        self.num_waiting -= sample.waits
        if sample.ended:
            self.tokens += ticket.num_tokens(sample.number)
            if not ticket.left:
                self._took.append(time.monotonic() - ticket.came)
        problem = None if task.cancelled() else task.exception()
        if problem is not None and ticket.taken.done():
            told = BurilError("V005", problem=f"{type(problem).__name__}: {problem}")
            ticket.tell(Event(sample.number, "", problem=told))

    @contextlib.asynccontextmanager
    async def _turn(self, sample: Sample) -> AsyncIterator[None]:
        """A place among those that are on their way."""
        await self._turns.acquire()
        sample.waits = False
        self.num_waiting -= 1
        self.num_running += 1
        try:
            yield
        finally:
            self.num_running -= 1
            self._turns.release()

    async def _tried(self, ticket: RemoteTicket, sample: Sample) -> None:
        """Ask until there is an answer, as often as the settings say and the other server is not away."""
        told, problem = self._upstream.settings, ""
        for attempt in range(told.tries):
            if attempt:
                await asyncio.sleep(min(told.wait_s * 2 ** (attempt - 1), MAX_WAIT_S))
            try:
                return await self._streamed(ticket, sample)
            except _Broke as broke:
                problem = str(broke)
                if sample.chunks:
                    raise BurilError("V011", url=told.url, problem=problem) from broke
                if broke.away:
                    self._health.lost(self._away(problem, attempt + 1))
            except Busy as busy:
                if ticket.samples[0] is sample or attempt + 1 == told.tries:
                    raise
                await asyncio.sleep(min(busy.wait_s, MAX_WAIT_S))
            if self.down:
                raise self._away(problem, attempt + 1)
        raise self._away(problem, told.tries)

    def _away(self, problem: str, tries: int) -> BurilError:
        return BurilError(
            "V010", url=self._upstream.settings.url, problem=f"{problem} ({tries})" if tries > 1 else problem
        )

    async def _streamed(self, ticket: RemoteTicket, sample: Sample) -> None:
        """One stream, to its end."""
        import httpx

        asked = ticket.asked
        body = {**asked.body, "seed": seed_of(ticket.request, sample.number)}
        try:
            async with self._connected().stream("POST", asked.url, json=body) as response:
                await self._admitted(response)
                if not ticket.taken.done():
                    ticket.taken.set_result(None)
                parts = response.aiter_bytes()
                async for chunk in events(parts):
                    if ticket.take(sample, chunk):
                        return
                if ticket.finish(sample):
                    await _drained(parts)  # a connection that was read to its end is used again
        except httpx.HTTPError as problem:
            if not ticket.finish(sample):
                away = isinstance(problem, httpx.ConnectError)
                raise _Broke(f"{type(problem).__name__}: {problem}".rstrip(": "), away=away) from problem
            return
        except Odd as problem:
            shown = self._upstream.shown(str(problem))
            raise BurilError("V011", url=self._upstream.settings.url, problem=shown) from problem
        if not ticket.finish(sample):
            raise _Broke(_("the answer broke off"))

    def _connected(self) -> httpx.AsyncClient:
        """The client: one pool for all."""
        import httpx

        if self._client is None:
            told = self._upstream.settings
            self._client = httpx.AsyncClient(
                headers={**self._upstream.head, "Accept-Encoding": "identity"},
                timeout=httpx.Timeout(told.timeout_s, connect=min(CONNECT_S, told.timeout_s)),
                limits=httpx.Limits(max_connections=self._most, max_keepalive_connections=self._most),
            )  # fmt: skip
        return self._client

    async def _admitted(self, response: httpx.Response) -> None:
        """Look at the head of an answer: whether it is one."""
        if response.status_code != 200:
            raise await self._refusal(response)
        if "event-stream" not in response.headers.get("content-type", ""):
            raise Odd(_("it does not stream"))

    async def _refusal(self, response: httpx.Response) -> Exception:
        """What an answer that is none means."""
        said = b""
        async for part in response.aiter_bytes():
            said += part
            if len(said) > REFUSAL_BYTES:
                break
        shown, status = self._upstream.shown(said.decode("utf-8", "replace")), response.status_code
        if status in (429, 503):
            wait_s = retry_after(response)
            return Busy(BUSY_S if wait_s is None else wait_s)
        if status in PASSING:
            return _Broke(f"{status} {shown}")
        return BurilError("V012", url=self._upstream.settings.url, status=status, problem=shown)


async def _drained(parts: AsyncIterator[bytes]) -> None:
    """Read what is left of an answer, where that is soon."""

    async def read() -> None:
        async for _part in parts:
            pass

    with contextlib.suppress(asyncio.TimeoutError):
        await within(read(), DRAIN_S)


def _broken_up(request: Request) -> Request:
    more: dict[str, Any] = {}
    if isinstance(request.prompt, str):
        more["prompt"] = broken_up(request.prompt)
    if request.suffix is not None:
        more["suffix"] = broken_up(request.suffix)
    if messages := getattr(request, "messages", None):
        more["messages"] = tuple((role, broken_up(content)) for role, content in messages)
    return replace(request, **more)
