"""Events: one append-only `events.jsonl` a run. The terminal, the pages and every other display are readers of it.

An event is one JSON object a line with at least `time` (seconds since the epoch), `kind` and, where it belongs to
one, `stage`. Kinds: `run_start`, `stage_start`, `stage_reuse`, `stage_wait`, `stage_part`, `progress`, `metric`,
`note`, `warning`, `stage_end`, `stage_failed`, `run_end`.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]


class EventLog:
    """The writer: one line an event, written by a single `write` to a file opened for appending, so lines never mix."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def emit(self, kind: str, stage: str | None = None, **values: Any) -> None:
        """Append one event; values must be plain JSON."""
        event = {"time": round(time.time(), 3), "kind": kind, **({"stage": stage} if stage else {}), **values}
        os.write(self._fd, (json.dumps(event, ensure_ascii=False, default=str) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def read_events(path: Path) -> list[Event]:
    """All whole events of a log; a line cut short by a crash is left out."""
    return list(_lines(path)) if path.exists() else []


def _lines(path: Path) -> Iterator[Event]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if line.endswith("\n"):
                try:
                    yield json.loads(line)
                except json.JSONDecodeError:
                    continue


def follow_events(path: Path, stop: Callable[[], bool], interval_s: float = 0.1) -> Iterator[Event]:
    """Events as they are written, until `stop()` is true and everything written has been read."""
    buffer = b""
    with path.open("rb") as stream:
        while True:
            last = stop()
            buffer += stream.read()
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                try:
                    yield json.loads(line)
                except json.JSONDecodeError:
                    continue
            if last:
                return
            time.sleep(interval_s)


class Reader:
    """A display that follows a run in a thread of its own and never touches the run itself."""

    def __init__(self, path: Path, show: Callable[[Event], None]) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(path, show), daemon=True)
        self._thread.start()

    def _read(self, path: Path, show: Callable[[Event], None]) -> None:
        for event in follow_events(path, self._stopped.is_set):
            show(event)

    def close(self) -> None:
        """Read to the end, then stop."""
        self._stopped.set()
        self._thread.join()
