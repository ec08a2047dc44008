"""Serving: how soon and how fast a server answers, beside its engine alone, plain transformers and llama.cpp's server.

    python benchmarks/serve.py [--size small|full] [--model NAME_OR_FOLDER] [--engine NAME] [--threads N] [--gguf FILE]
        [--rounds N]

`buril serve` runs as a process of its own with the model; clients ask over loopback. Prompts are holes of about 500
tokens in real files of the standard library, each client its own; answers are greedy and of a fixed number of tokens.
Measured are the time to the first token and the whole answer of one client, tokens a second of several clients at once,
and memory. In the same run: the same requests to the engine's session without HTTP, `transformers.generate` one request
after the other as a script without a server would, and, with `--gguf` (or the one in llama.cpp's own wheel's reach),
llama.cpp's server.

Lines: tokens a second of many clients against transformers (target 3 ×), and what HTTP, records and counts cost against
the engine alone (target: 5 % at most).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import httpx
from all import machine

from buril.code.codefile import CodeFile, write_rows
from buril.core import plan
from buril.core.allocator import start_frugally
from buril.core.plugins import plugin
from buril.core.stage import Inputs, Output, Stage
from buril.core.store import Store
from buril.generators._generator import Request
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base

PROMPT_CHARS, SUFFIX_CHARS = 1500, 400
"""Of a hole: together about 500 tokens of code."""


@dataclass(frozen=True)
class Size:
    """Tokens of an answer, clients at once, and rounds."""

    tokens: int
    clients: tuple[int, ...]
    rounds: int


SIZES = {"small": Size(24, (1, 4), 2), "full": Size(48, (1, 4, 8, 16), 3)}


def holes(number: int) -> list[tuple[str, str]]:
    """Prefixes and suffixes in files of the standard library, no two of the same file."""
    found = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        middle = text.find("\n", len(text) // 2) + 1
        if middle > PROMPT_CHARS and len(text) - middle > 2 * SUFFIX_CHARS:
            found.append((text[middle - PROMPT_CHARS : middle], text[middle + 80 : middle + 80 + SUFFIX_CHARS]))
        if len(found) == number:
            break
    return found


class Split(Stage):
    """A few files of the standard library, since a tokenizer's stage counts on a split."""

    name = "split"

    def run(self, inputs: Inputs, out: Output) -> dict[str, Any]:
        """Write them."""
        del inputs
        for part in ("train", "valid", "test"):
            rows = [
                CodeFile("stdlib", f"{part}{number}.py", one + other) for number, (one, other) in enumerate(holes(4))
            ]
            write_rows(out.path(f"{part}/00000.parquet"), rows)
        return {}


def store_of(folder: Path, model: str) -> Store:
    """A store with the base model and its tokenizer."""
    store = Store(folder / ".buril")
    stages = [
        Split(Split.Settings()),
        Base(Base.Settings.model_validate({"base": model})),
        Tokenizer(Tokenizer.Settings.model_validate({})),
    ]
    plan.run(stages, store, name="served")
    return store


# --- ours


@contextmanager
def server(store: Store, engine: str, threads: int) -> Iterator[tuple[str, int]]:
    """`buril serve` with the model; its URL and the worker's process."""
    settings = {"engine": {engine: {"threads": threads} if engine != "transformers" else {}}, "guards": [], "queue": 64}
    config = store.root.parent / "serve.yaml"
    config.write_text(json.dumps({"name": "served", "serve": settings}))
    log = store.root.parent / "serve.log"
    verb = [sys.executable, "-m", "buril", "serve", "base", "--port", "0", "--no-supervise"]
    command = [*verb, "-c", str(config), "--store", str(store.root)]
    with log.open("w") as out:
        process = subprocess.Popen(command, stderr=out, stdout=out)
    try:
        lines: list[dict[str, Any]] = []
        while not any(line["event"] == "ready" for line in lines):
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
            lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        told = next(line for line in lines if line["event"] == "listening")
        yield f"http://{told['host']}:{told['port']}", process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


async def ask(client: httpx.AsyncClient, hole: tuple[str, str], tokens: int) -> tuple[float, float, int]:
    """One streamed answer: seconds to its first text and to its end, and its tokens."""
    body = {"prompt": hole[0], "suffix": hole[1], "max_tokens": tokens, "stream": True,
            "stream_options": {"include_usage": True}}  # fmt: skip
    began, first, number = time.perf_counter(), None, 0
    async with client.stream("POST", "/v1/completions", json=body) as response:
        assert response.status_code == 200, await response.aread()
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line[6:])
            if first is None and event["choices"] and event["choices"][0]["text"]:
                first = time.perf_counter() - began
            number = event.get("usage", {}).get("completion_tokens", number)
    whole = time.perf_counter() - began
    return first or whole, whole, number


async def load(url: str, places: list[tuple[str, str]], tokens: int) -> tuple[list[tuple[float, float, int]], float]:
    """As many clients as places, at once; what each saw, and tokens a second of all."""
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        began = time.perf_counter()
        found = await asyncio.gather(*(ask(client, place, tokens) for place in places))
    return list(found), sum(number for _first, _whole, number in found) / (time.perf_counter() - began)


def through_http(url: str, size: Size, rounds: list[list[tuple[str, str]]]) -> dict[int, float]:
    """Tokens a second by the number of clients, and the latencies of one, printed."""
    rates: dict[int, list[float]] = {}
    singles: list[tuple[float, float, int]] = []
    for places in rounds:
        begin = 0
        for number in size.clients:
            found, rate = asyncio.run(load(url, places[begin : begin + number], size.tokens))
            rates.setdefault(number, []).append(rate)
            singles += found if number == 1 else []
            begin += number  # the next ones have not been asked yet
    firsts = sorted(first for first, _whole, _number in singles)
    print(f"one client: first text {1000 * statistics.median(firsts):.0f} ms (median of {len(firsts)}), "
          f"at most {1000 * firsts[-1]:.0f} ms")  # fmt: skip
    return {number: statistics.median(values) for number, values in rates.items()}


