"""Run every benchmark of this folder and write RESULTS.md from their last lines.

python benchmarks/all.py --size small|full [NAME...]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent


def machine() -> str:
    """The processor, cores and memory, without names of people or hosts."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next(
        (line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")),
        platform.machine(),
    )
    flags = [flag for flag in ("amx_tile", "avx512_bf16", "avx512f", "avx2") if f" {flag} " in text]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB" + (f", {flags[0]}" if flags else "")


def measure(name: str, size: str) -> list[dict[str, Any]]:
    """Run one benchmark; its last line is one JSON object or a list of them."""
    print(f"== {name}", flush=True)
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), "--size", size], stdout=subprocess.PIPE, text=True, check=False
    )
    print(done.stdout, flush=True)
    if done.returncode:
        return [{"name": name, "error": f"exit code {done.returncode}"}]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return found if isinstance(found, list) else [found]


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    if "error" in row:
        return f"| {row['name']} | {row['error']} | | | | |"
    ours, peer = (f"{row[key]:.4g}" for key in ("ours", "peer"))
    met = "yes" if row["met"] else "no"
    cells = [row["name"], ours, f"{peer} ({row['peer_name']})", row["unit"], f"{row['ratio']:.2f}"]
    return f"| {' | '.join(cells)} | {row['target']} ({met}) |"


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--size", choices=("small", "full"), default="small")
    options = parser.parse_args()
    names = options.names or sorted(
        path.stem for path in FOLDER.glob("*.py") if path.stem != "all" and not path.stem.startswith("_")
    )
    rows = [row for name in names for row in measure(name, options.size)]
    today = datetime.date.today().isoformat()
    head = (
        f"# Results\n\nMachine: {machine()}. Size: {options.size}. {today}. "
        "Ours and the peer ran alternating in one run; medians.\n\n"
    )
    table = (
        "| benchmark | ours | peer | unit | ratio | target (met) |\n|---|---|---|---|---|---|\n"
        + "\n".join(map(line, rows))
        + "\n"
    )
    if not options.names:
        (FOLDER / "RESULTS.md").write_text(head + table)
    print(head + table)
    return int(any("error" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
