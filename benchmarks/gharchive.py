"""How many events of GH Archive a second one core reads, from a gzipped dump to counts by repository.

python benchmarks/gharchive.py --size small|full

The dump is made here; its mixture of events (half of them pushes) and its payloads follow the shape of the hourly
dumps. The peer is what readers of these dumps usually do: `gzip`, a line at a time, `json.loads`, the same counts.
`gunzip` alone is the floor, printed beside. Processor time, medians of alternating runs; both must count the same.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from all import machine

from buril.data.sources._gharchive_events import COUNTED, scan

SIZES = {"small": 40_000, "full": 400_000}
TARGET = 1.3
MIXTURE = {
    "PushEvent": 52, "CreateEvent": 14, "PullRequestEvent": 8, "WatchEvent": 8, "IssueCommentEvent": 6,
    "DeleteEvent": 4, "IssuesEvent": 3, "PullRequestReviewEvent": 3, "ForkEvent": 2,
}  # fmt: skip


def dump(path: Path, num_events: int) -> None:
    """Write a dump of so many events."""
    drawn = random.Random(7)
    words = ["".join(drawn.choices("abcdefghijklmnop", k=7)) for _ in range(3000)]
    api = "https://api.github.com"
    with gzip.open(path, "wb", compresslevel=6) as stream:
        for number in range(num_events):
            kind = drawn.choices(list(MIXTURE), list(MIXTURE.values()))[0]
            repo, login = drawn.randrange(num_events // 4), drawn.choice(words)
            name = f"{words[repo % 2999]}/{words[repo % 3000]}"
            actor = {
                "id": repo * 3, "login": login, "display_login": login, "gravatar_id": "",
                "url": f"{api}/users/{login}", "avatar_url": f"https://avatars.githubusercontent.com/u/{repo * 3}?",
            }  # fmt: skip
            told = {
                "id": str(40_000_000_000 + number), "type": kind, "actor": actor,
                "repo": {"id": repo, "name": name, "url": f"{api}/repos/{name}"},
                "payload": payload(kind, drawn, words), "public": True, "created_at": "2026-01-01T15:00:00Z",
            }  # fmt: skip
            stream.write(json.dumps(told, separators=(",", ":")).encode() + b"\n")


def payload(kind: str, drawn: random.Random, words: list[str]) -> dict[str, Any]:
    """What an event of a kind carries, in size and nesting."""

    def text(size: int) -> str:
        return " ".join(drawn.choices(words, k=size))

    def sha() -> str:
        return f"{drawn.getrandbits(160):040x}"

    if kind == "PushEvent":
        commits = [
            {
                "sha": sha(),
                "author": {"name": text(1), "email": sha()},
                "message": text(9),
                "distinct": True,
                "url": sha(),
            }
            for _ in range(drawn.choice((1, 1, 1, 2, 5)))
        ]
        return {"push_id": drawn.getrandbits(33), "ref": "refs/heads/main", "head": sha(), "commits": commits}
    if kind in ("IssuesEvent", "IssueCommentEvent"):
        issue = {
            "url": text(3), "number": drawn.randrange(5000), "title": text(6), "state": "open", "body": text(120),
            "created_at": "2025-11-01T00:00:00Z", "user": {"login": text(1), "url": sha()},
        }  # fmt: skip
        return {"action": "opened", "issue": issue, "comment": {"body": text(80)}}
    if kind.startswith("PullRequest"):
        side = {"label": text(1), "repo": {"id": 1, "name": text(1), "urls": [text(6) for _ in range(40)]}}
        pull = {"title": text(6), "body": text(100), "head": side, "base": side}
        return {"action": "opened", "number": 5, "pull_request": pull}
    return {"action": "started", "ref": None, "description": text(8)}


def peer(path: Path) -> Counter[str]:
    """Every line through `json`."""
    counts: Counter[str] = Counter()
    with gzip.open(path, "rb") as stream:
        for line in stream:
            event = json.loads(line)
            if event["type"] in COUNTED:
                counts[COUNTED[event["type"]]] += 1
    return counts


def ours(path: Path) -> Counter[str]:
    """As the source does it."""
    seen, names = scan(path), tuple(COUNTED.values())
    return Counter({name: sum(row[at] for row in seen.counts.values()) for at, name in enumerate(names)})


def floor(path: Path) -> None:
    """Decompression alone."""
    with gzip.open(path, "rb") as stream:
        while stream.read(1 << 20):
            pass


def timed(work: Callable[[Path], Any], path: Path) -> tuple[float, Any]:
    """Processor seconds, and what came out."""
    start = time.process_time()
    found = work(path)
    return time.process_time() - start, found


def main() -> None:
    """Make the dump, read it in turn, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=tuple(SIZES), default="small")
    num_events = SIZES[parser.parse_args().size]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "2026-01-01-15.json.gz"
        dump(path, num_events)
        seconds: dict[str, list[float]] = {"ours": [], "peer": [], "floor": []}
        for _round in range(5):
            spent, mine = timed(ours, path)
            seconds["ours"].append(spent)
            spent, theirs = timed(peer, path)
            seconds["peer"].append(spent)
            seconds["floor"].append(timed(floor, path)[0])
            assert +mine == +theirs, (mine, theirs)
        rate = {name: num_events / statistics.median(found) for name, found in seconds.items()}
        size_mb = path.stat().st_size / 1e6
        print(f"{num_events} events, {size_mb:.1f} MB gzipped; gunzip alone {rate['floor']:,.0f} events/s")
    ratio = rate["ours"] / rate["peer"]
    row = {
        "name": "gharchive", "ours": round(rate["ours"]), "peer": round(rate["peer"]), "peer_name": "gzip + json.loads",
        "unit": "events/s", "ratio": round(ratio, 2), "target": f">= {TARGET}", "met": ratio >= TARGET,
        "machine": machine(),
    }  # fmt: skip
    print(json.dumps(row))


if __name__ == "__main__":
    main()
