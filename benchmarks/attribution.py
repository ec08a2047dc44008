"""Which lines of a file a model wrote: what is found again after edits, and what of people's code is taken for it.

    python benchmarks/attribution.py [--size small|full] [--completions N] [--pieces N] [--model BASE] [--black PATH]

Half of the installed Python packages are what a model is asked about, the other half is people's code that nobody
generated. A ledger has the bodies of functions that a model wrote behind their heads (SmolLM2-135M, temperature 0.2),
and, in another ledger, as many bodies as a busy team is served, taken from the first half's functions as people wrote
them: models write as people do, so these are what a large ledger would be mistaken for. `buril ledger fingerprints`'s
file is written and read; its size is told.

False alarms: all lines of the second half, one file a change, asked of each ledger. Recall: each body is put with its
head into a file of the second half, the file is edited (comments out, formatted by ruff at 60 columns, by black where
there is one, all names changed, both, one line in four rewritten), and the lines between two marks are the truth.

The last line is the recall of lines of model completions after formatting, against a target of 0.9.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from all import machine
from watermark import opened, renamed, without_comments

from buril.code import winnow
from buril.code.attribution import attributed
from buril.code.completing.cursor import Cursor
from buril.code.completing.finish import completed
from buril.code.fingerprints import Fingerprints, read
from buril.generators._generator import Request
from buril.serve.ledger import Entry, Ledger

SIZES = {"small": (60, 4_000, 400), "full": (300, 40_000, 2_000)}
BEGIN, END = "# 'begin'", "# 'end'"  # in quotes, so that no edit changes them
LINES = range(3, 25)
CUT, MINE = "\x1f", "mine_"


class Function(NamedTuple):
    """A function: what stands before its body in the file, its head, its body."""

    before: str
    head: str
    body: str


def functions(text: str) -> list[Function]:
    """The functions of a file whose bodies are of a size that is completed at once."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    lines = text.split("\n")
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.body[0].lineno in LINES:
            first, begin = node.body[0].lineno - 1, node.lineno - 1
            if begin < first and not lines[first].startswith("\t"):
                head, body = "\n".join(lines[begin:first]) + "\n", "\n".join(lines[first : node.end_lineno]) + "\n"
                found.append(Function("\n".join(lines[:begin]) + "\n", head, body))
    return found


def halves(seed: int) -> tuple[list[str], list[str]]:
    """The texts of the installed packages, in two halves that share no package."""
    root = Path(sysconfig.get_path("purelib"))
    packages = sorted(path for path in root.iterdir() if path.is_dir() and (path / "__init__.py").is_file())
    random.Random(seed).shuffle(packages)
    found: tuple[list[str], list[str]] = ([], [])
    for number, package in enumerate(packages):
        for path in sorted(package.rglob("*.py"))[:60]:
            raw = path.read_bytes()
            if 500 < len(raw) < 60_000:
                found[number % 2].append(raw.decode("utf-8", "replace"))
    return found


def written(asked: Sequence[Function], model: str, engine: str) -> list[Function]:
    """The same functions with bodies that a model wrote."""
    with tempfile.TemporaryDirectory() as folder:
        generator = opened(Path(folder), model, engine)
        requests = [
            Request((item.before + item.head)[-2000:], max_tokens=120, temperature=0.2, seed=number)
            for number, item in enumerate(asked)
        ]
        made = []
        for item, (completion,) in zip(asked, generator.complete(requests), strict=True):
            text = completed(Cursor(item.before + item.head, "", "python"), completion.text).text
            if len(winnow.lexical(text)) >= 12:
                made.append(item._replace(body=text.rstrip("\n") + "\n"))
    return made


def kept(bodies: Sequence[Function], folder: Path) -> Fingerprints:
    """A ledger of some bodies, as a CI reads it."""
    ledger = Ledger(folder / "ledger")
    model = {"base": "5" * 64}
    for start in range(0, len(bodies), 500):
        part = bodies[start : start + 500]
        ledger.append(*(Entry(f"{start + place:012x}", item.body, "bench", model) for place, item in enumerate(part)))
    path = folder / "fingerprints.parquet"
    ledger.fingerprints().write(path)
    found = read(path)
    print(f"{len(bodies)} bodies: {len(found)} rows, {path.stat().st_size / max(1, len(found)):.0f} bytes a row")
    return found


# --- edits


