"""Keystrokes: what a server does for somebody who types, key by key, in real files of a real repository.

    python benchmarks/keystrokes.py [--size small|full] [--model NAME] [--engine NAME] [--threads N] [--repo FOLDER]

The code of functions of the repository is typed again, a key at a time: what stood before it is the prefix, what stood
after it the suffix. Measured are

- `prefix cache`: how many tokens of a prompt an engine reads anew, which it has not read for the keys before as blocks
  of 16: with a window filled to its last token and pieces pasted above the prefix (the peer), and with what buril does:
  whole lines, a beginning that moves in steps, and a cursor for context that moves every few lines;
- `answered`: the share of the keys that are answered from what was written before, how long an answer takes at the
  median and the 95th percentile, with it and without (the same requests, which are told apart by a field that nobody
  reads), and in how many cases both texts are the same;
- `context`: what looking into the repository and the guards over what was found take, and how much later the first
  token is there, by the longer prompt too;
- `deterministic`: tokens a second of requests at once as usual, and each computed by itself.

Each key waits for its answer: so the shares do not hang on how fast the machine is.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import httpx
from all import machine

from buril.code.language import detect
from buril.code.parse import functions, parse
from buril.core.allocator import start_frugally
from buril.core.plugins import plugin
from buril.generators._generator import Request
from buril.serve.completing import Around, Index, Snippet, Tokens, budget, context, prompt
from buril.serve.completing._files import paths_of, read
from buril.serve.completing.context import STEADY_LINES, steady
from buril.serve.guards import Piece, guarded
from buril.serve.settings import ServeSettings
from serve import store_of

BLOCK = 16
"""Tokens of a block of the engine's cache."""
WINDOW = 1024
MAX_TOKENS = 20
CONTEXT_TOKENS = 256


@dataclass(frozen=True)
class Size:
    """Functions that are typed, keys of each through the server and without it, and requests at once."""

    places: int
    keys: int
    long_keys: int
    crowd: int


SIZES = {"small": Size(2, 16, 160, 4), "full": Size(12, 80, 400, 16)}


@dataclass(frozen=True)
class Typed:
    """A function that is typed: its file, what stands before and after, and its text."""

    path: str
    before: str
    text: str
    after: str

    def key(self, number: int) -> tuple[str, str]:
        """What stands around the cursor after so many keys."""
        return self.before + self.text[:number], self.after


def places(folder: Path, number: int, keys: int, *, deep: bool) -> list[Typed]:
    """Bodies of functions that have `keys` characters; `deep` in their files, where a window is too small for all."""
    found, rng = [], random.Random(5)
    paths = [path for path in paths_of(folder) if path.endswith(".py") and "test" not in path]
    for path in rng.sample(paths, len(paths)):
        text = read(folder, path) or ""
        if not text.isascii() or not 2_000 < len(text) < 60_000:
            continue
        able = [
            item for item in functions(parse("python", text.encode()), "python")
            if item.end_byte - item.body_start_byte > keys + 20 and (item.body_start_byte > 9_000 or not deep)
        ]  # fmt: skip
        if able:
            item = rng.choice(able)
            begin, end = item.body_start_byte, item.end_byte
            found.append(Typed(path, text[:begin], text[begin:end], text[end:]))
        if len(found) == number:
            break
    return found


# --- what an engine need not read again


