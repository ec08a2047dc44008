"""Other servers to ask: llama.cpp's own in a process of its own, and one that speaks HTTP as badly as it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from buril.generators._gguf_writer import write
from buril.generators._load import Loaded
from buril.generators._upstream import Upstream
from buril.generators.openai import Openai
from buril.serve.answer import Served
from buril.serve.guards import Guard
from buril.serve.health import Health
from buril.serve.metrics import Metrics
from buril.serve.remote import RemoteEngine
from buril.serve.settings import ServeSettings
from tests.serve.running import Running

PROGRAM = """
import sys, time, xllamacpp
told = xllamacpp.CommonParams()
told.model.path, told.port = sys.argv[1], int(sys.argv[2])
told.n_ctx, told.n_parallel, told.warmup, told.endpoint_slots = 8192, 4, False, True
told.cpuparams.n_threads = told.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(told)
while True:
    time.sleep(1)
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def until(holds: Callable[[], Any], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


class Llama:
    """llama.cpp's server with a model."""

    def __init__(self, file: Path, log: Path, port: int = 0) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        with log.open("a") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(file), str(self.port)], stdout=out, stderr=out
            )
        until(self._is_there, 60)

    def _is_there(self) -> bool:
        assert self.process.poll() is None
        try:
            return httpx.get(f"{self.url}/models", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def running(self) -> int:
        """Texts that it writes just now."""
        slots = httpx.get(f"http://127.0.0.1:{self.port}/slots", timeout=10).json()
        return sum(1 for slot in slots if slot["is_processing"])

    def ask(self, **body: Any) -> dict[str, Any]:
        """Ask it directly."""
        told = {"temperature": 0, "stream": False, **body}
        found: dict[str, Any] = httpx.post(f"{self.url}/completions", json=told, timeout=60).json()
        return found

    def streamed(self, **body: Any) -> str:
        """Ask it directly for a stream: it leaves out there what is no whole sign at the end of a text."""
        told = {"temperature": 0, **body, "stream": True}
        lines = httpx.post(f"{self.url}/completions", json=told, timeout=60).text.splitlines()
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        return "".join(one["choices"][0]["text"] for one in events)

    def end(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(20)


def gguf_of(loaded: Loaded, path: Path) -> Path:
    """A model as llama.cpp reads it, its tokenizer too."""
    write(loaded, path, weights="f16", source="")
    return path


Wire = Callable[[Any, asyncio.StreamWriter], Awaitable[None]]
"""What answers a completion: it is given the request's JSON and the wire."""


class Odd:
    """A server that answers `/models` and probes well, and any other completion by what it is told to.

    `ids`: it takes prompts of ids; `texts`: how many tokens it says a text has.
    """

    def __init__(
        self, wire: Wire, *, ids: bool = True, texts: Callable[[str], int] | None = None, port: int = 0
    ) -> None:
        self.wire, self.ids, self.texts = wire, ids, texts
        self.asked: list[Any] = []
        self.heads: list[str] = []
        self.open = self.connections = 0
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Odd:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_problem: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open, self.connections = self.open + 1, self.connections + 1
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        size = next(
            (int(line.split(":")[1]) for line in head.lower().splitlines() if line.startswith("content-length")), 0
        )
        body = json.loads(await reader.readexactly(size)) if size else None
        if body is None or not body.get("stream"):
            status, told = self._probed(body)
            writer.write(whole(status, told))
            await writer.drain()
            return True
        self.asked.append(body)
        await self.wire(body, writer)
        return False

    def _probed(self, body: Any) -> tuple[int, Any]:
        if body is None:
            return 200, {"data": [{"id": "odd", "max_model_len": 1000}]}
        prompt = body.get("prompt", "")
        if isinstance(prompt, list) and not self.ids:
            return 400, {"error": {"message": "prompt: not a string"}}
        number = self.texts(prompt) if self.texts and isinstance(prompt, str) else len(prompt)
        usage = {"prompt_tokens": number, "completion_tokens": body.get("max_tokens", 1)}
        return 200, {"choices": [{"text": "x", "finish_reason": "length"}], "usage": usage}


def whole(status: int, told: Any, **more: str) -> bytes:
    """An answer in one."""
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    heads = {"content-type": "application/json", "content-length": str(len(body)), **more}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in heads.items())
    return f"HTTP/1.1 {status} x\r\n{lines}\r\n".encode() + body


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def event(text: str = "", reason: str | None = None, **more: Any) -> bytes:
    """An event of a stream; letters beyond ASCII stand in it as they are."""
    told = {"choices": [{"index": 0, "text": text, "finish_reason": reason}], **more}
    return b"data: " + json.dumps(told, ensure_ascii=False).encode() + b"\n\n"


class Relayed(Running):
    """Our server with an engine by URL."""

    health: Health | None = None

    def _load(self) -> Served:
        settings = {"model": "odd", "wait_s": 0.05, "timeout_s": 20.0, **self._more["openai"]}
        upstream = Upstream(Openai.Settings.model_validate(settings))
        upstream.loaded = self._loaded
        if self._more.get("endless"):  # random weights end a text soon: here only limits and clients do
            assert self._loaded is not None
            upstream.logit_bias = dict.fromkeys(self._loaded.encoder.control_ids, -100.0)
        health = self.health = Health(upstream)
        self.speed = health.wait()
        health.watch()
        engine = RemoteEngine(upstream, health, most_waiting=self.told.queue)
        links = {"engine": {"stage": "engine", "digest": "e" * 64}, "fingerprint": "f" * 12}
        remote = self._more.get("remote", False)
        return Served("tiny", engine, upstream, self._guards, Metrics("tiny", "f" * 12), links, self, remote=remote)

    @property
    def engine(self) -> Any:
        served = self.serving.server.served
        assert served is not None
        return served.engine


@contextlib.contextmanager
def relayed(
    loaded: Loaded | None, *guards: Guard, told: Any = None, wait: bool = True, **more: Any
) -> Iterator[Relayed]:
    """A server that is ready (unless it is not waited for), and ended afterwards."""
    settings = ServeSettings(**{"port": 0, "guards": [], **(told or {})})
    found = Relayed(settings, loaded, guards, **more)  # type: ignore[arg-type]
    found.thread.start()
    try:
        if wait:
            until(lambda: found.client.get("/readyz").status_code == 200, 60)
        yield found
    finally:
        found.serving._end()
        found.thread.join(20)
        found.client.close()
        if found.serving.server.served is not None:
            found.engine.close()
        elif found.health is not None:  # it still waits for the other server
            found.health.close()
    assert not found.thread.is_alive()