def by(program: Sequence[str]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        done = subprocess.run([*program, "-"], input=text, capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else text

    return edit


def one_in_four(text: str) -> str:
    """Every fourth line between the marks is a person's."""
    head, middle, tail = re.split(rf"(?<={BEGIN}\n)|(?=[ ]*{END})", text, maxsplit=2)
    lines = middle.split("\n")
    for place in range(3, len(lines) - 1, 4):
        indent = re.match(r"\s*", lines[place])
        lines[place] = f"{indent[0] if indent else ''}{MINE}{place} = given[{place}] or other({place})"
    return head + "\n".join(lines) + tail


def edits(black: Path | None) -> dict[str, Callable[[str], str]]:
    ruff = by([str(Path(sysconfig.get_path("scripts")) / "ruff"), "format", "--isolated", "--line-length", "60"])
    found: dict[str, Callable[[str], str]] = {
        "as written": lambda text: text, "ruff format": ruff, "renamed": renamed,
        "renamed, ruff format": lambda text: ruff(renamed(text)), "one line in four new": one_in_four,
    }  # fmt: skip
    if black:
        found["black"] = by([str(black), "-q"])
    found["no comments"] = lambda text: _between(without_comments(text.replace("# ", "#! ")), text)
    return found


def _between(bare: str, text: str) -> str:
    """A text without comments, its marks left: `without_comments` keeps the lines."""
    lines = bare.split("\n")
    for number, line in enumerate(text.split("\n")):
        if line.strip() in (BEGIN, END):
            lines[number] = line
    return "\n".join(lines)


def placed(item: Function, host: str) -> str | None:
    """A function in a file of others, its body between marks; None where that does not parse."""
    body = textwrap.indent(textwrap.dedent(item.body), "    ")
    head = textwrap.dedent(item.head)
    whole = f"{host.rstrip()}\n\n\n{head.rstrip()}\n    {BEGIN}\n{body.rstrip()}\n    {END}\n\n\nLAST_OF_ALL = 1\n"
    try:
        ast.parse(whole)
    except (SyntaxError, ValueError):
        return None
    return whole


class Recall(NamedTuple):
    """Lines that were written, those of them that were found, lines of others, those taken for written."""

    lines: int
    found: int
    others: int
    wrong: int
    files: int


def recall(texts: Sequence[str], source: Fingerprints) -> Recall:
    counts = Counter[str]()
    for text in texts:
        rows = text.split("\n")
        marks = [number for number, row in enumerate(rows) if row.strip() in (BEGIN, END)]
        if len(marks) != 2:
            continue
        bare = [row for row in rows if row.strip() not in (BEGIN, END)]
        truth = {
            number
            for number in range(marks[0] + 1, marks[1])
            if bare[number - 1].strip() and MINE not in bare[number - 1]
        }
        found = attributed("\n".join(bare), source)
        told = {line for piece in found.pieces for line in range(piece.first, piece.last + 1) if bare[line - 1].strip()}
        counts.update(lines=len(truth), found=len(truth & told), others=found.lines - len(truth),
                      wrong=len(told - truth), files=bool(truth & told), all=1)  # fmt: skip
    return Recall(*(counts[name] for name in ("lines", "found", "others", "wrong", "files")))


def alarms(title: str, texts: Sequence[str], source: Fingerprints, bodies: Sequence[Function]) -> None:
    """What of people's code is taken for the model's; what is a copy of a body, token for token, is told apart."""
    counts, spent = Counter[str](), 0.0
    for text in texts:
        began = time.process_time()
        found = attributed(text, source)
        spent += time.process_time() - began
        whole = f"\0{CUT.join(winnow.lexical(text))}\0" if found.pieces else ""
        counts["lines"] += found.lines
        for piece in found.pieces:
            copied = CUT.join(winnow.lexical(bodies[int(piece.id, 16)].body)) in whole
            counts["copies" if copied else piece.how] += piece.last - piece.first + 1
        counts["files"] += any(CUT.join(winnow.lexical(bodies[int(piece.id, 16)].body)) not in whole
                               for piece in found.pieces)  # fmt: skip
    lines, wrong, files = counts["lines"], counts["named"] + counts["nameless"], counts["files"]
    print(f"{title}: {wrong} of {lines} lines of people are taken for a model's ({100 * wrong / lines:.3f} %), "
          f"in {files} of {len(texts)} files; copies token for token: {counts['copies']} lines; "
          f"{lines / spent:,.0f} lines a second", flush=True)  # fmt: skip


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--completions", type=int)
    parser.add_argument("--pieces", type=int)
    parser.add_argument("--black", type=Path)
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    completions, pieces, hosts = SIZES[chosen.size]
    asked, people = halves(0)
    random_ = random.Random(1)
    bodies = [item for text in asked for item in functions(text)]
    random_.shuffle(bodies)
    people = random_.sample(people, min(hosts, len(people)))
    made = written(bodies[: chosen.completions or completions], chosen.model, chosen.engine)
    stand_in = bodies[completions : completions + (chosen.pieces or pieces)]
    shares = {}
    for title, given in (("completions of the model", made), ("bodies of people", stand_in)):
        with tempfile.TemporaryDirectory() as folder:
            source = kept(given, Path(folder))
        alarms(title, people, source, given)
        sample = random_.sample(given, min(len(given), 150))
        whole = [text for number, item in enumerate(sample) if (text := placed(item, people[number % len(people)]))]
        for name, edit in edits(chosen.black).items():
            found = recall([edit(text) for text in whole], source)
            shares[title, name] = found.found / max(1, found.lines)
            told = f"{found.found}/{found.lines} lines found ({shares[title, name]:.3f})"
            print(f"{title}, {name:<22} {told}, in {found.files} of {len(whole)} files; "
                  f"{found.wrong} of {found.others} others", flush=True)  # fmt: skip
    ours = shares["completions of the model", "ruff format"]
    print(json.dumps({
        "name": "attribution", "ours": round(ours, 3), "peer": None, "peer_name": None,
        "unit": "share of the lines of completions found after formatting", "ratio": None, "target": 0.9,
        "met": ours >= 0.9, "machine": machine(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
