"""The routes: OpenAI's completions and chats, llama.cpp's infill, and what an operator asks.

Every answer carries in `buril` what is known of it: the digests of the model, the id of its record (`buril trace ID`),
and what guards did. Errors are told as OpenAI's API tells them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from buril import __version__
from buril.core.errors import BurilError
from buril.serve.answer import Answer, Asked, Refusal, Served
from buril.serve.asking import asked_of_chat, asked_of_completion, asked_of_infill
from buril.serve.chats import ChatRequest
from buril.serve.health import OURS
from buril.serve.http import LOOPBACK, Bounded, EventStream, problem, unless_gone
from buril.serve.keys import Key, Keys, Refused, Scope, allows
from buril.serve.log import line
from buril.serve.reuse import answer_of
from buril.serve.schemas import CompletionRequest, EventRequest, InfillRequest
from buril.serve.settings import ServeSettings
from buril.serve.shapes import CHAT, COMPLETION, INFILL, Shape
from buril.serve.writing import Busy

if TYPE_CHECKING:
    from starlette.types import Receive

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": told, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    for status, told in (
        (400, "It can't be answered as asked."), (401, "An API key is needed."), (403, "The key is not for this."),
        (404, "There is no such model."), (408, "It did not come in time."), (413, "It is too large."),
        (429, "Come again after `Retry-After`."), (500, "The engine has failed."), (502, "The engine answers wrongly."),
        (503, "Not ready."),
    )
}  # fmt: skip
STATUSES = {
    **dict.fromkeys((
        "T015", "T017", "T021", "V006", "V013", "V040", "V060", "V061", "V062", "V063", "V064", "V601",
    ), 400),
    "V032": 404, **dict.fromkeys(("V011", "V012"), 502), **dict.fromkeys(("V004", "V010", "V014", "V041"), 503),
}  # fmt: skip
"""Statuses of our own errors; any other is the engine's, 500."""
ERROR_SCHEMA = {
    "type": "object", "required": ["error"],
    "properties": {"error": {
        "type": "object", "required": ["message", "type"],
        "properties": {"message": {"type": "string"}, "type": {"type": "string"}, "param": {"type": ["string", "null"]},
                       "code": {"type": ["string", "null"]}},
    }},
}  # fmt: skip


@dataclass
class Server:
    """What the routes share.

    Attributes:
        served: the model; None until it is loaded and warm.
        ending: no request is taken any more; what is on its way goes on.
    """

    settings: ServeSettings
    keys: Keys
    served: Served | None = None
    ending: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered."""
        engine = self.served.engine if self.served else None
        return engine is not None and not self.ending and engine.broken is None and engine.down is None


class Unready(Exception):
    """The model is not there yet, or not any more."""


def app_of(server: Server) -> FastAPI:
    """The application."""
    app = FastAPI(
        title="buril", version=__version__, docs_url=None, redoc_url=None,
        description="Code completion that can say what it was learnt from.",
    )  # fmt: skip
    app.state.server = server
    _operating(app, server)
    _models(app, server)
    _answers(app, server)
    _events(app, server)
    _errors(app)
    app.add_middleware(
        Bounded, body_bytes=server.settings.body_kb * 1024, patience_s=server.settings.patience_s,
        local=server.keys.path is None and server.settings.host in LOOPBACK,
    )  # fmt: skip
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        schema = plain()
        schema["components"]["schemas"]["Error"] = ERROR_SCHEMA
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # how FastAPI says to do it
    return app


def _operating(app: FastAPI, server: Server) -> None:
    @app.get("/healthz", responses={200: {"description": "The process lives."}})
    async def healthz() -> dict[str, str]:
        """Whether the process lives; the engine is not asked."""
        return {"status": "ok"}

    @app.get("/readyz", responses={503: ERRORS[503]})
    async def readyz() -> Response:
        """Whether requests are answered: the model is loaded and has written a token."""
        if server.is_ready:
            return JSONResponse({"status": "ready"})
        return problem(503, "ending" if server.ending else "the model is not ready", wait_s=2)

    if server.settings.metrics != "off":
        told: dict[int | str, dict[str, Any]] = {status: ERRORS[status] for status in (401, 403, 429, 503)}
        told[200] = {
            "description": "Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }

        @app.get("/metrics", responses=told, response_class=PlainTextResponse)
        async def metrics(request: Request) -> Response:
            """Counts for Prometheus."""
            if server.settings.metrics == "key":
                server.keys.admit(request.headers.get("authorization"), "metrics")
            if server.served is None:
                raise Unready
            return Response(server.served.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _models(app: FastAPI, server: Server) -> None:
    def told(served: Served) -> dict[str, Any]:
        return {"id": served.name, "object": "model", "created": served.created, "owned_by": OURS,
                "buril": {"model": dict(served.links)}}  # fmt: skip

    @app.get("/v1/models", responses={status: ERRORS[status] for status in (401, 403, 429, 503)})
    async def models(request: Request) -> dict[str, Any]:
        """The served model, and those beside it, as far as the key allows them."""
        key = server.keys.admit(request.headers.get("authorization"), "complete")
        served = _ready(server)
        found = [served, *served.beside.values()]
        return {"object": "list", "data": [told(one) for one in found if allows(key, one.name)]}

    @app.get("/v1/models/{name}", responses={status: ERRORS[status] for status in (401, 403, 404, 429, 503)})
    async def model(name: str, request: Request) -> dict[str, Any]:
        """A served model, by its name."""
        key = server.keys.admit(request.headers.get("authorization"), "complete")
        return told(_named(_ready(server), name, key))


def _answers(app: FastAPI, server: Server) -> None:
    told = server.settings
    taken: dict[int | str, dict[str, Any]] = {
        status: ERRORS[status] for status in (400, 401, 403, 404, 408, 413, 429, 500, 502, 503)
    }

    taken[200] = {"description": "The answer; with `stream` in parts, as server-sent events.",
                  "content": {"text/event-stream": {}}}  # fmt: skip

    @app.post("/v1/completions", responses=taken)
    async def completions(body: CompletionRequest, request: Request) -> Response:
        """Code that goes on from a prompt, or fills the hole before a suffix."""
        caller = Caller(server, request, "complete")
        return await _answer(caller, COMPLETION, lambda served: asked_of_completion(served, body, told), body)

    @app.post("/v1/fim/completions", responses=taken)
    async def fim(body: CompletionRequest, request: Request) -> Response:
        """The same in the form of Mistral's API, which some editors' plugins speak."""
        caller = Caller(server, request, "complete")
        return await _answer(caller, CHAT, lambda served: asked_of_completion(served, body, told), body)

    @app.post("/v1/chat/completions", responses=taken)
    async def chat(body: ChatRequest, request: Request) -> Response:
        """The next message of a chat."""
        caller = Caller(server, request, "chat")
        return await _answer(caller, CHAT, lambda served: asked_of_chat(served, body, told), body)

    @app.post("/infill", responses=taken)
    async def infill(body: InfillRequest, request: Request) -> Response:
        """What stands between a prefix and a suffix, as llama.cpp's server has it."""
        caller = Caller(server, request, "complete")
        return await _answer(caller, INFILL, lambda served: asked_of_infill(served, body, told), body)


