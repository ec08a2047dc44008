"""The page of `buril monitor`: alerts first, then every clock with its limit, then the course of four weeks.

Like the report it is one static file without scripts, and needs no network.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup, escape

from buril.code.traffic import DAY_S
from buril.core.text import N_, _, language
from buril.monitor.drift import ADVICE, TITLES, Drift
from buril.web import draw, page, words
from buril.web.figures import Figure

STATES = {"ok": N_("as usual"), "drift": N_("drift"), "waiting": N_("too little traffic")}
STYLES = {"ok": "good", "drift": "bad", "waiting": ""}
COURSES: dict[str, tuple[str, str]] = {
    "requests": (N_("Requests"), N_("a day")),
    "acceptance": (N_("Acceptance"), N_("share of what was shown")),
    "findings": (N_("Findings"), N_("a thousand accepted lines")),
    "latency_ms": (N_("Latency"), N_("ms, mean")),
}


def write_page(path: Path, drift: Drift) -> None:
    """Write the page as one HTML file, in the language in force, whole or not at all.

    Raises:
        BurilError: V402 when the file can't be written.
    """
    page.write(path, render_page(drift), "V402")


def render_page(drift: Drift) -> str:
    """The HTML text of the page."""
    return page.template("monitor.html").render(
        drift=drift, language=language(), css=page.style(),
        titles=_said(TITLES), advice=_said(ADVICE), states=_said(STATES), styles=STYLES,
        figures=_figures(drift), day=_day, marked=_marked,
    )  # fmt: skip


def _said(texts: dict[str, str]) -> dict[str, str]:
    return {name: _(text) for name, text in texts.items()}


def _marked(text: str) -> Markup:
    """A sentence whose commands, in backquotes, are set as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped before


def _day(moment: float | None, *, minutes: bool = False) -> str:
    """A moment as a date in UTC."""
    if moment is None:
        return words.NOTHING
    at = datetime.datetime.fromtimestamp(moment, datetime.timezone.utc)
    return at.strftime("%Y-%m-%d %H:%M" if minutes else "%Y-%m-%d")


def _figures(drift: Drift) -> list[Figure]:
    """One curve for each course that has more than one day."""
    return [_figure(name, points) for name, points in drift.course.items() if len(points) > 1]


def _figure(name: str, points: Sequence[tuple[float, float]]) -> Figure:
    title, unit = (_(text) for text in COURSES[name])
    last = points[-1][0]
    placed = tuple(((time - last) / DAY_S, value) for time, value in points)
    labels = draw.Labels(f"course-{name}", title, f"{title}, {unit}.", _("days before the last"), unit)
    svg = draw.line_chart(
        [draw.Series(title, placed, dots=True)], labels, say_x=words.ticks, say_y=words.ticks, height=210.0
    )
    rows = tuple((_day(time), words.number(value)) for time, value in reversed(points))
    return Figure(f"figure-{name}", title, svg, (), (_("day"), unit), rows)
