"""Serving: how soon and how fast a server answers, beside its engine alone, plain transformers and llama.cpp's server.

    python benchmarks/serve.py [--size small|full] [--model NAME_OR_FOLDER] [--engine NAME] [--threads N] [--gguf FILE]
        [--rounds N]

Every side runs in a process of its own: `buril serve` and, with `--gguf`, llama.cpp's server, asked over loopback; the
same requests to the engine's session without HTTP; and `transformers.generate`, one request after the other, as a
script without a server would, in the precision that the CPU has instructions for. Prompts are holes of about 500 tokens
in real files of the standard library, each asked once of each side; answers are greedy and of a fixed number of tokens.

First one client, one hole after the other: the time to the first text (median and 95th percentile) and tokens a second
after it, also as a share of the limit that memory sets, where each token reads all weights once. The limit is what
this machine reads at its best when it multiplies a matrix of 1 GiB with a vector. llama.cpp's file says its own bytes.
Then several clients at once: tokens a second of all. Memory is the highest of the process, pages of files included.

Lines: tokens a second of many clients against transformers (target 3 ×), and what HTTP, records and counts cost against
the engine alone (target: 5 % at most).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
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
from buril.generators._load import cpu_has_bf16
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base

PROMPT_CHARS, SUFFIX_CHARS = 1500, 400
"""Of a hole: together about 500 tokens of code."""


@dataclass(frozen=True)
class Size:
    """Tokens of an answer, holes asked by one client alone, clients at once, and rounds of these."""

    tokens: int
    singles: int
    clients: tuple[int, ...]
    rounds: int

    @property
    def needed(self) -> int:
        """Holes in all: none is asked twice of a side."""
        return 1 + self.singles + self.rounds * sum(self.clients)


SIZES = {"small": Size(24, 4, (1, 4), 2), "full": Size(48, 20, (1, 4, 8, 16), 3)}
Hole = tuple[str, str]
Answered = tuple[float, float, int]
"""Seconds to the first text, seconds to the end, and tokens."""


@dataclass
class Side:
    """What was seen of one way to be answered."""

    singles: list[Answered] = field(default_factory=list)
    rates: dict[int, list[float]] = field(default_factory=dict)
    memory_mb: float = 0.0

    def rate(self, clients: int) -> float:
        """Tokens a second of so many clients: the median of the rounds."""
        return statistics.median(self.rates[clients])

    def decoding(self) -> float:
        """Tokens a second of one client after the first text: the median of its holes."""
        return statistics.median((number - 1) / (whole - first) for first, whole, number in self.singles if number > 1)

    def first_ms(self, share: float) -> float:
        """Time to the first text that this share of the holes kept."""
        seconds = sorted(first for first, _whole, _number in self.singles)
        return 1000 * seconds[min(len(seconds) - 1, int(share * len(seconds)))]


def holes(number: int) -> list[Hole]:
    """Prefixes and suffixes in files of the standard library, no two of the same file."""
    found: list[Hole] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("**/*.py")):
        if "test" in path.parts or "site-packages" in path.parts:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        middle = text.find("\n", len(text) // 2) + 1
        if middle > PROMPT_CHARS and len(text) - middle > 2 * SUFFIX_CHARS:
            found.append((text[middle - PROMPT_CHARS : middle], text[middle + 80 : middle + 80 + SUFFIX_CHARS]))
        if len(found) == number:
            break
    assert len(found) == number, f"the standard library has {len(found)} holes, {number} are needed"
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


async def ask(client: httpx.AsyncClient, hole: Hole, tokens: int) -> Answered:
    """One streamed answer."""
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
            number = (event.get("usage") or {}).get("completion_tokens", number)
    whole = time.perf_counter() - began
    return first or whole, whole, number


async def load(url: str, places: list[Hole], tokens: int) -> list[Answered]:
    """As many clients as places, at once."""
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        return list(await asyncio.gather(*(ask(client, place, tokens) for place in places)))


def measure(answers: Callable[[list[Hole]], list[Answered]], size: Size, places: list[Hole]) -> Side:
    """Ask one hole after the other, then several at once."""
    side, begin = Side(), 1 + size.singles
    answers(places[:1])  # what a first request prepares is no client's wait
    side.singles = [answers([hole])[0] for hole in places[1:begin]]
    for _round in range(size.rounds):
        for number in size.clients:
            began = time.perf_counter()
            found = answers(places[begin : begin + number])
            seconds = time.perf_counter() - began
            side.rates.setdefault(number, []).append(sum(tokens for _first, _whole, tokens in found) / seconds)
            begin += number
    return side


def through_http(url: str, size: Size, places: list[Hole]) -> Side:
    """What clients of a server see."""
    return measure(lambda some: asyncio.run(load(url, some, size.tokens)), size, places)


# --- the same without a server


def opened(folder: Path) -> tuple[Path, Path]:
    """The folders of the model and of its tokenizer."""
    store = Store(folder / ".buril")
    links = next(iter(store.refs().values()))
    base, tokenizer = (store.linked(links[name]) for name in ("base", "tokenizer"))
    assert base and tokenizer
    return base.folder, tokenizer.folder


def alone(engine: str, folder: Path, threads: int, size: Size, places: list[Hole]) -> Side:
    """The engine's session."""
    found = plugin("generator", engine)
    generator: Any = found(found.Settings(**({"threads": threads} if engine != "transformers" else {})))
    generator.open(*opened(folder))

    def answers(some: list[Hole]) -> list[Answered]:
        session = generator.session()
        began = time.perf_counter()
        rows = [session.rows(Request(*hole, max_tokens=size.tokens))[0] for hole in some]
        session.add(rows)
        firsts: dict[int, float] = {}
        while len(session):
            session.step()
            for place, row in enumerate(rows):
                if row.ids:
                    firsts.setdefault(place, time.perf_counter() - began)
        whole = time.perf_counter() - began
        return [(firsts.get(place, whole), whole, len(row.ids)) for place, row in enumerate(rows)]

    return measure(answers, size, places)


