"""Static analysis of Python: two passes (ruff, then bandit where the two differ) beside bandit alone.

python benchmarks/scan.py --size small|full

Speed: files of this Python's installed packages, processor time with that of child processes, medians of alternating
rounds, all of bandit's tests on both sides. Quality: the Python pairs of SVEN (vulnerable and fixed functions of real
commits; MIT), found beside the checkout at ../shared/data/eval/sven or named by --sven. A function counts as flagged
when anything is found in it; one that can't be parsed counts as not flagged. Asserts (B101) do not count.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import sysconfig
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

from all import machine

from buril.code.codefile import Finding
from buril.core.errors import BurilError
from buril.scanners import INCONCLUSIVE, PARTIAL, Scanner, Text
from buril.scanners.bandit import Bandit
from buril.scanners.ruff import Ruff
from buril.scanners.semgrep import Semgrep

SIZES = {"small": 400, "full": 2000}
TARGET = 5.0
SVEN = Path(__file__).resolve().parents[2] / "shared/data/eval/sven/data_train_val/train"
Flags = list[bool]


def real_files(count: int) -> list[Text]:
    """Python files of installed packages of 1 to 60 KB, in a fixed random order."""
    root = Path(sysconfig.get_paths()["purelib"])
    paths = sorted(path for path in root.rglob("*.py") if 1_000 < path.stat().st_size < 60_000)
    random.Random(3).shuffle(paths)
    texts: list[Text] = []
    for path in paths:
        try:
            texts.append(Text(path.read_bytes().decode(), "python"))
        except UnicodeDecodeError:
            continue
        if len(texts) == count:
            break
    return texts


def pairs(folder: Path) -> tuple[list[Text], list[Text], list[str]]:
    """The vulnerable and the fixed half of SVEN's Python functions, and the CWE of each pair."""
    halves: dict[str, list[Text]] = {"before": [], "after": []}
    kinds = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["file_name"].endswith(".py"):
                kinds.append(path.stem.upper().replace("CWE-0", "CWE-"))
                for half, texts in halves.items():
                    texts.append(Text(textwrap.dedent(row[f"func_src_{half}"]) + "\n", "python"))
    return halves["before"], halves["after"], kinds


def seconds() -> float:
    """Processor time of this process and of the children it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def timed(scanner: Scanner, texts: list[Text]) -> tuple[float, list[list[Finding]]]:
    """Processor time, and the findings in each text."""
    began = seconds()
    found = scanner.scan_many(texts)
    return seconds() - began, found


def flags(scanner: Scanner, texts: list[Text]) -> Flags:
    """Whether anything was found in each text."""
    quiet = {INCONCLUSIVE, PARTIAL}
    return [any(item.rule not in quiet for item in each) for each in scanner.scan_many(texts)]


def missed(ours: list[list[Finding]], theirs: list[list[Finding]]) -> tuple[int, Counter[str]]:
    """How many findings bandit alone has, and which of its tests ours lacks where their lines meet."""
    lacking: Counter[str] = Counter()
    for mine, other in zip(ours, theirs, strict=True):
        lines = {(item.rule, line) for item in mine for line in reach(item)}
        lacking.update(item.rule for item in other if not any((item.rule, line) in lines for line in reach(item)))
    return sum(map(len, theirs)), lacking


def reach(item: Finding) -> range:
    """The lines of a finding."""
    return range(item.line, max(item.line, item.end_line) + 1)


def speed(count: int, rounds: int) -> tuple[float, float]:
    """Files a second of processor time: two passes, bandit alone."""
    texts = real_files(count)
    two, alone = Bandit(Bandit.Settings(ignore=())), Bandit(Bandit.Settings(first="none", ignore=()))
    two.scan_many(texts[:2])  # imports
    taken: dict[str, list[float]] = {"two": [], "alone": []}
    for _ in range(rounds):
        for name, scanner in (("two", two), ("alone", alone)):
            used, found = timed(scanner, texts)
            taken[name].append(used)
            if name == "two":
                ours = found
            else:
                theirs = found
    rates = {name: len(texts) / statistics.median(used) for name, used in taken.items()}
    megabytes = sum(len(text.content.encode()) for text in texts) / 1e6
    print(f"{len(texts)} files, {megabytes:.1f} MB of installed packages, files a second of processor time")
    print(f"    two passes {rates['two']:8.1f}    bandit alone {rates['alone']:8.1f}")
    total, lacking = missed(ours, theirs)
    print(f"    bandit alone reports {total} findings; two passes lack {dict(lacking.most_common()) or 'none'}")
    return rates["two"], rates["alone"]


def quality(folder: Path) -> list[dict[str, Any]]:
    """Recall on the vulnerable half and false positives on the fixed half, by scanner."""
    before, after, kinds = pairs(folder)
    scanners: dict[str, list[Scanner]] = {
        "bandit alone": [Bandit(Bandit.Settings(first="none"))],
        "ruff alone": [Ruff()],
        "two passes": [Bandit()],
    }
    try:
        Semgrep().observe()
        scanners["two passes + semgrep"] = [Bandit(), Semgrep()]
    except BurilError as missing:
        print(f"without semgrep: {missing.cause}")
    shares = ", ".join(f"{kind} {count}" for kind, count in sorted(Counter(kinds).items()))
    print(f"SVEN, {len(before)} pairs of Python functions ({shares})")
    print(f"    {'':22} recall   flagged when fixed   right in both")
    told: dict[str, tuple[float, float]] = {}
    for name, members in scanners.items():
        bad, good = (
            [any(each) for each in zip(*(flags(s, half) for s in members), strict=True)] for half in (before, after)
        )
        right = sum(b and not g for b, g in zip(bad, good, strict=True))
        told[name] = sum(bad) / len(bad), sum(good) / len(good)
        print(f"    {name:22} {told[name][0]:6.1%}   {told[name][1]:18.1%}   {right / len(bad):13.1%}")
    rows = []
    for name in [each for each in told if each.startswith("two passes")]:
        ours, peer = told[name][0], told["bandit alone"][0]
        rows.append(row(f"scan: recall on SVEN, {name}", ours, peer, unit="share", target=1.0))
    return rows


def row(name: str, ours: float, peer: float, *, unit: str, target: float) -> dict[str, Any]:
    """One result."""
    return {
        "name": name, "ours": round(ours, 4), "peer": round(peer, 4), "peer_name": "bandit alone", "unit": unit,
        "ratio": round(ours / peer, 3), "target": f">= {target:g}x", "met": ours / peer >= target, "machine": machine(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=tuple(SIZES), default="small")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sven", type=Path, default=SVEN)
    options = parser.parse_args()
    ours, peer = speed(SIZES[options.size], options.rounds)
    rows = [row("scan: speed", ours, peer, unit="files/s of processor time", target=TARGET)]
    if options.sven.is_dir():
        rows += quality(options.sven)
    else:
        print(f"without quality: {options.sven} is not there")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
