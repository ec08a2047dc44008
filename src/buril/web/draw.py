"""Small functions that draw figures as inline SVG: a line chart, a bar, an interval ladder, the flow of the chain.

Colours, fonts and strokes come from the page's style sheet by class name, so that a figure follows dark mode and
print. Every figure carries a title and a description for screen readers; the page puts its numbers in a table
beside it. Text given to these functions is escaped. Nothing here reads files or the clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup, escape

WIDTH = 560.0
MAX_POINTS = 400
"""Points drawn of one line; longer curves are averaged in equal buckets."""

Point = tuple[float, float]
Say = Callable[[Sequence[float]], Sequence[str]]
"""Writes the ticks of an axis, all of them at once so that they agree."""


class Labels(NamedTuple):
    """The words of a figure. `name` is its id in the page; `x` and `y` name the axes."""

    name: str
    title: str
    desc: str
    x: str = ""
    y: str = ""


@dataclass(frozen=True)
class Series:
    """One line of a chart. `style` is a class of the style sheet (`first`, `second`); `dots` marks every point."""

    label: str
    points: tuple[Point, ...]
    style: str = "first"
    dots: bool = False


@dataclass(frozen=True)
class Rung:
    """One row of a ladder: a label, what stands at its right end, and the marks on its lines."""

    label: str
    reading: str
    marks: tuple[Mark, ...]


class Mark(NamedTuple):
    """A value with its interval (None where unknown), drawn in a class of the style sheet."""

    value: float
    low: float | None
    high: float | None
    style: str


@dataclass(frozen=True)
class Node:
    """A stage in the flow: its name, what is said beside it, and the names of its inputs."""

    name: str
    text: str
    inputs: tuple[str, ...]


def tag(name: str, *children: Markup | str, **attributes: object) -> Markup:
    """An SVG element; `_` in an attribute stands for `-`, a trailing one is left out (`class_`)."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"' for key, value in attributes.items()
    )
    return Markup("<{}{}>{}</{}>").format(name, Markup(given), Markup("").join(children), name)  # noqa: S704  escaped above


