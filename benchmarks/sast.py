"""Static analysis: the scanner `taint` beside bandit, ruff and semgrep, on labelled programs and on real ones.

    python benchmarks/sast.py [--size small|full] [--sven FOLDER]

Three inputs: the labelled programs of `tests/scanners/cases` (each weak one has a harmless twin; those of Python were
read while the engine was written, so they measure what it covers rather than how it does on the unknown); SVEN's real
functions before and after a fix (data of the reader's: by default `../shared/data/eval/sven`); and installed packages,
where nearly every finding is a false alarm. Printed are, by tool, the share of weak programs with a finding of the same
family of weaknesses, the share of harmless ones with one, pairs told apart, findings per 1,000 lines, and processor
time. The last line is the speed of `taint` beside bandit's, in files a second of processor time.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from all import machine

from buril.core.errors import BurilError
from buril.scanners._scanner import Scanner, Text
from buril.scanners.bandit import Bandit
from buril.scanners.ruff import Ruff
from buril.scanners.semgrep import Semgrep
from buril.scanners.taint import Taint

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))
FAMILIES = ((78, 77), (94, 95), (326, 327, 328), (916, 328), (330, 338), (798, 259), (22, 73), (1336, 94), (614, 1004),
            (501, 502))  # fmt: skip
FILES = {"small": 400, "full": 4000}
RUFF = ("S101", "S603", "S607", "S404", "S403", "S110", "S112", "S105", "S106", "S107")
"""Left out as any user of it leaves them out in code that is to be judged by its weaknesses."""


class Pair(NamedTuple):
    """A weak program and its harmless twin."""

    cwe: int
    bad: str
    good: str


def labelled() -> list[Pair]:
    """The project's own programs for Python."""
    from tests.scanners.cases import cases

    found = list(cases("python"))
    bad = {(case.cwe, case.name): case for case in found if case.bad}
    good = {(case.cwe, case.name): case for case in found if not case.bad}
    return [Pair(int(cwe[4:]), bad[cwe, name].text, good[cwe, name].text) for cwe, name in bad]


def sven(folder: Path) -> list[Pair]:
    """Real Python functions, before and after their fix."""
    found = []
    for path in sorted(folder.glob("**/cwe-*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            if row["file_name"].endswith(".py"):
                found.append(Pair(int(path.stem[4:]), row["func_src_before"], row["func_src_after"]))
    return found


def packages(number: int) -> list[str]:
    """Files of installed packages, tests left out."""
    root = Path(sysconfig.get_path("purelib"))
    paths = [path for path in sorted(root.glob("**/*.py")) if not {"test", "tests"} & {*path.parts}]
    chosen = random.Random(0).sample(paths, min(number, len(paths)))
    texts = (path.read_text("utf-8", "replace") for path in chosen)
    return [text for text in texts if text.strip() and len(text) < 300_000]


def same(one: int, other: int) -> bool:
    """Whether two weaknesses are of one family."""
    return one == other or any(one in family and other in family for family in FAMILIES)


def told(found: Sequence[Any], cwe: int, least: tuple[str, ...]) -> bool:
    return any(item.severity in least and item.cwe and same(int(item.cwe[4:]), cwe) for item in found)


def measure(tool: Scanner, pairs: Sequence[Pair]) -> dict[str, float]:
    """Shares over all pairs, and processor seconds of this process and its children."""
    began = _processor()
    texts = [Text(text, "python") for pair in pairs for text in (pair.bad, pair.good)]
    found = tool.scan_many(texts)
    spent = _processor() - began
    least = ("low", "medium", "high")
    bad = [told(found[2 * at], pair.cwe, least) for at, pair in enumerate(pairs)]
    good = [told(found[2 * at + 1], pair.cwe, least) for at, pair in enumerate(pairs)]
    number = len(pairs)
    return {
        "found": sum(bad) / number, "false": sum(good) / number,
        "told apart": sum(one and not other for one, other in zip(bad, good, strict=True)) / number,
        "ms a text": 1000 * spent / len(texts),
    }  # fmt: skip


def _processor() -> float:
    import resource

    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def clean(tool: Scanner, texts: Sequence[str]) -> dict[str, float]:
    """Findings per 1,000 lines of real code, and files a second of processor time."""
    began = _processor()
    found = tool.scan_many([Text(text, "python") for text in texts])
    spent = _processor() - began
    lines = sum(text.count("\n") for text in texts)
    number = sum(item.rule not in ("inconclusive", "partial") for items in found for item in items)
    return {"per KLOC": 1000 * number / lines, "files a second": len(texts) / spent}


def union(tools: Sequence[Scanner]) -> Scanner:
    """Several scanners as one."""

    class Union(Scanner):
        def scan(self, text: str, language: str) -> Any:
            return iter([item for tool in tools for item in tool.scan(text, language)])

        def scan_many(self, texts: Sequence[Text]) -> list[list[Any]]:
            parts = [tool.scan_many(texts) for tool in tools]
            return [[item for part in parts for item in part[at]] for at in range(len(texts))]

    return Union()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=FILES, default="small")
    parser.add_argument("--sven", type=Path, default=FOLDER.parent.parent / "shared/data/eval/sven")
    chosen = parser.parse_args()
    ruff = Ruff(Ruff.Settings(ignore=RUFF))
    makers: dict[str, Callable[[], Scanner]] = {
        "taint (snippet)": lambda: Taint(Taint.Settings(mode="snippet")),
        "taint (strict)": Taint,
        "ruff": lambda: ruff,
        "bandit": Bandit,
        "semgrep, own pack": Semgrep,
        "taint (snippet) + ruff": lambda: union([Taint(Taint.Settings(mode="snippet")), ruff]),
    }
    inputs = {"labelled programs": labelled(), "SVEN": sven(chosen.sven)}
    texts = packages(FILES[chosen.size])
    speeds: dict[str, float] = {}
    for name, make in makers.items():
        try:
            tool = make()
            missing = tool.self_test()
        except BurilError as problem:
            print(f"{name}: left out: {problem}")
            continue
        assert not missing, (name, missing)
        for title, pairs in inputs.items():
            if pairs:
                shares = measure(tool, pairs)
                print(f"{name:<24} {title:<18} {len(pairs):>4} pairs   found {shares['found']:.1%}   "
                      f"false {shares['false']:.1%}   told apart {shares['told apart']:.1%}   "
                      f"{shares['ms a text']:.2f} ms a text")  # fmt: skip
        real = clean(tool, texts)
        speeds[name] = real["files a second"]
        print(f"{name:<24} {'installed packages':<18} {len(texts):>4} files   {real['per KLOC']:.3f} per KLOC   "
              f"{real['files a second']:.0f} files a second")  # fmt: skip
    ours, theirs = speeds["taint (strict)"], speeds.get("bandit")
    print(json.dumps({
        "name": "sast", "ours": round(ours, 1), "peer": round(theirs, 1) if theirs else None, "peer_name": "bandit",
        "unit": "files a second of processor time", "ratio": round(ours / theirs, 2) if theirs else None, "target": 1.0,
        "met": bool(theirs and ours >= theirs), "machine": machine(),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
