"""What stands between the wire and the routes: bounds on size and time, and answers that come in parts.

A request has bounds in bytes and in seconds before any of it is understood. A stream has a bound on how long its reader
may take: one that does not read holds up nobody but itself, and that not for long.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response

from buril.serve.waiting import within

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

KINDS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
         405: "invalid_request_error", 408: "timeout_error", 413: "invalid_request_error",
         415: "invalid_request_error", 429: "rate_limit_error", 503: "overloaded_error"}  # fmt: skip
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def problem(
    status: int, told: str, *, code: str = "", param: str | None = None, wait_s: float | None = None
) -> JSONResponse:
    """An error as OpenAI's API tells it."""
    headers = {"Retry-After": str(max(1, round(wait_s)))} if wait_s is not None else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    kind = KINDS.get(status, "server_error")
    content = {"error": {"message": told, "type": kind, "param": param, "code": code or None}}
    return JSONResponse(content, status, headers)


class Bounded:
    """Lets only requests in that are small enough, come soon enough, and are for this host.

    Args:
        app: what answers.
        body_bytes: of a body, at most.
        patience_s: seconds for all of a body.
        local: whether only names of this machine may stand in `Host`: without keys, a page in a browser that makes its
            own name mean this machine (DNS rebinding) would get in otherwise.
    """

    def __init__(self, app: ASGIApp, *, body_bytes: int, patience_s: float, local: bool) -> None:
        self._app, self._most, self._patience_s, self._local = app, body_bytes, patience_s, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body whole, then let the routes see it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        refused = self._refused(headers)
        if refused is None:
            try:
                body = await asyncio.wait_for(self._body(receive), self._patience_s)
            except asyncio.TimeoutError:
                refused = problem(408, "the request did not come in time")
            else:
                if body is None:
                    return
                if len(body) > self._most:
                    refused = problem(413, f"a request has at most {self._most} bytes")
        if refused is not None:
            refused.headers["Connection"] = "close"
            await refused(scope, receive, send)
            return
        await self._app(scope, _again(body or b"", receive), send)

    def _refused(self, headers: Mapping[bytes, bytes]) -> JSONResponse | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._local and host and _name(host) not in LOOPBACK:
            return problem(403, "without API keys only this machine's own names are answered")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most:
            return problem(413, f"a request has at most {self._most} bytes")
        return None

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body, or one byte more than is allowed; None where the client has gone."""
        found = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            found += message.get("body", b"")
            if not message.get("more_body") or len(found) > self._most:
                return bytes(found)


def _name(host: str) -> str:
    """A host without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0].lower()


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, then whatever comes."""
    given = False

    async def get() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return get


class EventStream(Response):
    """Server-sent events to a client that is there and reads.

    Args:
        events: what is sent, each a JSON object; `done` is sent behind them.
        patience_s: seconds that a client may take for each.
        headers: of the response.
        done: the last event of the API that this is.
    """

    def __init__(
        self, events: AsyncGenerator[Any], *, patience_s: float, headers: Mapping[str, str], done: str | None = "[DONE]"
    ) -> None:
        told = {"cache-control": "no-store", "x-accel-buffering": "no", **headers}
        super().__init__(headers=told, media_type="text/event-stream")
        del self.headers["content-length"]  # nobody knows it
        self._events, self._patience_s, self._done = events, patience_s, done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the end, or until the client has gone."""
        del scope
        sending = asyncio.ensure_future(self._send(send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, gone):
                task.cancel()
            found = await asyncio.gather(sending, gone, return_exceptions=True)
            await self._events.aclose()  # whoever writes them learns now that nobody reads
        if isinstance(found[0], Exception) and not isinstance(found[0], (asyncio.TimeoutError, OSError)):
            raise found[0]

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for event in self._events:
            await self._write(send, json.dumps(event, ensure_ascii=False, separators=(",", ":")))
        if self._done is not None:
            await self._write(send, self._done)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, send: Send, text: str) -> None:
        body = f"data: {text}\n\n".encode("utf-8", "replace")
        await within(send({"type": "http.response.body", "body": body, "more_body": True}), self._patience_s)


async def _gone(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, work: asyncio.Future[Any]) -> Any:
    """The result of some work, or None where the client goes before: the work is ended then."""
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        return None
    finally:
        for task in (work, gone):
            task.cancel()
        await asyncio.gather(work, gone, return_exceptions=True)
