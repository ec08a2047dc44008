"""One hour of GH Archive: which repositories had which events, and which of their issues were seen open.

Format: gharchive.org, `YYYY-MM-DD-H.json.gz`, one event of GitHub's events API (docs.github.com/en/rest) a line.
Of most events only the beginning of the line is read: the dump writes `id`, `type`, `actor` and `repo` first, in that
order, and the pattern is tied to it, so that what a payload holds can't mislead. A line of another form is parsed as
JSON; one that is no JSON, or ends without its brace, counts as broken. What it does not do: it neither removes events
that the dump holds twice nor checks the JSON of a line it needs only the beginning of.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from buril.code.codefile import write_table
from buril.core.artifact import atomic
from buril.data.sources._github_api import FULL_NAME, moment

VERSION = 1
CHUNK = 1 << 20
MAX_LINE = 64_000_000
COUNTED = {
    "WatchEvent": "stars",
    "ForkEvent": "forks",
    "PushEvent": "pushes",
    "PullRequestEvent": "pulls",
    "CreateEvent": "created",
    "PublicEvent": "public",
}
COLUMNS = ("stars", "forks", "pushes", "pulls", "created", "public", "issues_opened", "issues_closed")
_HEAD = re.compile(rb'\{"id":"[0-9]+","type":"([^"]+)","actor":\{([^}]*)\},"repo":\{"id":([^"]+"name":"[^"]+)"')
_KEY = re.compile(rb'(\d{1,18}),"name":"([^"\\]+)')
_WHOLE = frozenset({b"IssuesEvent", b"IssueCommentEvent"})
_COUNTS = pa.schema([("id", pa.int64()), ("name", pa.string()), *((name, pa.int64()) for name in COLUMNS)])
_ISSUES = pa.schema(
    [("id", pa.int64()), ("number", pa.int64()), ("created", pa.int64()), ("open", pa.bool_()), ("seen", pa.int64())]
)


class Hour(NamedTuple):
    """An hour to read: its name (`2026-01-01-15`), its file, and the folder that its tables go to."""

    name: str
    file: Path
    into: Path


@dataclass
class Seen:
    """What the lines of an hour said."""

    events: int = 0
    broken: int = 0
    truncated: bool = False
    names: dict[int, str] = field(default_factory=dict)
    counts: dict[int, list[int]] = field(default_factory=dict)
    issues: dict[tuple[int, int], tuple[int, bool]] = field(default_factory=dict)

    def count(self, repo: int, name: str, column: str, times: int = 1) -> None:
        """So many more events of a kind."""
        row = self.row(repo, name)
        row[COLUMNS.index(column)] += times

    def row(self, repo: int, name: str) -> list[int]:
        """The counts of a repository; of what has no name, some that nobody reads."""
        if not FULL_NAME.fullmatch(name):
            return [0] * len(COLUMNS)
        self.names[repo] = name
        return self.counts.setdefault(repo, [0] * len(COLUMNS))


def read_hour(hour: Hour) -> str:
    """Read one hour and write its tables; its numbers come last, so they are there only when all of it is."""
    seen = scan(hour.file)
    counts = [
        {"id": repo, "name": seen.names[repo], **dict(zip(COLUMNS, row, strict=True))}
        for repo, row in sorted(seen.counts.items())
    ]
    issues = [
        {"id": repo, "number": number, "created": created, "open": state, "seen": 0}
        for (repo, number), (created, state) in sorted(seen.issues.items())
    ]
    write_table(hour.into / f"{hour.name}.counts.parquet", pa.Table.from_pylist(counts, schema=_COUNTS))
    write_table(hour.into / f"{hour.name}.issues.parquet", pa.Table.from_pylist(issues, schema=_ISSUES))
    with atomic(hour.into / f"{hour.name}.json") as temporary:
        told = {"events": seen.events, "broken": seen.broken, "truncated": seen.truncated}
        temporary.write_text(json.dumps(told), encoding="utf-8")
    return hour.name


def scan(path: Path) -> Seen:
    """Read the lines of one dump; what a cut file still gives is taken."""
    seen = Seen()
    heads: dict[bytes, list[bytes]] = {name.encode(): [] for name in COUNTED}
    others = 0
    for line in lines(path, seen):
        head = _HEAD.match(line)
        # quotes within JSON strings are escaped, so a mark is one; a brace would be an object within `actor`
        if head is None or head[1] in _WHOLE or not line.endswith(b"}") or b"{" in head[2]:
            _parsed(line, seen)
        elif head[1] in heads:
            heads[head[1]].append(head[3])
        else:
            others += 1
    seen.events += others + sum(map(len, heads.values()))
    for kind, keys in heads.items():
        for key, count in Counter(keys).items():
            match = _KEY.fullmatch(key)
            if match is None:
                seen.events, seen.broken = seen.events - count, seen.broken + count
            else:
                seen.count(int(match[1]), match[2].decode("utf-8", "replace"), COUNTED[kind.decode()], count)
    return seen


def lines(path: Path, seen: Seen) -> Iterator[bytes]:
    """The lines of a gzipped file without their ends; `seen.truncated` when it is cut short or damaged."""
    rest = b""
    for block in _blocks(path, seen):
        whole = (rest + block).split(b"\n")
        rest = whole.pop()
        if len(rest) > MAX_LINE:
            seen.broken, rest = seen.broken + 1, b""
        yield from (line for line in whole if line)
    if rest.strip():
        yield rest


def _blocks(path: Path, seen: Seen) -> Iterator[bytes]:
    """Decompressed blocks of a few megabytes; several gzip members in a row are one file."""
    inflate = zlib.decompressobj(31)
    with path.open("rb") as stream:
        raw = stream.read(CHUNK)
        while raw:
            try:
                block = inflate.decompress(raw, 8 * CHUNK)
            except zlib.error:
                seen.truncated = True
                return
            yield block
            if inflate.eof:
                raw = inflate.unused_data or stream.read(CHUNK)
                inflate = zlib.decompressobj(31) if raw else inflate
            else:
                raw = inflate.unconsumed_tail or stream.read(CHUNK)
    yield inflate.flush()
    seen.truncated = not inflate.eof


def _parsed(line: bytes, seen: Seen) -> None:
    """A line that must be read as a whole."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        seen.broken += 1
        return
    repo = event.get("repo") if isinstance(event, dict) else None
    number, name = (repo.get("id"), repo.get("name")) if isinstance(repo, dict) else (None, None)
    if not isinstance(number, int) or not isinstance(name, str) or not 0 <= number < 1 << 60:
        seen.broken += 1
        return
    seen.events += 1
    kind, payload = event.get("type"), event.get("payload")
    if isinstance(kind, str) and kind in COUNTED:
        seen.count(number, name, COUNTED[kind])
    elif kind in ("IssuesEvent", "IssueCommentEvent") and isinstance(payload, dict):
        _issue(number, name, kind, payload, seen)


