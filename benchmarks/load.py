"""Load: a server that is asked for twice what it can write, by clients of which some behave badly.

    python benchmarks/load.py [--size small|full] [--minutes N] [--model NAME_OR_FOLDER] [--engine NAME] [--threads N]

`buril serve` runs with its supervisor, keys, guards, records and the ledger, as a team would run it. First eight
clients that wait for their answers say what it can write. Then requests come at twice that rate whether or not it keeps
up (Poisson arrivals, seeded), and all the while there are readers that do not read, connections that never finish a
request, streams that are left, bodies of 10 MB, broken JSON and wrong keys. Half a minute before the end the worker is
killed with SIGKILL; at the end the server is told to end while it writes.

Each request must come to an end that its client can tell: a status, or a connection that the server closes. Memory is
that of the worker; latencies are those of accepted requests, in the first and the last third of the time before the
kill.

Lines: the growth of memory after the first quarter (target: 10 % at most), p95 of the last third against the first
(target: 1.3 at most), requests without an end that is told (target: none), and seconds from the kill to the next answer
(target: 30).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import httpx
from all import machine

from buril.core.allocator import start_frugally
from buril.core.store import Store
from buril.serve.keys import add
from serve import holes, store_of

MINUTES = {"small": 1.0, "full": 10.0}
TOKENS = 16
CLIENTS = 8
"""Clients that say what the server can write."""
CALIBRATED_S = 15.0
LIMIT_S = 60.0
"""Seconds after which a client says that its request has no end."""
AFTER_KILL_S = 30.0
PATIENCE_S = 10.0
"""Seconds that the server waits for a client: its default."""
BODY = 10_000_000
GROWN, SLOWER, BACK_S = 0.10, 1.3, 30.0


@dataclass
class Told:
    """What clients saw.

    Attributes:
        ends: how requests of each kind ended.
        accepted: of each accepted request, when it was sent and how long it took.
        memory: when and how many MB the worker had.
    """

    ends: dict[str, Counter[str]] = field(default_factory=dict)
    accepted: list[tuple[float, float]] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)

    def end(self, kind: str, how: str) -> None:
        """Count how a request ended."""
        self.ends.setdefault(kind, Counter())[how] += 1


class Server:
    """`buril serve` with a supervisor; its lines tell where it listens and which process is the worker."""

    def __init__(self, store: Store, engine: str, threads: int) -> None:
        folder = store.root.parent
        self.key = add(folder / "keys.json", "load")
        settings = {
            # a small cache of prompts is full before memory is looked at: what grows then is a leak
            "engine": {engine: {"threads": threads, "cache_mb": 256} if engine != "transformers" else {}}, "queue": 8,
            "keys": str(folder / "keys.json"),
        }  # fmt: skip
        (folder / "serve.yaml").write_text(json.dumps({"name": "served", "serve": settings}))
        self._log = folder / "serve.log"
        verb = [sys.executable, "-m", "buril", "serve", "base", "--port", "0"]
        with self._log.open("w") as out:
            self.process = subprocess.Popen(
                [*verb, "-c", str(folder / "serve.yaml"), "--store", str(store.root)], stderr=out, stdout=out
            )
        while not self.lines("ready"):
            assert self.process.poll() is None, self._log.read_text()
            time.sleep(0.2)
        told = self.lines("listening")[0]
        self.host, self.port = str(told["host"]), int(told["port"])

    def unexpected(self) -> str:
        """What it wrote that is no line of its log: errors that nobody caught."""
        return "\n".join(line for line in self._log.read_text().splitlines() if not line.startswith(("{", "http://")))

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of a kind that it has written."""
        found = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    @property
    def worker(self) -> int:
        """The process that writes: the one child of ours."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def memory_mb(self) -> float | None:
        """Resident memory of the worker; None while there is none."""
        try:
            lines = Path(f"/proc/{self.worker}/status").read_text(encoding="utf-8").splitlines()
        except OSError:
            return None
        found = [line for line in lines if line.startswith("VmRSS")]
        return int(found[0].split()[1]) / 1024 if found else None

    def client(self, key: str | None = None) -> httpx.AsyncClient:
        """A client with the server's key, or another."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(
            base_url=f"http://{self.host}:{self.port}", timeout=LIMIT_S, headers=headers, limits=limits
        )