def cached_share(prompts: Sequence[tuple[int, ...]]) -> tuple[float, float]:
    """The share of tokens that stand, in whole blocks, at the beginning of a prompt before; and what is read a key."""
    known: set[tuple[int, ...]] = set()
    read_anew = total = 0
    for ids in prompts:
        blocks = [ids[: (number + 1) * BLOCK] for number in range((len(ids) - 1) // BLOCK)]
        shared = next((number for number, block in enumerate(blocks) if block not in known), len(blocks))
        known.update(blocks[shared:])
        read_anew += len(ids) - shared * BLOCK
        total += len(ids)
    return 1 - read_anew / total, read_anew / len(prompts)


def by_the_token(tokens: Tokens, around: Around, snippets: Sequence[Snippet], repo: str) -> tuple[int, ...]:
    """A window that is filled to its last token: pieces above the prefix, of which the far end is cut."""
    del repo
    fim, encode = tokens.fim, tokens.encoder.encode
    room = tokens.max_positions - MAX_TOKENS - 7
    suffix = encode(around.suffix)[: room // 4]
    above = "".join(f"{snippet.text.rstrip()}\n\n" for snippet in snippets)
    prefix = encode(above + around.prefix)[-(room - len(suffix)) :]
    return (int(fim["prefix"] or 0), *prefix, int(fim["suffix"] or 0), *suffix, int(fim["middle"] or 0))


def laid_out(tokens: Tokens, around: Around, snippets: Sequence[Snippet], repo: str) -> tuple[int, ...]:
    """As buril does."""
    return prompt(tokens, around, snippets, max_tokens=MAX_TOKENS, repo=repo).ids


def prefix_cache(tokens: Tokens, folder: Path, size: Size) -> dict[str, float]:
    """Tokens that are read anew a key, by how the window is cut and where context is looked for."""
    index, found = Index.of(folder), {}
    typed = places(folder, size.places, size.long_keys, deep=True)
    kept = budget.STEP_TOKENS
    ways = {"by the token": (by_the_token, kept, 0), "at lines": (laid_out, 1, 0),
            "at lines, in steps": (laid_out, kept, 0), "in steps, steady": (laid_out, kept, STEADY_LINES)}  # fmt: skip
    for name, (way, step, lines) in ways.items():
        budget.STEP_TOKENS = step
        told = []
        for place in typed:
            prompts = []
            for number in range(size.long_keys):
                around = Around(place.path, "python", *place.key(number))
                prompts.append(way(tokens, around, context(index, steady(around, lines)), folder.name))
            told.append(cached_share(prompts))
        share = statistics.mean(share for share, _anew in told)
        found[name] = statistics.mean(anew for _share, anew in told)
        print(
            f"  prompts cut {name}: {100 * share:.1f} % read already, {found[name]:.0f} tokens anew a key", flush=True
        )
    budget.STEP_TOKENS = kept
    return found


# --- through the server


@contextmanager
def served(root: Path, engine: str, threads: int, folder: Path) -> Iterator[str]:
    """`buril serve` that may read the repository; its URL."""
    told = {"engine": {engine: {"threads": threads}}, "repositories": {"typed": str(folder)},
            "context_tokens": CONTEXT_TOKENS}  # fmt: skip
    config, log = root / "serve.yaml", root / "serve.log"
    config.write_text(json.dumps({"name": "served", "serve": told}))
    command = [sys.executable, "-m", "buril", "serve", "base", "--port", "0", "--no-supervise", "-c", str(config)]
    with log.open("w") as out:
        process = subprocess.Popen([*command, "--store", str(root / ".buril")], stderr=out, stdout=out)
    try:
        lines: list[dict[str, Any]] = []
        while not {"ready", "repository"} <= {line["event"] for line in lines}:
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
            lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        told_at = next(line for line in lines if line["event"] == "listening")
        print("  " + json.dumps(next(line for line in lines if line["event"] == "repository")))
        yield f"http://{told_at['host']}:{told_at['port']}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def asked(client: httpx.Client, place: Typed, number: int, **more: Any) -> tuple[dict[str, Any], float]:
    """The answer at a key, and its seconds."""
    before, after = place.key(number)
    body = {"prompt": before[-2_500:], "suffix": after[:800], "max_tokens": MAX_TOKENS, "language": "python", **more}
    began = time.perf_counter()
    answer = client.post("/v1/completions", json=body)
    seconds = time.perf_counter() - began
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found, seconds


def first_token(client: httpx.Client, place: Typed, number: int, **more: Any) -> float:
    """Seconds until the first of a text."""
    before, after = place.key(number)
    body = {"prompt": before[-2_500:], "suffix": after[:800], "max_tokens": 1, "language": "python", "finish": False}
    began = time.perf_counter()
    client.post("/v1/completions", json={**body, **more}).raise_for_status()
    return time.perf_counter() - began


def quantiles(values: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile, in milliseconds."""
    ordered = sorted(values)
    return 1000 * statistics.median(ordered), 1000 * ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def answered(client: httpx.Client, typed: Sequence[Typed], size: Size) -> dict[str, Any]:
    """With what was written before and without, the one after the other at each key."""
    took: dict[str, list[float]] = {"with": [], "without": []}
    how: list[str] = []
    same: list[bool] = []
    for place in typed:
        for number in range(size.keys):
            plain, seconds = asked(client, place, number, metadata={"key": f"{place.path} {number}"})
            took["without"].append(seconds)
            found, seconds = asked(client, place, number)
            took["with"].append(seconds)
            how.append(found["buril"]["cache"])
            if how[-1] != "miss":
                same.append(found["choices"][0]["text"] == plain["choices"][0]["text"])
    share = 1 - how.count("miss") / len(how)
    alike = sum(same) / len(same) if same else 1.0
    counts = {name: how.count(name) for name in sorted(set(how))}
    print(f"  {len(how)} keys: {100 * share:.0f} % answered from what was written before ({counts}); "
          f"{100 * alike:.0f} % of these as written anew")  # fmt: skip
    for name, values in took.items():
        print(
            "  {} it: {:.0f} ms at the median, {:.0f} ms at the 95th percentile".format(name, *quantiles(values)),
            flush=True,
        )
    return {"share": share, "alike": alike, **{name: quantiles(values) for name, values in took.items()}}


def with_context(client: httpx.Client, typed: Sequence[Typed], size: Size) -> dict[str, tuple[float, float]]:
    """Seconds to the first token at each third key, with the repository and without; what was known is not taken."""
    took: dict[str, list[float]] = {"with": [], "without": []}
    for place in typed:
        for number in range(0, size.keys, 3):
            for name, more in (("without", {}), ("with", {"file": place.path})):
                nonce = {"metadata": {"key": f"{name} {number}"}}
                plain = {"file": "/elsewhere/it.py"} if name == "without" else {}  # else it is known by its lines
                took[name].append(first_token(client, place, number, **more, **plain, **nonce))
    for name, values in took.items():
        print("  {} context: first token after {:.0f} ms, {:.0f} ms at the 95th".format(name, *quantiles(values)))
    return {name: quantiles(values) for name, values in took.items()}


def looking(typed: Sequence[Typed], folder: Path, size: Size) -> tuple[float, float]:
    """Milliseconds for looking into the repository and for the guards, at lines that were not looked at before."""
    index, guards = Index.of(folder), [ref.make() for ref in ServeSettings().guards]
    took = []
    for place in typed:
        for number in range(0, size.keys, 3):
            around = Around(place.path, detect(place.path, place.before), *place.key(number))
            began = time.process_time()
            for snippet in context(index, steady(around)):
                guarded([Piece(snippet.text, "third_party", snippet.language, snippet.path)], guards)
            took.append(time.process_time() - began)
    found = quantiles(took)
    print("  looking and guards: {:.0f} ms of a core, {:.0f} ms at the 95th; once for a few lines".format(*found))
    return found


# --- the same again


def deterministic(generator: Any, typed: Sequence[Typed], size: Size) -> tuple[float, float]:
    """Tokens a second of requests at once, together and each by itself, and how many texts differ."""
    rates, texts = [], []
    for alone in (False, True):
        session, began = generator.session(), time.perf_counter()
        rows = [
            session.rows(Request(before[-1_500:], after[:400], max_tokens=MAX_TOKENS, alone=alone))[0]
            for before, after in (typed[number % len(typed)].key(number) for number in range(size.crowd))
        ]
        session.add(rows)
        while len(session):
            session.step()
        rates.append(sum(len(row.ids) for row in rows) / (time.perf_counter() - began))
        texts.append([(row.ids, row.logprob) for row in rows])
    ids = sum(one[0] != other[0] for one, other in zip(*texts, strict=True))
    bits = sum(one[1] != other[1] for one, other in zip(*texts, strict=True))
    print(f"  {size.crowd} at once: {rates[0]:.1f} tokens/s together, {rates[1]:.1f} each by itself; "
          f"{ids} texts and {bits} log-probabilities differ")  # fmt: skip
    return rates[0], rates[1]


def rows(
    cache: dict[str, float], keys: dict[str, Any], first: dict[str, tuple[float, float]], rates: tuple[float, float]
) -> list[dict[str, Any]]:
    """A line for each."""
    before, after = cache["by the token"], cache["in steps, steady"]
    more = first["with"][0] - first["without"][0]
    found = [
        ("tokens of prompts read anew a key", after, before, "filled to the token, pieces above", "tokens", 1.0),
        ("median answer of a key", keys["with"][0], keys["without"][0], "nothing remembered", "ms", 1.0),
        ("95th percentile of a key's answers", keys["with"][1], keys["without"][1], "nothing remembered", "ms", 1.1),
        ("median first token with context", first["with"][0], first["without"][0], "without context", "ms", 2.0),
        ("tokens a second, deterministic", rates[1], rates[0], "together", "tokens/s", 0.2),
    ]
    told = []
    for name, ours, peer, peer_name, unit, target in found:
        ratio = ours / peer
        told.append({
            "name": f"keystrokes: {name}", "ours": round(ours, 3), "peer": round(peer, 3), "peer_name": peer_name,
            "unit": unit, "ratio": round(ratio, 3), "target": target,
            "met": ratio >= target if unit == "tokens/s" else ratio <= target, "machine": machine(),
        })  # fmt: skip
    told[1] |= {"answered": round(keys["share"], 3), "alike": round(keys["alike"], 3)}
    told[3] |= {"added_ms": round(more)}
    return told


def main() -> None:
    """Type, ask, compare; one JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repo", type=Path, default=Path(sysconfig.get_path("purelib")) / "rich")
    told = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(told.threads)
    size, folder = SIZES[told.size], told.repo.resolve()
    typed = places(folder, size.places, size.keys, deep=False)
    print(f"{len(typed)} functions of {folder.name}, {size.keys} keys each", flush=True)
    with tempfile.TemporaryDirectory(prefix="buril-keys-") as name:
        store = store_of(Path(name), told.model)
        links = next(iter(store.refs().values()))
        base, tokenizer = (store.linked(links[stage]) for stage in ("base", "tokenizer"))
        assert base and tokenizer
        generator = plugin("generator", told.engine)
        opened = generator(generator.Settings(threads=told.threads))
        opened.open(base.folder, tokenizer.folder)
        cache = prefix_cache(Tokens(opened.loaded.encoder, opened.loaded.fim, WINDOW), folder, size)
        looking(typed, folder, size)
        rates = deterministic(opened, typed, size)
        del opened  # the server loads the model once more
        root = Path(name)
        with served(root, told.engine, told.threads, folder) as url, httpx.Client(base_url=url, timeout=600) as client:
            keys = answered(client, typed, size)
            first = with_context(client, typed, size)
    print(json.dumps(rows(cache, keys, first, rates)))


if __name__ == "__main__":
    start_frugally()
    main()
