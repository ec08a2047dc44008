"""Traffic: what is asked of a served model and what becomes of its answers, as counts alone.

A server adds each request and each event of an editor to the counts of the period, the language and the model; at the
end of a period they become lines of `<folder>/YYYY-MM-DD.jsonl`. No code, no names, no addresses: sums, histograms and
token bags (`buril.code.tokenbag`), so that files can be kept for years and shown to anyone.

- Several processes may write: a line is one `write` to a file opened for appending. A crash loses the periods that were
  not written; a line it cut short is passed over, and costs no other line.
- Bounded: at most `MAX_KEYS` pairs of language and model a period and `MAX_NAMES` names a pair; others are `other`.
- A token bag is written when `LEAST` requests are in it. Till then it waits in memory for the next period.

All values are whole numbers (thousandths where a fraction is needed), so that sums do not depend on the order.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from buril.code.tokenbag import BINS, I64, add_bag, from_text, to_text
from buril.code.tokenbag import VERSION as BAG_VERSION
from buril.core.artifact import atomic

FORMAT = 1
PERIOD_S, HOUR_S, DAY_S = 300, 3600, 86_400
LEAST = 20
"""Requests that a token bag holds before it is written."""
MAX_KEYS, MAX_NAMES, OTHER = 64, 64, "other"
KINDS = ("prompt", "completion")
EVENTS = ("shown", "accepted", "partial", "rejected", "persisted")
LATENCY_MS = tuple(round(10 * 10 ** (step / 8)) for step in range(30))
"""Upper ends of the bins of latency, an eighth of a decade apart, from 10 ms to 42 s; one more bin is above them."""
LOGPROB_BINS = 50
"""Bins of a mean log-probability, a fifth of a nat each, from 0 down to -10; the last holds what is below too."""
LENGTHS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
"""Upper ends of the bins of accepted characters."""
ERRORS = (0, 1, 2, 4)
"""Upper ends of the bins of parse errors."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_.+#-]{0,39}\Z")
_DIGEST = re.compile(r"[0-9a-f]{6,64}\Z")


class Key(NamedTuple):
    """Whom a set of counts is of."""

    language: str
    model: str


@dataclass
class Counts:
    """Whole numbers by name, small histograms by name, and a token bag for each kind of text."""

    numbers: Counter[str] = field(default_factory=Counter)
    histograms: dict[str, Counter[int]] = field(default_factory=dict)
    bags: dict[str, I64] = field(default_factory=dict)

    def add(self, other: Counts) -> None:
        """Take another's counts in; the order in which many are taken in changes nothing."""
        self.numbers.update(other.numbers)
        for name, bins in other.histograms.items():
            self.histograms.setdefault(name, Counter()).update(bins)
        for kind, bag in other.bags.items():
            self.bags[kind] = self.bags[kind] + bag if kind in self.bags else bag.copy()

    def count(self, name: str, place: int) -> None:
        """Add one to a bin of a histogram."""
        self.histograms.setdefault(name, Counter())[place] += 1

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "numbers": dict(sorted(self.numbers.items())),
            "histograms": {
                name: {str(place): bins[place] for place in sorted(bins)}
                for name, bins in sorted(self.histograms.items())
            },
            "bags": {kind: to_text(bag) for kind, bag in sorted(self.bags.items())},
        }

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Counts:
        """The counts that `plain` wrote.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: when it did not.
        """
        return cls(
            Counter({str(name): int(value) for name, value in raw["numbers"].items()}),
            {
                str(name): Counter({int(place): int(value) for place, value in bins.items()})
                for name, bins in raw["histograms"].items()
            },
            {str(kind): from_text(text) for kind, text in raw["bags"].items()},
        )


@dataclass(frozen=True)
class Served:
    """One answered request. `prompt` and `completion` are read once for their token bags and not kept.

    Attributes:
        language: of the code, as buril names it.
        model: digest of the model.
        prompt: the text before the place where the model wrote, and what stands after it where that is known.
        completion: what was sent.
        latency_s: from the request to the last token.
        first_s: from the request to the first token.
        tokens_in: tokens of the prompt.
        tokens_out: tokens of the answer.
        finish: why it ended (`stop`, `length`, `cancelled`, …).
        parse_errors: errors in the tree of the file with the completion in it that were not there before.
        logprob: sum of the log-probabilities of the answer's tokens, in nats.
        findings: weaknesses that scanners saw in the completion.
        guards: what guards did, each as `GUARD.ACTION`.
        cached: whether the answer came from the cache.
    """

    language: str
    model: str
    prompt: str
    completion: str
    latency_s: float
    first_s: float | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    finish: str = "stop"
    parse_errors: int | None = None
    logprob: float | None = None
    findings: int = 0
    guards: tuple[str, ...] = ()
    cached: bool = False