class Crowd:
    """Clients of one server: each method is one request, of which `told` learns how it ended."""

    def __init__(self, server: Server, told: Told) -> None:
        self._server, self._told = server, told
        self._holes = holes(200)
        self._drawn = random.Random(0)
        self.good, self.wrong = server.client(), server.client("bur_wrong")

    def body(self, **more: Any) -> dict[str, Any]:
        """A request for code in a hole of some file; no two alike, as the server answers those from memory."""
        prefix, suffix = self._drawn.choice(self._holes)
        begin = self._drawn.randrange(300, 900)
        return {"prompt": f"# {self._drawn.random()}\n{prefix[-begin:]}", "suffix": suffix[:200],
                "max_tokens": TOKENS, **more}  # fmt: skip

    async def ask(self) -> None:
        """An ordinary request, half of them as streams."""
        stream = self._drawn.random() < 0.5
        began = time.monotonic()
        if stream:
            status = await self._stream()
        else:
            response = await self.good.post("/v1/completions", json=self.body())
            status = str(response.status_code)
            if response.status_code == 429:
                assert int(response.headers["retry-after"]) >= 1
        self._told.end("ordinary", status)
        if status == "200":
            self._told.accepted.append((began, time.monotonic() - began))

    async def _stream(self) -> str:
        async with self.good.stream("POST", "/v1/completions", json=self.body(stream=True)) as response:
            last = ""
            async for line in response.aiter_lines():
                last = line or last
        whole = response.status_code != 200 or last == "data: [DONE]" or '"error"' in last
        return str(response.status_code) if whole else "cut off"

    async def leave(self) -> None:
        """A stream that is left after its first part."""
        async with self.good.stream("POST", "/v1/completions", json=self.body(stream=True)) as response:
            async for _line in response.aiter_lines():
                break
        self._told.end("left", f"{response.status_code}, left")

    async def large(self) -> None:
        """A body that is larger than allowed."""
        try:
            response = await self.good.post("/v1/completions", content=b"x" * BODY)
            self._told.end("10 MB", str(response.status_code))
        except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
            self._told.end("10 MB", "closed by the server")

    async def broken(self) -> None:
        """What is no JSON."""
        response = await self.good.post("/v1/completions", content=b'{"prompt": "def f(', headers=JSON)
        self._told.end("broken JSON", str(response.status_code))

    async def stranger(self) -> None:
        """A key that is not known."""
        response = await self.wrong.post("/v1/completions", json=self.body())
        self._told.end("wrong key", str(response.status_code))

    async def half_open(self) -> None:
        """A request that never comes whole: the server must close the connection."""
        reader, writer = await asyncio.open_connection(self._server.host, self._server.port)
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Len")
        self._told.end("half open", await _until_closed(reader, writer))

    async def slow(self) -> None:
        """A reader that does not read: the server must leave it."""
        reader, writer = await asyncio.open_connection(self._server.host, self._server.port, limit=64)
        body = json.dumps(self.body(stream=True)).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._server.key}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        await asyncio.sleep(PATIENCE_S + 2)
        self._told.end("slow reader", await _until_closed(reader, writer))

    async def close(self) -> None:
        """Let go of the connections."""
        await self.good.aclose()
        await self.wrong.aclose()


JSON = {"content-type": "application/json"}


async def _until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """Read until the server closes; what came first."""
    try:
        found = await asyncio.wait_for(reader.read(), LIMIT_S)
    except ConnectionError:
        found = b""
    finally:
        writer.close()
    return found.split(b"\r\n", 1)[0].decode("latin-1").removeprefix("HTTP/1.1 ") or "closed by the server"


async def tolerant(told: Told, kind: str, work: Awaitable[None], *, may_break: Callable[[], bool]) -> None:
    """Do a request; one that has no end that is told is counted as lost, unless the worker was killed meanwhile."""
    try:
        await work
    except (httpx.TransportError, ConnectionError) as problem:
        clean = may_break() and not isinstance(problem, httpx.TimeoutException)
        told.end(kind, "broken off by the kill" if clean else f"LOST ({type(problem).__name__})")
    except asyncio.TimeoutError:
        told.end(kind, "LOST (no end)")


