"""Test coverage that a repository states itself: reports that its tools wrote and somebody committed, and badges.

Every reader gives covered and all lines (or statements, where the format counts those), never a guess: a report that is
cut short, empty or of another form gives None. XML is read as a stream of tags; a document that declares entities is
refused, nothing is ever loaded from elsewhere, so neither expansion nor a look at other files is possible.
What it does not do: it does not check a report against the code, which may have changed since.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from xml.parsers import expat

MAX_REPORT_BYTES = 32_000_000
"""Larger reports are left unread."""
_PERCENT = r"(\d{1,3}(?:[.,]\d+)?)\s?(?:%25|%)"
_BADGE_URL = re.compile(rf"badge/(?:code[_ -]?|test[_ -]?)?coverage-{_PERCENT}", re.IGNORECASE)
_BADGE_TEXT = re.compile(r">\s*(\d{1,3}(?:\.\d+)?)\s*%\s*<")
_GO_LINE = re.compile(rb"(\S.*:\d+\.\d+,\d+\.\d+) (\d+) (\d+)")


class Covered(NamedTuple):
    """How much of a code tests reach: `hit` of `total` lines or statements."""

    hit: float
    total: float

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.hit / self.total


Reader = Callable[[bytes], "Covered | None"]


def covered(hit: object, total: object) -> Covered | None:
    """Both numbers, where they can be the counts of a report: finite, 0 ≤ hit ≤ total, total > 0."""
    try:
        pair = Covered(float(str(hit)), float(str(total)))
    except ValueError:
        return None
    sound = math.isfinite(pair.hit) and math.isfinite(pair.total) and 0 <= pair.hit <= pair.total and pair.total > 0
    return pair if sound else None


# --- XML: Cobertura (also coverage.py's and gcovr's), JaCoCo, Clover


class _Refused(Exception):
    """The document declares entities."""


class _Tags:
    """What the three XML forms need of a document: the root, and a few tags with the path they stand at."""

    def __init__(self) -> None:
        self.root = ""
        self.attributes: dict[str, str] = {}
        self.lines = [0, 0]  # <line hits="…"> of Cobertura: hit, all
        self.metrics: dict[str, str] = {}  # <metrics> right below Clover's <project>
        self.counters: dict[str, dict[str, str]] = {}  # <counter type="…"> right below JaCoCo's <report>
        self._path: list[str] = []
        self._seen: set[tuple[str, str]] = set()
        self._file = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path:
            self.root, self.attributes = name, attributes
        if name == "class":
            self._file = attributes.get("filename", "")
        elif name == "line" and "hits" in attributes:
            self._line(attributes)
        elif name == "metrics" and self._path == ["coverage", "project"]:
            self.metrics = attributes
        elif name == "counter" and self._path == ["report"]:
            self.counters[attributes.get("type", "")] = attributes
        self._path.append(name)

    def end(self, name: str) -> None:
        self._path.pop()

    def _line(self, attributes: dict[str, str]) -> None:
        """Methods repeat the lines of their class: a line of a file counts once."""
        place = (self._file, attributes.get("number", ""))
        if place not in self._seen:
            self._seen.add(place)
            self.lines[0] += attributes["hits"].strip() not in ("", "0")
            self.lines[1] += 1


def of_xml(raw: bytes) -> Covered | None:
    """Lines of a Cobertura or JaCoCo report, statements of a Clover report; None for any other document."""
    tags, parser = _Tags(), expat.ParserCreate()

    def refuse(*_declared: Any) -> int:
        raise _Refused

    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = tags.start
    parser.EndElementHandler = tags.end
    try:
        parser.Parse(raw, True)
    except (expat.ExpatError, _Refused, ValueError, LookupError):
        return None
    if tags.root == "report":
        counter = tags.counters.get("LINE") or tags.counters.get("INSTRUCTION") or {}
        hit, missed = counter.get("covered", ""), counter.get("missed", "")
        return covered(hit, int(hit) + int(missed)) if hit.isdecimal() and missed.isdecimal() else None
    if tags.root != "coverage":
        return None
    if tags.metrics:
        return covered(tags.metrics.get("coveredstatements"), tags.metrics.get("statements"))
    stated = covered(tags.attributes.get("lines-covered"), tags.attributes.get("lines-valid"))
    return stated or covered(*tags.lines) or covered(tags.attributes.get("line-rate"), 1)


# --- text and JSON


def of_lcov(raw: bytes) -> Covered | None:
    """Lines of an `lcov.info`: its totals by file (LH, LF), or its lines (DA) where a file has no totals."""
    hit = total = 0
    file_hit = file_total = da_hit = da_total = 0
    ended = True
    for line in raw.splitlines():
        tag, _, value = line.strip().partition(b":")
        if tag == b"DA":
            ended = False
            count = value.split(b",")[1] if b"," in value else b""
            da_total, da_hit = da_total + 1, da_hit + (count.strip().lstrip(b"-").isdigit() and int(count) > 0)
        elif tag in (b"LF", b"LH") and value.isdigit():
            file_total, file_hit = (int(value), file_hit) if tag == b"LF" else (file_total, int(value))
        elif tag == b"end_of_record":
            hit, total = hit + (file_hit if file_total else da_hit), total + (file_total or da_total)
            file_hit = file_total = da_hit = da_total = 0
            ended = True
    return covered(hit, total) if ended else None


def of_json(raw: bytes) -> Covered | None:
    """A report of coverage.py, Istanbul (whole or summary) or SimpleCov (`.last_run.json`)."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    totals, total, result = value.get("totals"), value.get("total"), value.get("result")
    if isinstance(totals, dict):
        return covered(totals.get("covered_lines"), totals.get("num_statements"))
    if isinstance(total, dict) and isinstance(total.get("lines"), dict):
        return covered(total["lines"].get("covered"), total["lines"].get("total"))
    if isinstance(result, dict):
        return covered(result.get("line", result.get("covered_percent")), 100)
    return _of_istanbul(value)