@dataclass(frozen=True)
class Shown:
    """What became of a completion in an editor. `kind` is one of `EVENTS`; `persisted` ones are still there later."""

    language: str
    model: str
    kind: str
    chars: int = 0
    lines: int = 0
    findings: int = 0


class Line(NamedTuple):
    """One line of a file: the start of its period in seconds since the epoch, whose it is, and the counts."""

    start: int
    key: Key
    counts: Counts


class TrafficWriter:
    """Adds up what is served, and writes each period when it is over. Safe to share between threads.

    `tick` writes what is due; a server calls it now and then, so that a quiet hour is not kept in memory.

    Example:
        `TrafficWriter(folder).request(Served("python", digest, prompt, completion, 0.2))`
    """

    def __init__(self, folder: Path, *, period_s: int = PERIOD_S, least: int = LEAST) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.period_s, self.least = folder, period_s, least
        self._lock = threading.Lock()
        self._start = self._now()
        self._counts: dict[Key, Counts] = {}
        self._bags: dict[tuple[Key, str], tuple[int, I64]] = {}

    def request(self, served: Served) -> None:
        """Add one answered request."""
        with self._lock:
            self._tick()
            key, counts = self._at(served.language, served.model)
            _add_request(counts, served)
            for kind, text in zip(KINDS, (served.prompt, served.completion), strict=True):
                if text and not (kind == "completion" and served.cached):
                    held, bag = self._bags.get((key, kind)) or (0, np.zeros(BINS, np.int64))
                    add_bag(text, bag)
                    self._bags[key, kind] = held + 1, bag

    def event(self, shown: Shown) -> None:
        """Add one event of an editor; of a kind that is not known it is none."""
        if shown.kind not in EVENTS:
            return
        with self._lock:
            self._tick()
            _key, counts = self._at(shown.language, shown.model)
            counts.numbers[shown.kind] += 1
            if shown.kind in ("accepted", "partial"):
                counts.numbers["accepted_chars"] += shown.chars
                counts.numbers["accepted_lines"] += shown.lines
                counts.numbers["accepted_findings"] += shown.findings
                counts.count("accepted_chars", _bin(shown.chars, LENGTHS))

    def tick(self) -> None:
        """Write the period, if it is over."""
        with self._lock:
            self._tick()

    def close(self) -> None:
        """Write what there is, but for token bags of too few requests: those are forgotten."""
        with self._lock:
            self._write()

    def _now(self) -> int:
        return int(time.time()) // self.period_s * self.period_s

    def _tick(self) -> None:
        now = self._now()
        if now != self._start:
            self._write()
            self._start = now

    def _at(self, language: str, model: str) -> tuple[Key, Counts]:
        """The counts of a language and a model; when there are too many, those of the others."""
        key = Key(language if _NAME.match(language) else OTHER, model if _DIGEST.match(model) else OTHER)
        if key not in self._counts and len(self._counts) >= MAX_KEYS:
            key = Key(OTHER, OTHER)
        return key, self._counts.setdefault(key, Counts())

    def _write(self) -> None:
        for (key, kind), (held, bag) in list(self._bags.items()):
            if held >= self.least:
                counts = self._counts.setdefault(key, Counts())
                counts.bags[kind] = bag
                counts.numbers[f"bag.{kind}"] += held
                del self._bags[key, kind]
        if len(self._bags) > MAX_KEYS * len(KINDS):  # of models that are served no more
            self._bags.clear()
        day = datetime.datetime.fromtimestamp(self._start, datetime.timezone.utc).strftime("%Y-%m-%d")
        for key, counts in sorted(self._counts.items()):
            _append(self.folder / f"{day}.jsonl", _text(Line(self._start, key, counts), self.period_s))
        self._counts = {}


