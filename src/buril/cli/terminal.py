"""The terminal as a reader of `events.jsonl`: drawn with rich where a person watches, plain lines anywhere else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from buril.cli.common import duration, size
from buril.cli.pace import Pace, drops_line
from buril.core.events import Event, EventLog, Reader
from buril.core.text import _

PLAIN_INTERVAL_S = 10.0
MAX_SHOWN = 5


def watch(events: EventLog) -> Reader | _Drawn:
    """Start the display that fits: rich on a terminal, plain lines otherwise or with NO_COLOR or a dumb terminal."""
    drawn = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return _Drawn(events) if drawn else Reader(events.path, Plain().show)


def metrics_line(metrics: dict[str, Any]) -> str:
    """The first few metrics of a stage on one line: `files 2,000 · bytes 12.1 MB`."""
    shown = [
        (name, value)
        for name, value in metrics.items()
        if isinstance(value, int | float | str) and value != "" and "." not in name  # dotted: results, told at the end
    ]
    return " · ".join(f"{name.replace('_', ' ')} {number(name, value)}" for name, value in shown[:MAX_SHOWN])


def number(name: str, value: Any) -> str:
    """A value as a person reads it; names that end in bytes, seconds or share say what it is."""
    if isinstance(value, bool | str):
        return str(value)
    if name.endswith("bytes"):
        return size(value)
    if name.endswith(("seconds", "_s")) and not name.endswith("per_s"):
        return duration(value)
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def progress_line(event: Event) -> str:
    """`38/60 steps · loss 1.92 · tokens per s 1,140`."""
    told = ("time", "kind", "stage", "done", "total", "unit", "bytes", "dropped")
    values = {key: value for key, value in event.items() if key not in told}
    rest = metrics_line(values)
    total = f"/{number(event['unit'], event['total'])}" if event.get("total") else ""
    return f"{number(event['unit'], event['done'])}{total} {_(event['unit'])}" + (f" · {rest}" if rest else "")


class Plain:
    """One line an event that matters; progress at most every ten seconds."""

    def __init__(self, write: Callable[[str], None] | None = None) -> None:
        self._write = write or (lambda text: click.echo(text, err=True))
        self._last = time.monotonic()
        self._pace = Pace()

    def show(self, event: Event) -> None:
        """Print an event, if it is worth a line."""
        stage = event.get("stage", "")
        kind = event["kind"]
        if kind == "stage_start":
            self._last = time.monotonic()
            self._pace.start(event)
        elif kind == "progress":
            self._pace.see(event)
            if time.monotonic() - self._last >= PLAIN_INTERVAL_S:
                self._last = time.monotonic()
                self._write(f"  ..  {stage:<10} " + _joined(progress_line(event), self._pace.line(), drops_line(event)))
        elif line := final_line(event):
            self._write(line)


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def final_line(event: Event) -> str:
    """The line that stays for an event: finished and reused stages, notes, warnings, failures; else empty."""
    stage, kind = event.get("stage", ""), event["kind"]
    if kind in ("stage_end", "stage_reuse"):
        took = _("reused") if kind == "stage_reuse" else duration(event["seconds"])
        if event.get("resumed") and kind == "stage_end":
            took += f" ({_('resumed')})"
        return f"  ok  {stage:<10} {took:<10} {metrics_line(event['metrics'])}".rstrip()
    if kind == "warning":
        return f"  !!  {stage:<10} {event['text']}"
    if kind == "note":
        return f"      {stage:<10} {event['text']}"
    if kind == "stage_wait":
        return f"  ..  {stage:<10} " + _("another run is making this; waiting for process {pid}").format(
            pid=event["holder"]
        )
    if kind == "stage_part":
        told = _("this part is done; {number} shards are left to others").format(number=event["num_left"])
        return f"  ..  {stage:<10} {told}"
    return f"  xx  {stage:<10} " + _("stopped; what is finished is kept") if kind == "stage_failed" else ""


class _Drawn:
    """A live line for the stage at work, final lines above it."""

    def __init__(self, events: EventLog) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self._text = Text
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._pace = Pace()
        self._live.start()
        self._reader = Reader(events.path, self._show)

    def _show(self, event: Event) -> None:
        stage = event.get("stage", "")
        if event["kind"] == "stage_start":
            self._pace.start(event)
            self._live.update(self._text(f"  >   {stage}"))
        elif event["kind"] == "progress":
            self._pace.see(event)
            share = min(1.0, event["done"] / event["total"]) if event.get("total") else 0.0
            bar = "━" * round(share * 20)
            line = self._text(f"  >   {stage:<10} ")
            line.append(bar, style="cyan")
            line.append("─" * (20 - len(bar)), style="dim")
            line.append(" " + _joined(progress_line(event), self._pace.line()))
            if drops := drops_line(event):
                line.append(f"\n{'':<17}{drops}", style="dim")
            self._live.update(line)
        elif final := final_line(event):
            style = {"!!": "yellow", "xx": "red"}.get(final[2:4], "")
            line = self._text(final, style=style)
            if final.startswith("  ok"):
                line.stylize("green", 2, 4)
            self._live.console.print(line, soft_wrap=True)

    def close(self) -> None:
        """Read to the end, then clear the live line."""
        self._reader.close()
        self._live.stop()
