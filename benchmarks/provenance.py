"""Provenance: how fast an index is built and asked, which copies it finds, and what it tells of code it has not read.

    python benchmarks/provenance.py [--size small|full]

The text is the installed Python packages, each a repository; of every four packages one is held out. The index is built
over 1 million lexical tokens (small) or 10 million (full). Copies are of functions of 60 to 200 tokens: as they are,
laid out anew by `ast.unparse`, with other comments, with other names, with their statements in another order, and
the first half alone before half of a held-out function. A copy is found when its own file, or one that holds the very
same function, is among what is told. False alarms are functions of the held-out packages for which something is told;
many of those are truly copied between packages, so the share is an upper bound.

The peer is what one would write first: a dict from every run of 20 tokens to its places, with the same tokens.
Times are CPU time of this thread; wall times of look-ups are printed beside, since machines may be shared.
"""

from __future__ import annotations

import argparse
import ast
import gc
import hashlib
import json
import random
import resource
import sysconfig
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _copies import comments, rename
from all import machine

from buril.code import lexical
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.evaluate.interval import wilson
from buril.serve.provenance import Match, ProvenanceIndex, Query
from buril.serve.provenance._near import nearest_rows
from buril.serve.provenance.segments import Row, write_segments
from buril.serve.provenance.stage import Index, summary_of

SIZES = {"small": 1_000_000, "full": 10_000_000}
"""Tokens."""
FUNCTIONS = 200
LOOKUPS = 600
MOST_BYTES = 200_000
RUN = 20
LEAST, MOST = 60, 200
SEED = 11
KINDS = ("exact", "reformatted", "comments", "renamed", "reordered", "half")
TARGETS = {"exact": 0.99, "reformatted": 0.95, "comments": 0.99, "renamed": 0.9, "reordered": 0.8, "half": 0.9}


class Function(NamedTuple):
    text: str
    row: str


def packages() -> tuple[list[Path], list[Path]]:
    """Files of the packages that are read, and of those that are held out, in a fixed random order."""
    root = Path(sysconfig.get_path("purelib"))
    read: list[Path] = []
    held: list[Path] = []
    for path in sorted(root.rglob("*.py")):
        package = path.relative_to(root).parts[0]
        chosen = held if hashlib.sha256(package.encode()).digest()[0] % 4 == 0 else read
        if 200 < path.stat().st_size <= MOST_BYTES:
            chosen.append(path)
    for paths in (read, held):
        random.Random(SEED).shuffle(paths)
    return read, held


def rows(paths: list[Path], most: int) -> Iterator[Row]:
    root = Path(sysconfig.get_path("purelib"))
    num_tokens, known = 0, set()
    for path in paths:
        text = path.read_text("utf-8", "replace")
        if text in known:
            continue
        known.add(text)
        num_tokens += len(lexical.lexemes([text.encode()], ["python"]).tokens)
        name = path.relative_to(root)
        yield Row(text, name.as_posix(), name.parts[0], "", name.as_posix(), "python", "MIT")
        if num_tokens >= most:
            return


def functions(texts: list[tuple[str, str]], number: int, draw: random.Random) -> list[Function]:
    found: list[Function] = []
    for name, text in draw.sample(texts, len(texts)):
        if len(found) == number:
            break
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        nodes = [node for node in tree.body if isinstance(node, ast.FunctionDef) and len(node.body) > 2]
        good = []
        for node in nodes:
            lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
            body = "\n".join(lines) + "\n"
            if LEAST <= len(lexical.spelt(body.encode(), "python").starts) <= MOST:
                good.append(body)
        if good:
            found.append(Function(draw.choice(good), name))
    return found


def reordered(text: str, draw: random.Random) -> str:
    """The statements of a function's body in another order, its docstring and last statement where they were."""
    (node,) = ast.parse(text).body
    assert isinstance(node, ast.FunctionDef)
    lines, starts = text.splitlines(), [item.lineno - 1 for item in node.body]
    blocks = [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]
    first = 1 if ast.get_docstring(node) else 0
    middle = blocks[first:-1]
    draw.shuffle(middle)
    return "\n".join(
        [*lines[: starts[0]], *(line for block in [*blocks[:first], *middle, blocks[-1]] for line in block)]
    )