def _of_istanbul(value: dict[str, Any]) -> Covered | None:
    """Statements of a `coverage-final.json`: file → `s`, the count of each statement."""
    counts: list[object] = []
    for entry in value.values():
        statements = entry.get("s") if isinstance(entry, dict) else None
        if not isinstance(statements, dict):
            return None
        counts.extend(statements.values())
    if not all(isinstance(count, int) for count in counts):
        return None
    return covered(sum(count != 0 for count in counts), len(counts))


def of_go(raw: bytes) -> Covered | None:
    """Statements of a Go cover profile; a block that several packages' tests reported counts once."""
    lines = raw.split(b"\n")
    if not lines[0].startswith(b"mode: "):
        return None
    blocks: dict[bytes, tuple[int, bool]] = {}
    for line in lines[1:]:
        if not line.strip():
            continue
        match = _GO_LINE.fullmatch(line.strip())
        if match is None:
            return None
        known = blocks.get(match[1], (0, False))
        blocks[match[1]] = (int(match[2]), known[1] or int(match[3]) > 0)
    return covered(sum(size for size, hit in blocks.values() if hit), sum(size for size, _hit in blocks.values()))


def of_readme(text: str) -> float | None:
    """The share that a static badge in a README states (`badge/coverage-87%25-green`), 0 to 1."""
    match = _BADGE_URL.search(text)
    return _share(match[1].replace(",", ".")) if match else None


def of_badge(text: str) -> float | None:
    """The share that the picture (SVG) of a coverage badge shows, 0 to 1; None for `unknown`."""
    shown = {match[1] for match in _BADGE_TEXT.finditer(text)}
    return _share(shown.pop()) if len(shown) == 1 else None


def _share(percent: str) -> float | None:
    found = covered(percent, 100)
    return found.share if found else None


# --- which file is which

_READERS: tuple[tuple[re.Pattern[str], Reader], ...] = (
    (re.compile(r"(?:cobertura|coverage|cobertura-coverage|coverage\.cobertura)\.xml"), of_xml),
    (re.compile(r"jacoco(?:testreport)?\.xml"), of_xml),
    (re.compile(r"lcov\.info|(?:coverage|lcov)\.lcov|coverage\.info"), of_lcov),
    (re.compile(r"clover\.xml"), of_xml),
    (re.compile(r"coverage(?:-final|-summary)?\.json"), of_json),
    (re.compile(r"cover(?:age)?\.out|c\.out|coverprofile|coverage\.txt"), of_go),
    (re.compile(r"\.last_run\.json"), of_json),
)
_ELSEWHERE = frozenset(
    {
        "test", "tests", "testing", "testdata", "test-data", "fixture", "fixtures", "__fixtures__", "spec", "specs",
        "example", "examples", "sample", "samples", "node_modules", "vendor", "third_party", "third-party", "doc",
        "docs", "site-packages",
    }
)  # fmt: skip
MAX_DEPTH = 4


def rank(path: str) -> int | None:
    """How far in front a file stands among reports, by its name: 0 is first; None where it is none.

    Reports below folders of tests, fixtures, examples or other people's code say nothing of this repository.
    """
    parts = PurePosixPath(path.lower()).parts
    if not parts or len(parts) > MAX_DEPTH or not _ELSEWHERE.isdisjoint(parts[:-1]):
        return None
    return next((place for place, (name, _read) in enumerate(_READERS) if name.fullmatch(parts[-1])), None)


def of_file(path: str, raw: bytes) -> Covered | None:
    """The coverage that a committed report states; None when it is none, or none that can be read."""
    place = rank(path)
    if place is None or len(raw) > MAX_REPORT_BYTES:
        return None
    try:
        return _READERS[place][1](raw)
    except ValueError:  # a number of thousands of digits
        return None
