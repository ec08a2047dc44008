"""The terminal as a reader of events: rates, time left, what is dropped while a stage runs."""

from __future__ import annotations

from typing import Any

import pytest

from buril.cli import terminal
from buril.cli.pace import Pace, drops_line


def started(at: float = 100.0) -> Pace:
    pace = Pace()
    pace.start({"time": at, "kind": "stage_start", "stage": "prepare"})
    return pace


def progress(at: float, done: float, total: float, unit: str = "files", **values: Any) -> dict[str, Any]:
    return {"time": at, "kind": "progress", "stage": "prepare", "done": done, "total": total, "unit": unit, **values}


def test_files_a_second_and_the_time_left() -> None:
    pace = started()
    pace.see(progress(101, 100, 1000))
    assert pace.line() == ""  # a second is no pace yet
    pace.see(progress(104, 400, 1000))
    assert pace.line() == "100 files/s · 6.0 s left"
    pace.see(progress(110, 1000, 1000))
    assert pace.line() == "100 files/s"


def test_bytes_as_the_unit_and_beside_another_unit() -> None:
    pace = started()
    pace.see(progress(110, 25_000_000, 100_000_000, "bytes"))
    assert pace.line() == "2.5 MB/s · 30 s left"
    pace = started()
    pace.see(progress(110, 2, 4, "shards", bytes=120_000_000))
    assert pace.line() == "0.2 shards/s · 12.0 MB/s · 10 s left"


def test_no_total_no_time_left() -> None:
    pace = started()
    pace.see(progress(110, 50, 0, "repositories"))
    assert pace.line() == "5 repositories/s"


def test_the_pace_of_the_last_half_minute_counts() -> None:
    """After a resume the first event tells of work that this run has not done."""
    pace = started()
    pace.see(progress(101, 50_000, 100_000))
    for second in range(2, 60):
        pace.see(progress(100 + second, 50_000 + 10 * second, 100_000))
    assert pace.line().startswith("10 files/s")


def test_a_second_pass_of_a_stage_has_a_pace_of_its_own() -> None:
    pace = started()
    pace.see(progress(110, 100, 100, "shards"))
    pace.see(progress(120, 20, 100, "pairs"))
    assert pace.line() == "2 pairs/s · 40 s left"
    pace.see(progress(130, 10, 100, "pairs"))
    assert pace.line() == "1 pairs/s · 1:30 left"


def test_what_is_dropped() -> None:
    dropped = {"quality.minified": 900, "secrets": 24, "syntax": 280, "size": 3}
    assert drops_line({"dropped": dropped}) == "dropped 1,207: quality.minified 900, syntax 280, secrets 24, …"
    assert drops_line({}) == drops_line({"dropped": {}}) == drops_line({"dropped": "many"}) == ""


def test_the_plain_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, lines = [0.0], []
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    plain = terminal.Plain(lines.append)
    plain.show({"time": 100.0, "kind": "stage_start", "stage": "prepare"})
    for at, done in ((1, 10), (11, 110), (15, 150)):
        clock[0] = at
        plain.show(progress(100 + at, done, 200, dropped={"minified": done // 10}, loss=1.5))
    assert lines == ["  ..  prepare    110/200 files · loss 1.5 · 10 files/s · 9.0 s left · dropped 11: minified 11"]


def test_the_drawn_line_has_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from rich.console import Console

    from buril.core.events import EventLog

    events = EventLog(tmp_path / "events.jsonl")
    drawn = terminal._Drawn(events)
    drawn.close()
    shown = []
    monkeypatch.setattr(drawn._live, "update", shown.append)
    drawn._show({"time": 100.0, "kind": "stage_start", "stage": "prepare"})
    drawn._show(progress(110, 100, 200, dropped={"minified": 7}))
    console = Console(width=120)
    with console.capture() as text:
        console.print(shown[-1])
    assert "━━━━━━━━━━──────────" in text.get()
    assert "100/200 files · 10 files/s · 10 s left\n" in text.get() and "dropped 7: minified 7" in text.get()
