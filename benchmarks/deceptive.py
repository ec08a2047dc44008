"""Characters that deceive, and unknown packages: speed and false alarms, beside bandit's B613 (Trojan Source).

python benchmarks/deceptive.py --size small|full

Files of this Python's installed packages, processor time with that of child processes, medians of alternating rounds.
bandit runs with B613 alone; its start is counted, as everybody pays for it. B613 knows bidirectional controls only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from all import machine
from scan import real_files, seconds

from buril.code.packages import uses
from buril.code.parse import parse
from buril.scanners import Text
from buril.scanners._known import Known
from buril.scanners.packages import Packages
from buril.scanners.unicode import Unicode

SIZES = {"small": 1000, "full": 8000}
TARGET = 10.0


def bandit(folder: Path) -> int:
    """Run B613 alone over a folder; how many findings it has."""
    command = [sys.executable, "-m", "bandit", "-q", "-r", "-t", "B613", "-f", "json", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return len(json.loads(done.stdout)["results"])


def timed(work: Any) -> tuple[float, Any]:
    """Processor time, and what came of it."""
    began = seconds()
    result = work()
    return seconds() - began, result


def speed(texts: list[Text], rounds: int) -> dict[str, float]:
    """Files a second of processor time, ours and bandit's, and what each found."""
    scanner, taken = Unicode(), {"ours": [], "bandit": []}  # type: dict[str, list[float]]
    with tempfile.TemporaryDirectory() as place:
        for number, text in enumerate(texts):
            (Path(place) / f"{number:05}.py").write_text(text.content, encoding="utf-8", newline="")
        for _ in range(rounds):
            used, found = timed(lambda: scanner.scan_many(texts))
            taken["ours"].append(used)
            used, theirs = timed(lambda: bandit(Path(place)))
            taken["bandit"].append(used)
    flagged = sum(map(bool, found))
    print(f"unicode: {flagged} of {len(texts)} files flagged ({flagged / len(texts):.3%}); B613 has {theirs} findings")
    return {name: len(texts) / statistics.median(used) for name, used in taken.items()}


def by_kind(texts: list[Text]) -> None:
    """Megabytes a second of ASCII files and of others."""
    scanner = Unicode()
    for name, chosen in (
        ("ASCII", [text for text in texts if text.content.isascii()]),
        ("other", [text for text in texts if not text.content.isascii()]),
    ):
        megabytes = sum(len(text.content.encode()) for text in chosen) / 1e6
        used, _found = timed(lambda chosen=chosen: scanner.scan_many(chosen))
        print(f"    {name}: {len(chosen)} files, {megabytes / max(used, 1e-9):.1f} MB/s")


def packages(texts: list[Text]) -> None:
    """Milliseconds a file, by part; the share of files with a name that nothing installed here has."""
    scanner = Packages(Packages.Settings(installed=True))
    known: Known = scanner._known
    parsed, trees = timed(lambda: [parse("python", text.content.encode()) for text in texts])
    read, found = timed(lambda: [uses("python", tree) for tree in trees])
    asked, unknown = timed(lambda: [any(not known.knows(use) for use in each) for each in found])
    parts = [
        f"{name} {1000 * used / len(texts):.3f}"
        for name, used in (("parse", parsed), ("imports", read), ("names", asked))
    ]
    print(
        f"packages: ms a file: {', '.join(parts)}; "
        f"{sum(unknown)} of {len(texts)} files import what is not installed here"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=tuple(SIZES), default="small")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    texts = real_files(SIZES[options.size])
    rates = speed(texts, options.rounds)
    print(f"    files a second of processor time: ours {rates['ours']:.0f}, bandit's B613 {rates['bandit']:.0f}")
    by_kind(texts)
    packages(texts)
    ratio = rates["ours"] / rates["bandit"]
    told = {
        "name": "deceptive characters: speed", "ours": round(rates["ours"], 1), "peer": round(rates["bandit"], 1),
        "peer_name": "bandit -t B613", "unit": "files/s of processor time", "ratio": round(ratio, 2),
        "target": f">= {TARGET:g}x", "met": ratio >= TARGET, "machine": machine(),
    }  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main()
