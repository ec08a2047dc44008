"""A server from its start to its end: it listens at once, is ready when the model is warm, and ends without haste.

Told to end (SIGTERM, Ctrl-C), it takes no more requests, gives those on their way `grace_s` seconds, and ends.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from buril.core.errors import BurilError
from buril.core.text import _
from buril.serve.answer import Served
from buril.serve.app import Server, app_of
from buril.serve.http import LOOPBACK
from buril.serve.keys import Keys
from buril.serve.log import line
from buril.serve.settings import ServeSettings
from buril.serve.supervise import SOCKET

HEADER_KB = 64
"""Size of the headers of a request, at most."""


class Impatient(H11Protocol):
    """Closes a connection that does not send the whole head of a request in time."""

    patience_s = 10.0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait."""
        super().connection_made(transport)
        self._waiting: asyncio.TimerHandle | None = self.loop.call_later(self.patience_s, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Wait no more where a request has begun; else still from the connection's, or the last answer's, end on."""
        super().data_received(data)
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy and self._waiting:
            self._waiting.cancel()
            self._waiting = None
        elif not busy and self._waiting is None:
            self._waiting = self.loop.call_later(self.patience_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nothing to wait for."""
        if self._waiting:
            self._waiting.cancel()
        super().connection_lost(exc)

    def _give_up(self) -> None:
        self._waiting = None
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()


class Quiet(uvicorn.Server):
    """uvicorn's server without its own answer to signals: here the server first stops taking requests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals as they are."""
        yield


def check(told: ServeSettings) -> Keys:
    """The keys of the settings.

    Raises:
        BurilError: V001 where others could ask without one, V002 for a file that can't be read, V600 for a repository
            that is no folder.
    """
    for folder in told.repositories.values():
        if not folder.expanduser().is_dir():
            raise BurilError("V600", path=folder)
    if told.host not in LOOPBACK and told.keys is None:
        raise BurilError("V001", host=told.host)
    return Keys(told.keys)


def listen(told: ServeSettings) -> socket.socket:
    """The socket to listen at.

    Raises:
        BurilError: V003 where it can't be had.
    """
    try:
        family = socket.AF_INET6 if ":" in told.host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((told.host, told.port))
        made.listen(512)
    except OSError as problem:
        raise BurilError("V003", host=told.host, port=told.port, problem=problem.strerror or str(problem)) from problem
    return made


class Serving:
    """A server that runs.

    Args:
        told: its settings.
        keys: who may ask.
        load: loads the model; it is called once the server listens, and may take its time.
    """

    def __init__(self, told: ServeSettings, keys: Keys, load: Callable[[], Served]) -> None:
        self._told, self._load = told, load
        self.server = Server(told, keys)
        self.failed: BurilError | None = None
        protocol = type("Patient", (Impatient,), {"patience_s": told.patience_s})
        config = uvicorn.Config(
            app_of(self.server), log_config=None, access_log=False, server_header=False, http=protocol,
            limit_concurrency=told.connections, timeout_keep_alive=max(1, round(told.patience_s)),
            timeout_graceful_shutdown=max(1, round(told.grace_s)), h11_max_incomplete_event_size=HEADER_KB * 1024,
            ws="none", lifespan="off",
        )  # fmt: skip
        self._uvicorn = Quiet(config)
        self._parent = os.getppid()

    def run(self, listening: socket.socket) -> None:
        """Serve until told to end.

        Raises:
            BurilError: what loading raised, or the engine ended with.
        """
        host, port = listening.getsockname()[:2]
        line("listening", host=host, port=port)
        loading = threading.Thread(target=self._prepare, name="buril-load", daemon=True)
        loading.start()
        handlers = {number: signal.signal(number, self._end) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            asyncio.run(self._serve(listening))
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            if self.server.served is not None:
                self.server.served.engine.close()
                self.server.served.keep.close()
            if save := self.server.keys.save(now=True):
                save()
            line("ended")
        if self.failed:
            raise self.failed

    async def _serve(self, listening: socket.socket) -> None:
        watching = asyncio.ensure_future(self._watch())
        await self._uvicorn.serve([listening])
        watching.cancel()

    async def _watch(self) -> None:
        """End where the engine has: whoever supervises starts another."""
        while True:
            await asyncio.sleep(0.2)
            if save := self.server.keys.save():
                await asyncio.to_thread(save)
            served = self.server.served
            if served is not None and served.engine.broken and not self.server.ending:
                self.failed = served.engine.broken
                self._end()
            orphaned = os.environ.get(SOCKET) and os.getppid() != self._parent
            if orphaned and not self.server.ending:
                self._end()
            if self.failed:
                self._uvicorn.should_exit = True

    def _prepare(self) -> None:
        try:
            served = self._load()
            served.metrics.watch(served.engine, lambda: self.server.is_ready)
            self.server.served = served
        except BurilError as problem:
            self.failed = problem
            return
        finally:
            if self.server.served is None and self.failed is None:  # nobody expected it: the thread says what it was
                self.failed = BurilError("V005", problem=_("the model could not be loaded"))
        line("ready", model=served.name, **{"digest": served.links.get("fingerprint")})

    def _end(self, *_signal: object) -> None:
        """Take no more requests; a second time, wait for none."""
        if self.server.ending:
            self._uvicorn.force_exit = True
        self.server.ending = True
        self._uvicorn.should_exit = True
