"""How fast a stage is and how long it still takes, from its progress events alone."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from buril.cli.common import duration, size
from buril.core.events import Event
from buril.core.text import _

WINDOW_S = 30.0
"""The rate is that of the last half minute: after a resume, or where files grow larger, an older one misleads."""
MIN_POINTS = 4
"""Kept however old they are, for stages that report once in minutes."""
MIN_S = 2.0
"""No rate is told of less time than this."""
MAX_REASONS = 3


class Point(NamedTuple):
    """What was done at a time: in the event's unit, and in bytes where it says so."""

    time: float
    done: float
    num_bytes: float


class Pace:
    """Follows the progress of one stage after another."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque([Point(0.0, 0.0, 0.0)])
        self._unit = ""
        self._total = 0.0

    def start(self, event: Event) -> None:
        """A stage has started."""
        self._points = deque([Point(event["time"], 0.0, 0.0)])
        self._unit, self._total = "", 0.0

    def see(self, event: Event) -> None:
        """A stage has told how far it is."""
        last = self._points[-1]
        point = Point(event["time"], float(event["done"]), float(event.get("bytes") or 0))
        if (self._unit and event["unit"] != self._unit) or point.done < last.done:  # another piece of its work
            self._points = deque([Point(last.time, 0.0, 0.0)])
        self._unit, self._total = event["unit"], float(event.get("total") or 0)
        self._points.append(point)
        while len(self._points) > MIN_POINTS and self._points[1].time < point.time - WINDOW_S:
            self._points.popleft()

    def line(self) -> str:
        """`12.3 MB/s · 0:34 left`; empty before there is a pace."""
        first, last = self._points[0], self._points[-1]
        spent, done = last.time - first.time, last.done - first.done
        if spent < MIN_S or done <= 0:
            return ""
        rates = [] if self._unit == "s" else [_rate(done / spent, self._unit)]  # a second a second says nothing
        if last.num_bytes > first.num_bytes and self._unit != "bytes":
            rates.append(_rate((last.num_bytes - first.num_bytes) / spent, "bytes"))
        if last.done < self._total:
            rates.append(_("{time} left").format(time=duration(spent * (self._total - last.done) / done)))
        return " · ".join(rates)


def drops_line(event: Event) -> str:
    """What was dropped so far, the commonest reasons first: `dropped 1,204: minified 900, secrets 280, syntax 24`."""
    dropped = event.get("dropped")
    if not isinstance(dropped, dict) or not dropped:
        return ""
    most = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{reason} {count:,}" for reason, count in most[:MAX_REASONS])
    if len(most) > MAX_REASONS:
        shown += ", …"
    return _("dropped {count}: {reasons}").format(count=f"{sum(dropped.values()):,}", reasons=shown)


def _rate(per_s: float, unit: str) -> str:
    """A rate as a person reads it: `3.1 MB/s`, `240 files/s`, `0.12 shards/s`."""
    if unit == _("bytes") or unit == "bytes":
        return f"{size(per_s)}/s"
    return f"{per_s:,.0f} {_(unit)}/s" if per_s >= 10 else f"{per_s:.2g} {_(unit)}/s"