# --- peers


def alone(generator: Any, size: Size, rounds: list[list[tuple[str, str]]]) -> dict[int, float]:
    """The same requests to the engine's session, without HTTP."""
    rates: dict[int, list[float]] = {}
    for places in rounds:
        begin = 0
        for number in size.clients:
            session = generator.session()
            began = time.perf_counter()
            rows = [session.rows(Request(*hole, max_tokens=size.tokens))[0] for hole in places[begin : begin + number]]
            session.add(rows)
            while len(session):
                session.step()
            seconds = time.perf_counter() - began
            rates.setdefault(number, []).append(sum(len(row.ids) for row in rows) / seconds)
            begin += number
    return {number: statistics.median(values) for number, values in rates.items()}


def plainly(store: Store, size: Size, places: list[tuple[str, str]]) -> float:
    """`transformers.generate`, a request after the other; tokens a second."""
    import torch
    from transformers import AutoModelForCausalLM

    from buril.generators._encoder import Encoder

    links = next(iter(store.refs().values()))
    base, tokenizer = (store.linked(links[name]) for name in ("base", "tokenizer"))
    assert base and tokenizer
    model = AutoModelForCausalLM.from_pretrained(base.path("model"), dtype=torch.bfloat16).eval()
    encoder = Encoder(tokenizer.folder)
    number, began = 0, time.perf_counter()
    for prefix, suffix in places:
        # as many tokens as the hole has; a base without sentinels knows none
        given = torch.tensor([encoder.encode(prefix + suffix)])
        with torch.inference_mode():
            out = model.generate(
                given, max_new_tokens=size.tokens, do_sample=False, attention_mask=torch.ones_like(given)
            )
        number += out.shape[1] - given.shape[1]
    return number / (time.perf_counter() - began)


@contextmanager
def llama_server(gguf: Path, threads: int) -> Iterator[str | None]:
    """llama.cpp's server of the wheel `xllamacpp`; None where it can't be started."""
    try:
        import xllamacpp
    except ImportError:
        yield None
        return
    told = xllamacpp.CommonParams()
    told.model.path, told.n_parallel, told.n_ctx = str(gguf), 16, 16 * 1024
    told.cpuparams.n_threads = told.cpuparams_batch.n_threads = threads
    running = xllamacpp.Server(told)
    yield str(running.listening_address)


def memory_mb(pid: int) -> float:
    """Resident memory of a process at its highest."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    """Serve, ask, compare."""
    read = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    read.add_argument("--size", choices=SIZES, default="small")
    read.add_argument("--model", default="smollm2-135m")
    read.add_argument("--engine", default="openvino")
    read.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    read.add_argument("--gguf", type=Path)
    read.add_argument("--rounds", type=int, help="instead of the size's")
    told = read.parse_args()
    size = replace(SIZES[told.size], **({"rounds": told.rounds} if told.rounds else {}))
    os.environ["OMP_NUM_THREADS"] = str(told.threads)
    each = sum(size.clients)
    places = holes(each * size.rounds)
    rounds = [places[number * each : (number + 1) * each] for number in range(size.rounds)]
    with tempfile.TemporaryDirectory(prefix="buril-serve-") as folder:
        store = store_of(Path(folder), told.model)
        with server(store, told.engine, told.threads) as (url, pid):
            ours = through_http(url, size, rounds)
            print(f"memory of the server {memory_mb(pid):.0f} MB")
        found = plugin("generator", told.engine)
        generator = found(found.Settings(**({"threads": told.threads} if told.engine != "transformers" else {})))
        links = next(iter(store.refs().values()))
        base, tokenizer = (store.linked(links[name]) for name in ("base", "tokenizer"))
        assert base and tokenizer
        generator.open(base.folder, tokenizer.folder)
        engine = alone(generator, size, rounds)
        del generator
        plain = plainly(store, size, rounds[0][: max(2, size.clients[-1] // 2)])
    llama: dict[int, float] = {}
    if told.gguf:
        with llama_server(told.gguf, told.threads) as url_or_none:
            if url_or_none:
                llama = through_http(url_or_none, size, rounds)
    print("\ntokens a second by clients")
    print(f"  {'clients':>8} {'served':>8} {'engine':>8} {'llama.cpp':>10}   transformers, one by one: {plain:.1f}")
    for number in size.clients:
        other = f"{llama[number]:10.1f}" if llama else "–".rjust(10)
        print(f"  {number:8d} {ours[number]:8.1f} {engine[number]:8.1f} {other}")
    most = size.clients[-1]
    cost = 1 - ours[most] / engine[most]
    print(json.dumps([
        {"name": f"serve: tokens a second of {most} clients", "ours": round(ours[most], 1), "peer": round(plain, 1),
         "peer_name": "transformers.generate, one by one", "unit": "tokens/s", "ratio": round(ours[most] / plain, 2),
         "target": 3.0, "met": ours[most] >= 3 * plain, "machine": machine()},
        {"name": "serve: share that HTTP, records and counts cost", "ours": round(ours[most], 1),
         "peer": round(engine[most], 1), "peer_name": "the engine alone", "unit": "tokens/s", "ratio": round(cost, 3),
         "target": 0.05, "met": cost <= 0.05, "machine": machine()},
    ]))  # fmt: skip


if __name__ == "__main__":
    start_frugally()
    main()