class Caller:
    """Who asks, and what they may.

    Raises:
        Refused: the key does not allow it.
        Unready: there is no model yet.
    """

    def __init__(self, server: Server, request: Request, scope: Scope) -> None:
        self.key = server.keys.admit(request.headers.get("authorization"), scope)
        self.server, self.request, self.served = server, request, _ready(server)
        self.is_chat = scope == "chat"

    def choose(self, name: str) -> Served:
        """The model of a name, as it answers what is asked."""
        named = _named(self.served, name, self.key)
        self.served = named.chats if self.is_chat and named.chats is not None else named
        return self.served


def _events(app: FastAPI, server: Server) -> None:
    taken: dict[int | str, dict[str, Any]] = {status: ERRORS[status] for status in (400, 401, 403, 408, 413, 429, 503)}

    @app.post("/v1/events", responses=taken, status_code=204)
    async def event(body: EventRequest, request: Request) -> Response:
        """What became of a completion in an editor: shown, accepted, partial, rejected, persisted."""
        served = Caller(server, request, "events").served
        told = {"language": body.language, "chars": body.chars, "lines": body.lines}
        await asyncio.to_thread(served.keep.event, body.id, body.event, **told)
        return Response(status_code=204)


def _errors(app: FastAPI) -> None:
    def on(kind: type[Exception], answer: Callable[[Any], JSONResponse]) -> None:
        async def handle(_request: Request, exception: Exception) -> JSONResponse:
            return answer(exception)

        app.add_exception_handler(kind, handle)

    on(Refused, lambda one: problem(one.status, one.told, wait_s=one.wait_s))
    on(Busy, lambda one: problem(429, "too many requests wait", code="queue_full", wait_s=one.wait_s))
    on(Unready, lambda _one: problem(503, "the model is not ready", wait_s=2))
    on(Refusal, lambda one: problem(400, one.told, code=one.code))
    on(UnknownModel, lambda one: problem(404, f"there is no model `{one}`", code="model_not_found", param="model"))
    on(BurilError, _coded)
    on(HTTPException, lambda one: problem(one.status_code, str(one.detail)))
    on(RequestValidationError, _invalid)


class UnknownModel(Exception):
    """A model of another name was asked for."""


def _coded(one: BurilError) -> JSONResponse:
    """An error of ours: the client's where the request can't be written, else the engine's."""
    if one.code == "V012" and one.values["status"] in (400, 413, 422):  # the engine's words on what was asked of it
        return problem(400, _cause(one), code=one.code)
    status = STATUSES.get(one.code, 500)
    return problem(status, _cause(one), code=one.code, wait_s=2 if one.code == "V010" else None)


