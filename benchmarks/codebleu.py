"""CodeBLEU: the metric `codebleu` beside the package codebleu, on real functions and changed ones: speed and agreement.

    python benchmarks/codebleu.py [--size small|full]

The references are functions of Python's standard library, comments and docstrings taken out, so that both sides see the
same text. Each is paired with six others: itself, itself with its locals renamed, without one of its statements, with
its signs exchanged, its first half, and the function of its size that comes next in another file. Printed are the
correlation over all pairs (Pearson, Spearman) and by part the mean of each side; the last line is the speed, in
processor time of a pair, medians of alternating runs. The peer lives in its own environment below `build/peers` (it
needs an older tree-sitter), made on first use.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from all import machine

from buril.code.codefile import CodeFile
from buril.data.augment.rename import Rename
from buril.evaluate.metrics.codebleu import Codebleu

FOLDER = Path(__file__).resolve().parent
PEER = FOLDER.parent / "build/peers/codebleu"
PINS = ("codebleu==0.7.0", "tree-sitter-python==0.21.0")
FUNCTIONS, RUNS = {"small": 60, "full": 400}, 3
PARTS = {"ngram": "ngram_match_score", "keyword": "weighted_ngram_match_score", "syntax": "syntax_match_score",
         "dataflow": "dataflow_match_score"}  # fmt: skip
SIGNS = {"+": "-", "-": "+", "==": "!=", "<": ">", ">": "<", "and": "or", "or": "and", "is": "=="}


class Pair(NamedTuple):
    kind: str
    text: str
    reference: str


def functions() -> list[tuple[str, str]]:
    """Functions of 6 to 40 lines at the top of modules: file and text, without comments and docstrings."""
    stdlib, found = Path(sysconfig.get_path("stdlib")), []
    for path in sorted(stdlib.glob("*.py")) + sorted(stdlib.glob("[a-z]*/[a-z]*.py")):
        if {"test", "tests", "site-packages", "idlelib", "lib2to3"} & {*path.parts}:
            continue
        for node in ast.parse(path.read_text("utf-8", "replace")).body:
            if isinstance(node, ast.FunctionDef) and not node.decorator_list:
                if ast.get_docstring(node) is not None:
                    node.body = node.body[1:] or [ast.Pass()]
                text = ast.unparse(node) + "\n"
                if 6 <= text.count("\n") <= 40:
                    found.append((str(path), text))
    return found


def pairs(number: int) -> Iterator[Pair]:
    """Each function with what it is compared with; changes that change nothing are left out."""
    drawn = random.Random(0)
    everything = functions()
    for path, text in drawn.sample(everything, min(number, len(everything))):
        lines = text.splitlines(keepends=True)
        made = Rename(Rename.Settings()).make(CodeFile("r", "a.py", text, language="python"), drawn)
        others = [item for item in everything if item[0] != path]
        changed = {
            "same": text,
            "renamed": getattr(made, "content", text),
            "statement gone": without(text, drawn),
            "signs": re.sub(r"(?<=\s)(\+|-|==|<|>|and|or|is)(?=\s)", lambda sign: SIGNS[sign[1]], text),
            "half": "".join(lines[: len(lines) // 2]),
            "another": min(others, key=lambda item: abs(len(item[1]) - len(text)))[1],
        }
        for kind, other in changed.items():
            if kind == "same" or other != text:
                yield Pair(kind, other, text)


def without(text: str, drawn: random.Random) -> str:
    """A function without one of the statements of its body."""
    tree = ast.parse(text)
    body = tree.body[0].body  # type: ignore[attr-defined]  it is a function
    if len(body) > 1:
        del body[drawn.randrange(len(body))]
    return ast.unparse(tree) + "\n"


def peer(found: list[Pair]) -> Any:
    """What the package says of the pairs."""
    if not (PEER / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEER)], check=True)
        subprocess.run([str(PEER / "bin/pip"), "install", "-q", *PINS], check=True)
        (PEER / "ready").touch()
    with tempfile.TemporaryDirectory() as name:
        given, result = Path(name, "pairs.json"), Path(name, "result.json")
        given.write_text(json.dumps([[pair.text, pair.reference] for pair in found]), encoding="utf-8")
        command = [str(PEER / "bin/python"), str(FOLDER / "_codebleu_tool.py"), str(given), str(result)]
        subprocess.run(command, check=True, env={})
        return json.loads(result.read_text(encoding="utf-8"))


def ours(found: list[Pair]) -> Any:
    """What the metric says of the pairs."""
    metric = Codebleu()
    metric.score("x = 1", "x = 1", language="python")
    began = time.process_time()
    scores = [metric.score(pair.text, pair.reference, language="python") for pair in found]
    spent = time.process_time() - began
    parts = [metric.parts(pair.text, pair.reference, language="python") for pair in found]
    return {"scores": scores, "parts": parts, "s": spent}


def ranks(values: list[float]) -> np.ndarray:
    """Ranks from 0, the mean of them for equal values."""
    _unique, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    return ((ends - count + ends - 1) / 2)[place]


def compare(found: list[Pair], mine: Any, theirs: Any) -> None:
    """Print how the two agree, over all and by kind."""
    sides = [mine["scores"], [part["codebleu"] for part in theirs["parts"]]]
    spearman = np.corrcoef(ranks(sides[0]), ranks(sides[1]))[0, 1]
    print(f"{len(found)} pairs: Pearson {np.corrcoef(*sides)[0, 1]:.4f}, Spearman {spearman:.4f}")
    for part, name in PARTS.items():
        both = [(a[part], b[name]) for a, b in zip(mine["parts"], theirs["parts"], strict=True) if part in a]
        pearson = np.corrcoef(np.transpose(both))[0, 1]
        print(f"  {part:<9} n {len(both):4d}  Pearson {pearson:.4f}  means {np.mean(both, axis=0).round(4).tolist()}")
    for kind in dict.fromkeys(pair.kind for pair in found):
        at = [place for place, pair in enumerate(found) if pair.kind == kind]
        told = " ".join(f"{np.mean([side[place] for place in at]):.3f}" for side in sides)
        more = []
        for part, name in PARTS.items():
            both = [(mine["parts"][p][part], theirs["parts"][p][name]) for p in at if part in mine["parts"][p]]
            more.append(f"{part} " + " ".join(f"{value:.3f}" for value in np.mean(both, axis=0)))
        print(f"  {kind:<15} n {len(at):4d}  ours and theirs: {told};  {';  '.join(more)}")


def main() -> None:
    """Measure, and print one JSON line last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=FUNCTIONS, default="small")
    found = list(pairs(FUNCTIONS[parser.parse_args().size]))
    runs = [(ours(found), peer(found)) for _ in range(RUNS)]
    compare(found, *runs[0])
    names = [[part["dataflow_match_score"] for part in run[1]["parts"]] for run in runs]
    unsure = int(np.ptp(names, axis=0).astype(bool).sum())
    print(f"pairs whose data flow the peer scores otherwise in another run: {unsure}")
    mine, theirs = (statistics.median(run[side]["s"] for run in runs) / len(found) * 1e6 for side in (0, 1))
    print(json.dumps({
        "name": "codebleu", "ours": round(mine, 1), "peer": round(theirs, 1), "peer_name": "codebleu 0.7.0",
        "unit": "us of processor time a pair", "ratio": round(theirs / mine, 2), "target": 1.0,
        "met": mine <= theirs, "machine": machine(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
