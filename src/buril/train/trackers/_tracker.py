"""What a tracker plugin is, and the thread that feeds one: a reader of events that never touches the training."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from buril.core.events import Event, Reader
from buril.core.stage import Output
from buril.core.text import _

INTERVAL_S = 1.0
"""Seconds in which points are gathered before they are sent together."""
RETRY_S = (2.0, 60.0)
"""The first and the longest wait before what failed is tried again; it doubles in between."""
PATIENCE_S = 30.0
"""Seconds that a finished training waits for a tracker to take the rest."""
End = Literal["finished", "failed", "interrupted"]


class Unreachable(Exception):
    """What a tracker raises when a place does not take what it is sent; the same is tried again later."""


@dataclass(frozen=True)
class Point:
    """What was measured at a step. `time` is in seconds since the epoch; names of values may hold slashes."""

    step: int
    time: float
    values: dict[str, float]


@dataclass(frozen=True)
class Tracked:
    """The training that is tracked.

    Attributes:
        folder: the artifact being written; what goes below its `logs/` is no part of its identity.
        memory: a folder that survives an interruption: where a tracker notes what it has to go on with.
        parameters: the settings that bear identity, and what is known of the data, by name.
        tags: stage → digest of what it was made from.
    """

    folder: Path
    memory: Path
    parameters: Mapping[str, Any]
    tags: Mapping[str, str]


class Tracker(Protocol):
    """A plugin of the kind `tracker`.

    `check` is called before the training, in its own thread; all else in a thread of the tracker's, so it may be slow.
    """

    def check(self) -> None:
        """Find what is wrong with the settings, without any network.

        Raises:
            BurilError: what the user has to mend.
        """

    def open(self, run: Tracked) -> None:
        """Begin a run, or go on with the one that `run.memory` tells of.

        Raises:
            Unreachable: it is called again later.
        """

    def record(self, points: Sequence[Point]) -> None:
        """Take points, in order. After an interruption some come a second time.

        Raises:
            Unreachable: the same points, and later ones, come again.
        """

    def finish(self, files: Path, digest: str) -> None:
        """Take what came out.

        Args:
            files: the folder of the finished adapter or model.
            digest: of the artifact that it is part of.

        Raises:
            Unreachable: it is called again.
        """

    def close(self, end: End) -> None:
        """The training is over; nothing comes after.

        Raises:
            Unreachable: nothing is tried again.
        """


def flatten(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an event by name; those of a mapping or a list get a slash and their own name or place.

    Example:
        `flatten({"loss": 1.5, "norms": {"mlp": 2}})` → `{"loss": 1.5, "norms/mlp": 2.0}`.
    """
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, bool | str) or value is None:
            continue
        if isinstance(value, int | float):
            found[name] = float(value)
        else:
            inner = value if isinstance(value, Mapping) else {f"{place:02d}": item for place, item in enumerate(value)}
            found |= {f"{name}/{key}": item for key, item in flatten(inner).items()}
    return found


def point_of(event: Event, stage: str) -> Point | None:
    """The point that an event of a stage tells of, or None."""
    if event.get("kind") != "metric" or event.get("stage") != stage or "step" not in event:
        return None
    values = flatten({name: value for name, value in event.items() if name not in ("kind", "stage", "step", "time")})
    return Point(int(event["step"]), float(event["time"]), values)


class Delivery:
    """One tracker and its thread: gathers points, sends them, tries again what failed, and says so once.

    Args:
        name: of the tracker, for the warning.
        tracker: gets everything in the thread of its own.
        run: what is tracked.
        warn: tells the user.
    """

    def __init__(self, name: str, tracker: Tracker, run: Tracked, warn: Callable[[str], None]) -> None:
        self.name, self._tracker, self._warn = name, tracker, warn
        self._queue: queue.SimpleQueue[Point] = queue.SimpleQueue()
        self._pending: list[Point] = []
        self._first: list[Callable[[], None]] = [lambda: tracker.open(run)]
        self._last: list[Callable[[], None]] = []
        self._ending = threading.Event()
        self._warned = False
        self._thread = threading.Thread(target=self._work, name=f"tracker-{name}", daemon=True)
        self._thread.start()

    def put(self, point: Point) -> None:
        """Take a point; returns at once."""
        self._queue.put(point)

    def end(self, end: End, finished: tuple[Path, str] | None = None) -> None:
        """Let the rest be sent, with the folder and digest of what came out, and close; it waits `PATIENCE_S` at most.

        What still does not arrive is said, and is no failure: a training is worth more than its curves.
        """
        if finished:
            self._last.append(lambda: self._tracker.finish(*finished))
        self._last.append(lambda: self._tracker.close(end))
        self._ending.set()
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            self._tell(_("it did not answer in time"))
        elif self._last:
            self._tell(_("it ended before the training"))

    def _work(self) -> None:
        wait_s, next_try = RETRY_S[0], 0.0
        while not self._ending.is_set():
            self._gather()
            if time.monotonic() >= next_try and not self._send(self._first):
                next_try = time.monotonic() + wait_s
                wait_s = min(RETRY_S[1], 2 * wait_s)
        self._take_all()
        if self._send(self._first):
            self._do(self._last)

    def _gather(self) -> None:
        self._ending.wait(INTERVAL_S)
        self._take_all()

    def _take_all(self) -> None:
        while not self._queue.empty():  # nobody else takes from it
            self._pending.append(self._queue.get())

    def _send(self, before: list[Callable[[], None]]) -> bool:
        """Send what is pending after what comes before it; False where that failed and is left for another time."""
        if not self._do(before):
            return False
        points = list(self._pending)
        sent = not points or self._do([lambda: self._tracker.record(points)])
        if sent:
            self._pending = self._pending[len(points) :]
        return sent

    def _do(self, jobs: list[Callable[[], None]]) -> bool:
        """Do things in order, each taken off the list when it is done."""
        try:
            while jobs:
                jobs[0]()
                jobs.pop(0)
        except Unreachable as problem:
            self._tell(str(problem))
            return False
        return True

    def _tell(self, problem: str) -> None:
        if not self._warned:
            self._warned = True
            text = _("`{name}` does not take the curves ({problem}); training goes on, and they are in its events")
            self._warn(text.format(name=self.name, problem=problem))


class Following:
    """The trackers of a training, each following its events in a thread of its own.

    Args:
        trackers: by name.
        run: what is tracked.
        out: the stage's output, whose events are followed.
    """

    def __init__(self, trackers: Mapping[str, Tracker], run: Tracked, out: Output) -> None:
        self._deliveries = [Delivery(name, tracker, run, out.warn) for name, tracker in trackers.items()]
        self._stage = out.stage
        self._reader = Reader(out.events_path, self._show) if trackers else None  # last: it begins at once

    def _show(self, event: Event) -> None:
        point = point_of(event, self._stage)
        if point:
            for delivery in self._deliveries:
                delivery.put(point)

    def end(self, end: End, finished: tuple[Path, str] | None = None) -> None:
        """See `Delivery.end`; all of them are waited for at the same time."""
        if self._reader:
            self._reader.close()  # it has read to the end then
            self._reader = None
            threads = [threading.Thread(target=delivery.end, args=(end, finished)) for delivery in self._deliveries]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


@contextmanager
def following(trackers: Mapping[str, Tracker], run: Tracked, out: Output) -> Iterator[Following]:
    """Follow a training; one that ends by an error or an interruption is closed as such."""
    found = Following(trackers, run, out)
    end: End = "failed"
    try:
        yield found
        end = "finished"
    except KeyboardInterrupt:
        end = "interrupted"
        raise
    finally:
        found.end(end)