def _cause(one: BurilError) -> str:
    """What went wrong; where the engine is, is no client's matter."""
    url = str(one.values.get("url", ""))
    return one.cause.replace(url, "…") if url else one.cause


def _invalid(one: RequestValidationError) -> JSONResponse:
    first = one.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return problem(400, f"{place}: {first['msg']}" if place else first["msg"], param=place or None)


def _ready(server: Server) -> Served:
    if server.served is not None and server.is_ready:
        return server.served
    if server.served is not None and not server.ending and server.served.engine.down:
        raise server.served.engine.down
    raise Unready


def _named(served: Served, name: str, key: Key | None) -> Served:
    """The model of a name, the main one of none."""
    found = served if name in ("", served.name) else served.beside.get(name)
    if found is None:
        raise UnknownModel(name[:100])
    if not allows(key, found.name):
        raise Refused(403, f"this API key is not for the model `{found.name}`")
    return found


async def _answer(caller: Caller, shape: Shape, make: Callable[[Served], list[Asked]], body: Any) -> Response:
    """Admit a request, and answer it whole or in parts."""
    served, server = caller.choose(body.model), caller.server
    owner = caller.key.sha256 if caller.key else ""
    answers = [answer_of(served, asked, owner) for asked in make(served)]
    told = Told(caller, answers)
    with told:
        if not await unless_gone(caller.request.receive, asyncio.ensure_future(_admitted(answers))):
            told.end("gone")
            return Response(status_code=499)
    headers = {"x-buril-model": served.name, **({"x-buril-cache": answers[0].how} if answers[0].how else {})}
    if body.stream:
        events = told.counted(shape.stream(served, answers, body))
        return EventStream(events, patience_s=server.settings.patience_s, headers=headers, done=shape.done)
    whole = await _whole(told, shape.whole(served, answers), caller.request.receive)
    return JSONResponse(whole, headers=headers) if whole is not None else Response(status_code=499)


async def _admitted(answers: list[Answer]) -> bool:
    """Admit all: an engine by URL takes its time for it."""
    for answer in answers:
        await answer.admit()
    return True


async def _whole(told: Told, work: Awaitable[dict[str, Any]], receive: Receive) -> dict[str, Any] | None:
    """An answer in one; None where the client has gone before."""
    with told:
        found: dict[str, Any] | None = await unless_gone(receive, asyncio.ensure_future(work))
    told.end("ok" if found is not None else "gone")
    return found


class Told:
    """What the log and the metrics are told of a request. What raises within gets no answer, and leaves the engine."""

    def __init__(self, caller: Caller, answers: list[Answer]) -> None:
        self._server, self._served, self._key, self._answers = caller.server, caller.served, caller.key, answers
        self._route = caller.request.url.path

    def __enter__(self) -> Told:
        return self

    def __exit__(self, kind: type[BaseException] | None, why: BaseException | None, trace: object) -> None:
        if why is None:
            return
        reason = why.code if isinstance(why, (BurilError, Refusal)) else type(why).__name__.lower()
        self._served.metrics.refused.labels(reason=reason).inc()
        self.end(reason)

    async def counted(self, events: AsyncGenerator[Any]) -> AsyncGenerator[Any]:
        """The events of a stream; at its end, or when the client goes, it is counted."""
        status = "gone"
        try:
            async for event in events:
                yield event
            status = "ok"
        except BurilError as failed:
            status = failed.code
            yield {"error": {"message": _cause(failed), "type": "server_error", "param": None, "code": failed.code}}
        finally:
            await events.aclose()
            self.end(status)

    def end(self, status: str) -> None:
        """Take what is left of it out of the engine; write the line and the counts."""
        for answer in self._answers:
            answer.leave()
        answers, seconds = self._answers, time.monotonic() - self._answers[0].came
        prompt = sum(answer.prompt_tokens for answer in answers)
        tokens = sum(answer.num_tokens for answer in answers)
        self._server.keys.use(self._key, sum(answer.charged for answer in answers))
        self._served.metrics.requests.labels(route=self._route, status=status).inc()
        first = answers[0].first_s
        if status == "ok":
            self._served.metrics.answered(seconds=seconds, first_s=first, prompt_tokens=prompt, tokens=tokens)
        fired = [f"{item.guard}:{item.action}" for answer in answers for item in answer.fired]
        line("request", route=self._route, status=status, key=self._key.name if self._key else None,
             model=self._served.name, cache=answers[0].how or None, prompt_tokens=prompt, tokens=tokens,
             ms=round(1000 * seconds, 1), first_ms=round(1000 * first, 1) if first is not None else None, guards=fired,
             finish=[reason for answer in answers for reason in answer.finished])  # fmt: skip