async def capacity(crowd: Crowd, told: Told) -> float:
    """Requests a second that the server answers when it is asked by clients that wait."""
    until = time.monotonic() + CALIBRATED_S

    async def one() -> None:
        while time.monotonic() < until:
            await crowd.ask()

    began = time.monotonic()
    await asyncio.gather(*(one() for _client in range(CLIENTS)))
    number = len(told.accepted)
    told.accepted.clear()
    told.ends.clear()
    return number / (time.monotonic() - began)


class Storm:
    """The load: arrivals at a rate, bad clients beside them, and a look at memory each second."""

    def __init__(self, server: Server, crowd: Crowd, told: Told, rate: float) -> None:
        self._server, self._crowd, self._told, self._rate = server, crowd, told, rate
        self._drawn = random.Random(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.killed = 0.0
        self._closing: set[str] = set()

    def _begin(self, kind: str, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(tolerant(self._told, kind, work, may_break=lambda: self.killed > 0))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def blow(self, seconds: float) -> float:
        """Blow for so long; the second at which the worker was killed."""
        until = time.monotonic() + seconds
        jobs = [self._ordinary(until), self._memory(until), self._kill(until - AFTER_KILL_S), *self._bad(until)]
        await asyncio.gather(*jobs)
        while self._tasks:
            await asyncio.wait(self._tasks)
        return self.killed

    async def _ordinary(self, until: float) -> None:
        while time.monotonic() < until:
            self._begin("ordinary", self._crowd.ask())
            await asyncio.sleep(self._drawn.expovariate(self._rate))

    def _bad(self, until: float) -> list[Awaitable[None]]:
        crowd = self._crowd
        every = [("left", crowd.leave, 2.0), ("10 MB", crowd.large, 2.0), ("broken JSON", crowd.broken, 1.0),
                 ("wrong key", crowd.stranger, 1.0), ("half open", crowd.half_open, 0.5),
                 ("slow reader", crowd.slow, 2.0)]  # fmt: skip
        return [self._again(kind, work, each, until) for kind, work, each in every]

    async def _again(self, kind: str, work: Callable[[], Awaitable[None]], each: float, until: float) -> None:
        while time.monotonic() < until:
            self._begin(kind, work())
            await asyncio.sleep(each)

    async def _memory(self, until: float) -> None:
        while time.monotonic() < until:
            found = self._server.memory_mb()
            if found is not None and not self.killed:
                self._told.memory.append((time.monotonic(), found))
            await asyncio.sleep(1)

    async def _kill(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        self.killed = time.monotonic()
        os.kill(self._server.worker, signal.SIGKILL)


async def ended(server: Server, crowd: Crowd) -> str:
    """Tell the server to end while it writes; what became of the streams on their way."""
    streams = [asyncio.ensure_future(crowd._stream()) for _stream in range(4)]
    await asyncio.sleep(1.0)
    server.process.send_signal(signal.SIGTERM)
    found = Counter(await asyncio.gather(*streams))
    code = await asyncio.to_thread(server.process.wait, 60)
    return f"{dict(found)}, exit code {code}"


def p95(values: Sequence[float]) -> float:
    """The 95th percentile; NaN of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] if ordered else float("nan")


@dataclass(frozen=True)
class Outcome:
    """What the lines are made of."""

    memory: tuple[float, float]
    latency: tuple[float, float]
    lost: int
    requests: int
    back_s: float


def outcome(told: Told, began: float, killed: float) -> Outcome:
    """Before and after: the first quarter is left out of memory, as caches fill there."""
    length = killed - began
    after = [mb for at, mb in told.memory if at >= began + length / 4]
    tenth = max(1, len(after) // 10)
    memory = (statistics.median(after[:tenth]), statistics.median(after[-tenth:]))
    thirds = [
        p95([took for sent, took in told.accepted if part <= 3 * (sent - began) / length < part + 1])
        for part in (0, 2)
    ]  # fmt: skip
    after_kill = [sent + took for sent, took in told.accepted if sent + took > killed + 0.5]
    lost = sum(number for ends in told.ends.values() for how, number in ends.items()
               if how.startswith("LOST") or how == "cut off")  # fmt: skip
    requests = sum(sum(ends.values()) for ends in told.ends.values())
    return Outcome(memory, (thirds[0], thirds[1]), lost, requests, min(after_kill, default=float("inf")) - killed)


def show(told: Told, found: Outcome, rate: float, restarts: int) -> None:
    """Print what happened."""
    print(f"it answers {rate:.2f} requests a second of {CLIENTS} clients that wait; asked were {2 * rate:.2f}")
    for kind, ends in told.ends.items():
        print(f"  {kind:12} {', '.join(f'{how}: {number}' for how, number in ends.most_common())}")
    print(f"  workers started again: {restarts}; the first answer {found.back_s:.1f} s after the kill")
    tenths = [told.memory[place * len(told.memory) // 10][1] for place in range(10)]
    print(f"  memory {' '.join(f'{mb:.0f}' for mb in tenths)} {told.memory[-1][1]:.0f} MB")
    print(
        f"  p95 of accepted requests {found.latency[0]:.2f} s in the first third, {found.latency[1]:.2f} s at the end"
    )


def lines(found: Outcome, minutes: float) -> list[dict[str, Any]]:
    """The JSON lines."""
    grown = found.memory[1] / found.memory[0] - 1
    slower = found.latency[1] / found.latency[0]
    common = {"machine": machine()}
    return [
        {"name": f"load: growth of memory in {minutes:g} minutes", "ours": round(found.memory[1]),
         "peer": round(found.memory[0]), "peer_name": "after the first quarter", "unit": "MB", "ratio": round(grown, 3),
         "target": GROWN, "met": grown <= GROWN, **common},
        {"name": "load: p95 of accepted requests", "ours": round(found.latency[1], 2),
         "peer": round(found.latency[0], 2), "peer_name": "the first third", "unit": "s", "ratio": round(slower, 2),
         "target": SLOWER, "met": slower <= SLOWER, **common},
        {"name": "load: requests without an end that is told", "ours": found.lost, "peer": found.requests,
         "peer_name": "all requests", "unit": "requests", "ratio": found.lost / max(1, found.requests), "target": 0,
         "met": found.lost == 0, **common},
        {"name": "load: from kill -9 to the next answer", "ours": round(found.back_s, 1), "peer": BACK_S,
         "peer_name": "what is allowed", "unit": "s", "ratio": round(found.back_s / BACK_S, 2), "target": BACK_S,
         "met": found.back_s <= BACK_S, **common},
    ]  # fmt: skip


async def measured(server: Server, minutes: float) -> list[dict[str, Any]]:
    """Calibrate, blow, end, show."""
    told = Told()
    crowd = Crowd(server, told)
    rate = await capacity(crowd, told)
    began = time.monotonic()
    killed = await Storm(server, crowd, told, 2 * rate).blow(60 * minutes)
    found = outcome(told, began, killed)
    show(told, found, rate, len(server.lines("restart")))
    print(f"  told to end while it wrote four streams: {await ended(server, crowd)}")
    await crowd.close()
    if server.unexpected():
        print(server.unexpected()[-4000:], file=sys.stderr)
    return lines(found, minutes)


def main() -> None:
    """Serve, storm, tell."""
    read = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    read.add_argument("--size", choices=MINUTES, default="small")
    read.add_argument("--minutes", type=float)
    read.add_argument("--model", default="smollm2-135m")
    read.add_argument("--engine", default="openvino")
    read.add_argument("--threads", type=int, default=max(1, len(os.sched_getaffinity(0)) - 1))
    told = read.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(told.threads)
    with tempfile.TemporaryDirectory(prefix="buril-load-") as folder:
        server = Server(store_of(Path(folder), told.model), told.engine, told.threads)
        try:
            found = asyncio.run(measured(server, told.minutes or MINUTES[told.size]))
        finally:
            if server.process.poll() is None:
                server.process.terminate()
                server.process.wait(60)
    print(json.dumps(found))


if __name__ == "__main__":
    start_frugally()
    main()