def plainly(folder: Path, size: Size, places: list[Hole]) -> Side:
    """`transformers.generate`, a request after the other: its rate does not grow with clients, and stands under 1."""
    import torch
    from transformers import AutoModelForCausalLM

    from buril.generators._encoder import Encoder

    base, tokenizer = opened(folder)
    dtype = torch.bfloat16 if cpu_has_bf16() else torch.float32
    model = AutoModelForCausalLM.from_pretrained(base / "model", dtype=dtype).eval()
    encoder = Encoder(tokenizer)

    def generate(given: Any, tokens: int) -> int:
        mask = torch.ones_like(given)
        with torch.inference_mode():
            out = model.generate(given, max_new_tokens=tokens, do_sample=False, attention_mask=mask)
        return int(out.shape[1] - given.shape[1])

    def answers(some: list[Hole]) -> list[Answered]:
        found = []
        for prefix, suffix in some:
            # as many tokens as the hole has; a base without sentinels knows none
            given = torch.tensor([encoder.encode(prefix + suffix)])
            began = time.perf_counter()
            generate(given, 1)
            first, again = time.perf_counter() - began, time.perf_counter()
            number = generate(given, size.tokens)
            found.append((first, time.perf_counter() - again, number))
        return found

    answers(places[:1])
    side = Side(answers(places[1 : 1 + size.singles]))
    side.rates[1] = [number / whole for _first, whole, number in side.singles]
    return side


def llama(gguf: Path, threads: int, told: Connection) -> None:
    """llama.cpp's server of the wheel `xllamacpp`, until the other end closes."""
    import xllamacpp

    given = xllamacpp.CommonParams()
    given.model.path, given.n_parallel, given.n_ctx = str(gguf), 16, 16 * 1024
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = threads
    running = xllamacpp.Server(given)
    told.send(str(running.listening_address))
    told.recv()
    told.send(memory_mb())
    os._exit(0)  # its threads have no end of their own


def through_llama(gguf: Path, threads: int, size: Size, places: list[Hole]) -> Side:
    """What clients of llama.cpp's server see."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=llama, args=(gguf, threads, there), daemon=True)
    process.start()
    side = through_http(here.recv(), size, places)
    here.send(None)
    side.memory_mb = here.recv()
    process.join()
    return side


# --- processes, memory


SPAWN = multiprocessing.get_context("spawn")


def memory_mb(pid: int | str = "self") -> float:
    """Resident memory of a process at its highest."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def _apart(told: Connection, work: Callable[..., Side], given: tuple[Any, ...]) -> None:
    side = work(*given)
    side.memory_mb = memory_mb()
    told.send(side)