def _issue(repo: int, name: str, kind: str, payload: dict[str, Any], seen: Seen) -> None:
    """An issue as an event shows it; comments on pull requests, which come the same way, are passed over."""
    issue = payload.get("issue")
    if not isinstance(issue, dict) or "pull_request" in issue:
        return
    number, created = issue.get("number"), moment(str(issue.get("created_at")))
    action = payload.get("action")
    if kind == "IssuesEvent" and action in ("opened", "closed"):
        seen.count(repo, name, f"issues_{action}")
    if not isinstance(number, int) or not 0 <= number < 1 << 60 or created is None:
        return
    state = action != "closed" if kind == "IssuesEvent" else issue.get("state") == "open"
    seen.issues[repo, number] = (int(created.timestamp()), state)
    seen.row(repo, name)


def merged(folder: Path, hours: list[str]) -> list[dict[str, Any]]:
    """Per repository the sums over all hours, its last name, and when its oldest issue that is still open was made.

    Order: most stars first, then by name. `oldest_issue` is in seconds since 1970, None where no open one was seen.
    """
    counts = pa.concat_tables([pq.read_table(folder / f"{name}.counts.parquet") for name in hours])
    summed = counts.group_by("id", use_threads=False).aggregate(
        [("name", "last"), *((column, "sum") for column in COLUMNS)]
    )
    issues = pa.concat_tables([pq.read_table(folder / f"{name}.issues.parquet") for name in hours])
    last = issues.group_by(["id", "number"], use_threads=False).aggregate([("created", "last"), ("open", "last")])
    still = last.filter(last["open_last"]).group_by("id").aggregate([("created_last", "min")])
    oldest = dict(zip(still["id"].to_pylist(), still["created_last_min"].to_pylist(), strict=True))
    rows = [
        {
            "name": row["name_last"],
            **{column: row[f"{column}_sum"] for column in COLUMNS},
            "oldest_issue": oldest.get(row["id"]),
        }
        for row in summed.to_pylist()
        if FULL_NAME.fullmatch(row["name_last"])
    ]
    return sorted(rows, key=lambda row: (-row["stars"], row["name"]))