def copied(kind: str, text: str, other: str, draw: random.Random) -> str:
    if kind == "reformatted":
        return ast.unparse(ast.parse(text))
    if kind == "comments":
        return comments(text, "python", draw)
    if kind == "renamed":
        return rename(text, "python", draw)
    if kind == "reordered":
        return reordered(text, draw)
    if kind == "half":
        lines, more = text.splitlines(), other.splitlines()
        return "\n".join(lines[: (len(lines) + 1) // 2] + more[len(more) // 2 :])
    return text


def line(name: str, ours: float, target: float, unit: str, peer: tuple[str, float]) -> dict[str, Any]:
    lower = unit in ("ms", "bytes", "share of held-out functions", "s")
    ratio = peer[1] / ours if lower and ours else ours / peer[1] if peer[1] else 0.0
    return {
        "name": f"provenance: {name}", "ours": round(ours, 4), "peer": round(peer[1], 4), "peer_name": peer[0],
        "unit": unit, "ratio": round(ratio, 3), "target": target,
        "met": ours <= target if lower else ours >= target, "machine": machine(),
    }  # fmt: skip


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.thread_time()
    found = work()
    return found, time.thread_time() - started


def build(folder: Path, read: list[Row]) -> tuple[ProvenanceIndex, float]:
    out = Output(folder, EventLog(folder.parent / "events.jsonl"), "index")
    most = Index.Settings().segment_tokens
    num, seconds = timed(lambda: write_segments(read, out, most_tokens=most))
    out.text("index.json", summary_of(num, len(read), sum(len(row.content) for row in read), 0))
    return ProvenanceIndex.open(folder), seconds


def peer_of(index: ProvenanceIndex) -> tuple[dict[tuple[int, ...], list[int]], float, float]:
    """The dict of every run of tokens; seconds and bytes a token."""
    tokens = [token for part in index.parts for token in part.tokens.tolist()]
    gc.collect()
    before = resident()
    gc.disable()  # as one who knows Python would, for so many objects

    def fill() -> dict[tuple[int, ...], list[int]]:
        found: dict[tuple[int, ...], list[int]] = {}
        for at in range(len(tokens) - RUN + 1):
            found.setdefault(tuple(tokens[at : at + RUN]), []).append(at)
        return found

    found, seconds = timed(fill)
    gc.enable()
    return found, seconds, (resident() - before) / len(tokens)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peer_lookup(grams: dict[tuple[int, ...], list[int]], text: str) -> list[list[int]]:
    tokens = lexical.spelt(text.encode(), "python").lexemes.tokens[:-1].tolist()
    return [found for at in range(len(tokens) - RUN + 1) if (found := grams.get(tuple(tokens[at : at + RUN])))]


def peer_rows(index: ProvenanceIndex, grams: dict[tuple[int, ...], list[int]], text: str) -> set[str]:
    (part,) = index.parts
    return {part.place(part.row_at(at), at, 1)["row_id"] for places in peer_lookup(grams, text) for at in places}


def times(texts: list[str], look: Callable[[str], Any]) -> dict[str, float]:
    look(texts[0])
    cpu, wall = [], []
    for text in texts:
        started, began = time.thread_time(), time.perf_counter()
        look(text)
        cpu.append((time.thread_time() - started) * 1e3)
        wall.append((time.perf_counter() - began) * 1e3)
    return {
        "p50": float(np.percentile(cpu, 50)), "p95": float(np.percentile(cpu, 95)),
        "wall p50": float(np.percentile(wall, 50)), "wall p95": float(np.percentile(wall, 95)),
    }  # fmt: skip


def telling(found: tuple[Match, ...]) -> list[Match]:
    return [match for match in found if not match.common]


def recall(
    index: ProvenanceIndex, mine: list[Function], others: list[Function], texts: dict[str, str]
) -> dict[str, int]:
    """Copies of each kind that are found."""
    query, found = (
        Query(max_files=1000),
        dict.fromkeys([*KINDS, *(f"{kind}: near" for kind in ("renamed", "reordered"))], 0),
    )
    for number, (function, other) in enumerate(zip(mine, others, strict=True)):
        same = {name for name, text in texts.items() if function.text in text}
        for kind in KINDS:
            text = copied(kind, function.text, other.text, random.Random(number))
            told = index.look_up(text, "python", query=query).matches
            found[kind] += any(match.row_id in same for match in telling(told))
            if f"{kind}: near" in found:  # how far fingerprints alone go, were there no verbatim run in the file
                alone = nearest(index, text)
                found[f"{kind}: near"] += bool(alone & same)
    return found


def nearest(index: ProvenanceIndex, text: str) -> set[str]:
    """The rows that are near a text, verbatim runs aside."""
    said = lexical.spelt(text.encode(), "python").lexemes
    found = nearest_rows(index.parts, said.prints, said.places, Query().near_score)
    return {near.part.place(near.row, near.place, near.span)["row_id"] for near in found}


def alarms(index: ProvenanceIndex, held: list[Function]) -> dict[str, int]:
    """Held-out functions for which something is told, by what it is."""
    found = dict.fromkeys(("any of 20", "telling of 20", "telling of 30", "telling of 60", "near"), 0)
    for function in held:
        told = index.look_up(function.text, "python").matches
        verbatim = [match for match in told if match.kind == "verbatim"]
        found["any of 20"] += bool(verbatim)
        for least in (20, 30, 60):
            found[f"telling of {least}"] += any(
                match.tokens > least or least == 20 for match in telling(tuple(verbatim))
            )
        found["near"] += any(match.kind == "near" for match in told)
    return found


def told(name: str, count: int, number: int) -> float:
    bounds = wilson(count, number)
    print(f"  {name:<16} {count}/{number}  {count / number:.3f}  [{bounds.low:.3f}, {bounds.high:.3f}]")
    return count / number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="small")
    size = parser.parse_args().size
    draw = random.Random(SEED)
    read_paths, held_paths = packages()
    lexical.spelt(b"x", "python")  # compiles
    read = list(rows(read_paths, SIZES[size]))
    held = [(row.row_id, row.content) for row in rows(held_paths, SIZES[size] // 2)]
    texts = {row.row_id: row.content for row in read}
    num_bytes = sum(len(text.encode()) for text in texts.values())
    with tempfile.TemporaryDirectory() as name:
        index, seconds = build(Path(name) / "index", read)
        stored = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file())
        num_tokens = sum(len(part.tokens) for part in index.parts)
        _again, opened = timed(lambda: ProvenanceIndex.open(Path(name) / "index"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"{len(read)} files, {num_bytes / 1e6:.1f} MB, {num_tokens / 1e6:.2f} M tokens; opened in {opened:.3f} s")
        print(f"built in {seconds:.1f} s of CPU time ({num_bytes / seconds / 1e6:.2f} MB/s), peak {peak:.0f} MB; "
              f"{stored / num_tokens:.2f} bytes a token")  # fmt: skip
        mine = functions(list(texts.items()), FUNCTIONS, draw)
        others = functions(held, FUNCTIONS, draw)
        number = min(len(mine), len(others))
        mine, others = mine[:number], others[:number]
        asked = [function.text for function in [*mine, *others]][:LOOKUPS]
        speed = times(asked, lambda text: index.look_up(text, "python"))
        print("look-up, ms: " + ", ".join(f"{key} {value:.2f}" for key, value in speed.items()))
        found = recall(index, mine, others, texts)
        print(f"copies found, of {number} functions (Wilson 95 %):")
        shares = {kind: told(kind, count, number) for kind, count in found.items()}
        heads = ["\n".join(text.splitlines()[:40]) for _name, text in held[:FUNCTIONS]]
        print("told of the first 40 lines of held-out files:")
        for kind, count in alarms(index, [Function(head, "") for head in heads]).items():
            told(kind, count, len(heads))
        print("told of held-out functions:")
        wrong = {kind: told(kind, count, number) for kind, count in alarms(index, others).items()}
        lines = report(size, index, (speed, shares, wrong), (num_tokens, seconds, stored, opened), (mine, others))
    print(json.dumps(lines))


def report(
    size: str,
    index: ProvenanceIndex,
    measured: tuple[dict[str, float], ...],
    built: tuple[float, ...],
    pairs: tuple[list[Function], list[Function]],
) -> list[dict[str, Any]]:
    speed, shares, wrong = measured
    num_tokens, seconds, stored, opened = built
    label, goal = f"{SIZES[size] // 1_000_000} M tokens", "target"
    lines = [
        line(f"look-up p95, {label}", speed["p95"], 5.0, "ms", (goal, 5.0)),
        line(f"opened, {label}", opened, 1.0, "s", (goal, 1.0)),
        *(line(f"found: {kind}", shares[kind], least, "share", (goal, least)) for kind, least in TARGETS.items()),
        line("told of other packages, over 60 tokens", wrong["telling of 60"], 0.05, "share of held-out functions",
             (goal, 0.05)),
    ]  # fmt: skip
    if size == "small":  # at ten million the dict takes gigabytes
        grams, peer_s, peer_bytes = peer_of(index)
        sample = [one.text for one in pairs[0]]
        peer_ms = times(sample, lambda text: peer_lookup(grams, text))["p50"]
        ours_ms = times(sample, lambda text: index.look_up(text, "python"))["p50"]
        print(
            f"dict: built in {peer_s:.1f} s, {peer_bytes:.0f} bytes a token, p50 {peer_ms:.2f} ms; ours {ours_ms:.2f}"
        )
        peer = "dict of runs of 20 tokens"
        for kind in KINDS:
            held_by = [peer_rows(index, grams, copied(kind, one.text, other.text, random.Random(at)))
                       for at, (one, other) in enumerate(zip(*pairs, strict=True))]  # fmt: skip
            told(
                f"dict: {kind}", sum(one.row in rows for one, rows in zip(pairs[0], held_by, strict=True)), len(held_by)
            )
        lines += [
            line("built", num_tokens / seconds / 1e6, 0.5, "M tokens/s of CPU time", (peer, num_tokens / peer_s / 1e6)),
            line("bytes a token", stored / num_tokens, 12.0, "bytes", (peer, peer_bytes)),
        ]
    return lines


if __name__ == "__main__":
    main()