def _text(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def frame(labels: Labels, height: float, *children: Markup) -> Markup:
    """The `<svg>` around a figure, with its title and description."""
    title, desc = f"{labels.name}-title", f"{labels.name}-desc"
    return tag(
        "svg", tag("title", labels.title, id=title), tag("desc", labels.desc, id=desc), *children,
        viewBox=f"0 0 {_text(WIDTH)} {_text(height)}", role="img", aria_labelledby=f"{title} {desc}", class_="figure",
    )  # fmt: skip


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round values from at or below `low` to at or above `high`, about `count` of them, 1, 2, 2.5 or 5 apart.

    Example:
        `ticks(1.3, 4.1)` → `[1.0, 2.0, 3.0, 4.0, 5.0]`
    """
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, 1e-30):
        half = size / 2 if size > 1e-12 else 0.5
        low, high = low - half, high + half
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def thin(points: Sequence[Point], limit: int = MAX_POINTS) -> list[Point]:
    """At most `limit` points: means of equal buckets; short curves as they are."""
    if len(points) <= limit:
        return list(points)
    edges = [round(index * len(points) / limit) for index in range(limit + 1)]
    buckets = [points[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    return [(sum(x for x, _y in part) / len(part), sum(y for _x, y in part) / len(part)) for part in buckets]


def line_chart(series: Sequence[Series], labels: Labels, *, say_x: Say, say_y: Say, height: float = 280.0) -> Markup:
    """Lines over a common pair of axes with round ticks.

    The vertical axis covers the data and does not start at zero, as usual for losses and rates of learning.

    Args:
        series: at least one line with at least one point among them.
        labels: the words of the figure.
        say_x: writes the ticks of the horizontal axis.
        say_y: writes the ticks of the vertical axis.
        height: of the drawing; the width is `WIDTH`.
    """
    left, right, top, bottom = 62.0, WIDTH - 14.0, 34.0, height - 44.0
    every = [point for line in series for point in line.points if math.isfinite(point[1])]
    ys = ticks(min(y for _x, y in every), max(y for _x, y in every), 5 if height > 250 else 3)
    first, last = min(x for x, _y in every), max(x for x, _y in every)
    xs = [x for x in ticks(first, last) if first <= x <= last] or [first]

    def place(point: Point) -> Point:
        across = (point[0] - first) / (last - first) if last > first else 0.5
        return left + across * (right - left), bottom - (point[1] - ys[0]) / (ys[-1] - ys[0]) * (bottom - top)

    parts = [_rule(left, right, place((first, y))[1], text) for y, text in zip(ys, say_y(ys), strict=True)]
    parts += [
        tag("text", text, x=place((x, ys[0]))[0], y=bottom + 19, class_="tick middle")
        for x, text in zip(xs, say_x(xs), strict=True)
    ]
    parts.append(tag("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis"))
    parts.append(tag("text", labels.y, x=0.0, y=13.0, class_="name"))
    parts.append(tag("text", labels.x, x=right, y=height - 6, class_="name end"))
    for line in series:
        placed = [place(point) for point in thin([p for p in line.points if math.isfinite(p[1])])]
        parts.append(_path(placed, line.style))
        if line.dots or len(placed) == 1:
            parts += [tag("circle", cx=x, cy=y, r=3.2, class_=f"dot {line.style}") for x, y in placed]
    return frame(labels, height, *parts)


def _rule(left: float, right: float, y: float, text: str) -> Markup:
    line = tag("line", x1=left, x2=right, y1=y, y2=y, class_="grid")
    return line + tag("text", text, x=left - 8, y=y + 4, class_="tick end")


def _path(placed: Sequence[Point], style: str) -> Markup:
    steps = " ".join(f"{'L' if index else 'M'}{_text(x)} {_text(y)}" for index, (x, y) in enumerate(placed))
    return tag("path", d=steps, class_=f"line {style}") if len(placed) > 1 else Markup()


def bar(share: float, *, outline: float = 0.0, style: str = "first") -> Markup:
    """A horizontal bar for a table cell, `share` of the cell wide; `outline` shows a whole that it is a part of.

    It is decoration: the cell beside it holds the number, so screen readers skip it.
    """
    whole = tag("rect", x=0.0, y=0.0, width=100 * min(1.0, max(0.0, outline)), height=10.0, class_="whole")
    part = tag("rect", x=0.0, y=0.0, width=100 * min(1.0, max(0.0, share)), height=10.0, class_=f"bar {style}")
    return tag("svg", whole, part, viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true", class_="bar")


def ladder(rungs: Sequence[Rung], labels: Labels, *, say: Say, from_zero: bool = False) -> Markup:
    """Values with their intervals, one row each on a common axis: the picture of what differs and what does not.

    Args:
        rungs: at least one row with at least one mark among them.
        labels: the words of the figure.
        say: writes the ticks of the axis.
        from_zero: whether the axis starts at zero (shares do).
    """
    left, right, step = 10.0, WIDTH - 14.0, 58.0
    ends = [end for rung in rungs for m in rung.marks for end in (m.value, m.low, m.high) if end is not None]
    xs = ticks(0.0 if from_zero else min(ends), max(ends))
    height = step * len(rungs) + 30

    def place(value: float) -> float:
        return left + (value - xs[0]) / (xs[-1] - xs[0]) * (right - left)

    parts = [tag("line", x1=place(x), x2=place(x), y1=4.0, y2=height - 26, class_="grid") for x in xs]
    parts += [
        tag("text", text, x=place(x), y=height - 8, class_=f"tick {_anchor(x, xs)}")
        for x, text in zip(xs, say(xs), strict=True)
    ]
    for index, rung in enumerate(rungs):
        top = index * step + 16
        parts.append(tag("text", rung.label, x=left, y=top, class_="label halo"))
        parts.append(tag("text", rung.reading, x=right, y=top, class_="label halo end"))
        for row, mark in enumerate(rung.marks):
            parts.append(_whisker(mark, place, top + 12 + 13 * row))
    return frame(labels, height, *parts)


CELL = 12.0
"""Width and height of a cell, its gap included."""


def strip(cells: Sequence[tuple[str, str]], labels: Labels) -> Markup:
    """Small squares in rows, one each, in the order of reading: a class of the style sheet and what a pointer tells."""
    across = int(WIDTH // CELL)
    height = CELL * -(-len(cells) // across)
    squares = [
        tag(
            "rect", tag("title", told), x=CELL * (place % across), y=CELL * (place // across), width=CELL - 2,
            height=CELL - 2, class_=f"cell {style}",
        )
        for place, (style, told) in enumerate(cells)
    ]  # fmt: skip
    return frame(labels, height, *squares)


def _anchor(x: float, xs: Sequence[float]) -> str:
    return "start" if x == xs[0] else "end" if x == xs[-1] else "middle"


def _whisker(mark: Mark, place: Callable[[float], float], y: float) -> Markup:
    dot = tag("circle", cx=place(mark.value), cy=y, r=4.2, class_=f"dot {mark.style}")
    if mark.low is None or mark.high is None:
        return dot
    low, high = place(mark.low), place(mark.high)
    line = tag("line", x1=low, x2=high, y1=y, y2=y, class_=f"whisker {mark.style}")
    caps = [tag("line", x1=x, x2=x, y1=y - 3.5, y2=y + 3.5, class_=f"whisker {mark.style}") for x in (low, high)]
    return line + Markup("").join(caps) + dot


def flow(nodes: Sequence[Node], labels: Labels) -> Markup:
    """The chain as a column of nodes in order, with an arc from each input to what was made of it.

    A straight line joins neighbours; longer ways bend to the left, the longer the further out.
    """
    step, left = 38.0, 128.0
    places = {node.name: 20 + index * step for index, node in enumerate(nodes)}
    arcs: list[Markup] = []
    for node in nodes:
        for name in node.inputs:
            if name in places:
                arcs.append(_arc(places[name], places[node.name], left, step))
    parts = list(arcs)
    for node in nodes:
        y = places[node.name]
        parts.append(tag("circle", cx=left, cy=y, r=5.0, class_="node"))
        parts.append(tag("text", node.name, x=left + 18, y=y + 5, class_="label strong"))
        parts.append(tag("text", node.text, x=left + 118, y=y + 5, class_="tick mono"))
    return frame(labels, step * len(nodes) + 4, *parts)


def _arc(start: float, end: float, x: float, step: float) -> Markup:
    distance = abs(end - start) / step
    bend = 0.0 if distance < 1.5 else min(150.0, 16 + 17 * distance)
    out = _text(x - bend)
    path = f"M{_text(x)} {_text(start)} C{out} {_text(start)} {out} {_text(end)} {_text(x)} {_text(end)}"
    return tag("path", d=path, class_="edge")