def apart(work: Callable[..., Side], *given: Any) -> Side:
    """Do it in a process of its own, whose memory is its own."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=_apart, args=(there, work, given), daemon=True)
    process.start()
    there.close()
    side: Side = here.recv()
    process.join()
    return side


def bandwidth(threads: int) -> float:
    """Bytes a second that a matrix of 1 GiB is read with, to be multiplied with a vector: the best of seven."""
    import torch

    torch.set_num_threads(threads)
    matrix, vector = torch.ones(2**14, 2**14), torch.ones(2**14)
    best = float("inf")
    for _time in range(7):
        began = time.perf_counter()
        torch.mv(matrix, vector)
        best = min(best, time.perf_counter() - began)
    return matrix.nbytes / best


def weights(folder: Path) -> int:
    """Numbers of the model that a token reads: all, or without the input's rows where the output has its own."""
    from safetensors import safe_open

    number = 0
    for path in (opened(folder)[0] / "model").glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            slices = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 no mapping
        tied = not any(name.endswith("lm_head.weight") for name in slices)
        for name, shape in slices.items():
            if tied or not name.endswith("embed_tokens.weight"):
                number += shape[0] * (shape[1] if len(shape) > 1 else 1)
    return number


def show(sides: dict[str, Side], size: Size, limits: dict[str, float]) -> None:
    """The tables."""
    print(f"\n{'one client':<34} {'first text p50':>15} {'p95':>9} {'then tokens/s':>14} {'of the limit':>13} "
          f"{'memory':>9}")  # fmt: skip
    for name, side in sides.items():
        share = f"{side.decoding() / limits[name]:.0%}"
        print(f"{name:<34} {side.first_ms(0.5):12.0f} ms {side.first_ms(0.95):6.0f} ms {side.decoding():14.1f} "
              f"{share:>13} {side.memory_mb:6.0f} MB")  # fmt: skip
    print(f"\n{'tokens/s of clients at once':<34} " + " ".join(f"{number:>8}" for number in size.clients))
    for name, side in sides.items():
        cells = (f"{side.rate(number):8.1f}" if number in side.rates else "–".rjust(8) for number in size.clients)
        print(f"{name:<34} " + " ".join(cells))


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
    places = holes(size.needed)
    with tempfile.TemporaryDirectory(prefix="buril-serve-") as name:
        folder = Path(name)
        store = store_of(folder, told.model)
        numbers, speeds = weights(folder), [bandwidth(told.threads)]
        sides: dict[str, Side] = {}
        with server(store, told.engine, told.threads) as (url, pid):
            sides["served"] = through_http(url, size, places)
            sides["served"].memory_mb = memory_mb(pid)
        speeds.append(bandwidth(told.threads))  # whoever shares the machine takes of it, now more, now less
        sides["the engine alone"] = apart(alone, told.engine, folder, told.threads, size, places)
        speeds.append(bandwidth(told.threads))
        sides["transformers, one by one"] = apart(plainly, folder, size, places)
        speeds.append(bandwidth(told.threads))
        speed = max(speeds)
        print(f"{numbers / 1e6:.0f} M numbers a token, read at {speed / 1e9:.1f} GB/s", flush=True)
        # engines keep weights as wide as they multiply, whatever the file's
        limits = dict.fromkeys(sides, speed / (numbers * (2 if cpu_has_bf16() else 4)))
        if told.gguf:
            sides["llama.cpp's server"] = through_llama(told.gguf, told.threads, size, places)
            limits["llama.cpp's server"] = speed / told.gguf.stat().st_size
    show(sides, size, limits)
    print(json.dumps(lines(sides, size)))


def lines(sides: dict[str, Side], size: Size) -> list[dict[str, Any]]:
    """The lines for the table of results."""
    most = size.clients[-1]
    ours, engine, plain = (sides[name] for name in ("served", "the engine alone", "transformers, one by one"))
    cost = 1 - ours.rate(most) / engine.rate(most)
    return [
        {"name": f"serve: tokens a second of {most} clients", "ours": round(ours.rate(most), 1),
         "peer": round(plain.rate(1), 1), "peer_name": "transformers.generate, one by one", "unit": "tokens/s",
         "ratio": round(ours.rate(most) / plain.rate(1), 2), "target": 3.0,
         "met": ours.rate(most) >= 3 * plain.rate(1), "machine": machine()},
        {"name": "serve: share that HTTP, records and counts cost", "ours": round(ours.rate(most), 1),
         "peer": round(engine.rate(most), 1), "peer_name": "the engine alone", "unit": "tokens/s",
         "ratio": round(cost, 3), "target": 0.05, "met": cost <= 0.05, "machine": machine()},
    ]  # fmt: skip


if __name__ == "__main__":
    start_frugally()
    main()