def _add_request(counts: Counts, served: Served) -> None:
    numbers = counts.numbers
    numbers.update(
        requests=1, tokens_in=served.tokens_in, tokens_out=served.tokens_out, findings=served.findings,
        cache_hits=int(served.cached), chars_in=len(served.prompt), chars_out=len(served.completion),
    )  # fmt: skip
    numbers["latency_ms"] += round(served.latency_s * 1000)
    counts.count("latency_ms", _bin(round(served.latency_s * 1000), LATENCY_MS))
    if served.first_s is not None:
        counts.count("first_ms", _bin(round(served.first_s * 1000), LATENCY_MS))
    for name in (f"finish.{served.finish}", *(f"guard.{action}" for action in served.guards)):
        numbers[_known(name, numbers)] += 1
    if served.parse_errors is not None:
        numbers["parsed"] += 1
        numbers["parse_errors"] += served.parse_errors
        counts.count("parse_errors", _bin(served.parse_errors, ERRORS))
    if served.logprob is not None and served.tokens_out:
        mean = min(0.0, served.logprob / served.tokens_out)
        milli = max(-100_000, round(mean * 1000))
        numbers.update(logprob_n=1, logprob_milli=milli, logprob_milli2=milli * milli)
        counts.count("logprob", min(LOGPROB_BINS - 1, int(-mean * 5)))


def _known(name: str, numbers: Counter[str]) -> str:
    """A name as it may be counted: a plain one, of which there are not too many."""
    family = name.partition(".")[0]
    fits = _NAME.match(name) and (name in numbers or len(numbers) < MAX_NAMES)
    return name if fits else f"{family}.{OTHER}"


def _bin(value: int, ends: tuple[int, ...]) -> int:
    return int(np.searchsorted(ends, value))


def _text(line: Line, period_s: int) -> str:
    told = {"format": FORMAT, "bag": BAG_VERSION, "start": line.start, "period_s": period_s, **line.key._asdict()}
    return json.dumps({**told, **line.counts.plain()}, separators=(",", ":"))


def _append(path: Path, text: str) -> None:
    """One line by one `write`. It begins with a line break of its own: what a crash cut short before it stays apart."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"\n{text}\n".encode())
    finally:
        os.close(handle)


def read_traffic(folder: Path, *, since: float = 0.0, until: float = float("inf")) -> Iterator[Line]:
    """The lines of all files whose period begins in [since, until), by day; torn and foreign lines are passed over."""
    for path in sorted(folder.glob("????-??-??.jsonl")):
        day = _day_of(path)
        if day is None or day + DAY_S <= since or day >= until:
            continue
        with path.open(encoding="utf-8", errors="replace") as stream:
            yield from (line for line in _lines(stream) if since <= line.start < until)


def compact(folder: Path, *, before: float) -> int:
    """Rewrite the files of days that ended before a time: one line an hour and key, one bag a day; gives how many.

    Such a file is some tens of kilobytes a language. A file that grows meanwhile is left as it is.
    """
    done = 0
    for path in sorted(folder.glob("????-??-??.jsonl")):
        start, size = _day_of(path), path.stat().st_size
        if start is None or start + DAY_S > before:
            continue
        with path.open(encoding="utf-8", errors="replace") as stream:
            lines = list(_lines(stream))
        merged = _merged(lines)
        if len(merged) == len(lines):
            continue
        with atomic(path) as temporary:
            temporary.write_text("".join(f"{_text(line, HOUR_S)}\n" for line in merged), encoding="utf-8")
            temporary.chmod(0o600)
            if path.stat().st_size != size:
                temporary.write_bytes(path.read_bytes())
                continue
        done += 1
    return done


def _merged(lines: Iterable[Line]) -> list[Line]:
    """The counts of each hour and key; the bags of a day stand in its first hour."""
    hours: dict[tuple[Key, int], Counts] = {}
    for line in sorted(lines, key=lambda item: (item.key, item.start)):
        hour = line.start // HOUR_S * HOUR_S
        bags, numbers = line.counts.bags, line.counts.numbers
        held = {name: numbers.pop(name) for name in [f"bag.{kind}" for kind in KINDS] if name in numbers}
        first = next((known for known in hours if known[0] == line.key), (line.key, hour))
        hours.setdefault((line.key, hour), Counts()).add(Counts(numbers, line.counts.histograms))
        hours[first].add(Counts(Counter(held), {}, bags))
    return [Line(hour, key, counts) for (key, hour), counts in hours.items()]


def _day_of(path: Path) -> float | None:
    """When the day of a file began; None where its name is no day."""
    try:
        return datetime.datetime.strptime(path.stem, "%Y-%m-%d").replace(tzinfo=datetime.timezone.utc).timestamp()
    except ValueError:
        return None


def _lines(stream: Iterable[str]) -> Iterator[Line]:
    for text in stream:
        if not text.strip() or not text.endswith("\n"):
            continue
        try:
            raw = json.loads(text)
            if raw["format"] == FORMAT and raw["bag"] == BAG_VERSION:
                yield Line(int(raw["start"]), Key(str(raw["language"]), str(raw["model"])), Counts.of(raw))
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
