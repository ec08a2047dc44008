"""The drawing: round ticks, points where the numbers say, and text that stays text."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buril.web import draw, words

LABELS = draw.Labels("figure-x", "A <title>", 'Says "much" & more', "step", "loss")
VALUES = st.floats(-1e6, 1e6, allow_nan=False)


def parse(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


@given(VALUES, VALUES)
def test_ticks_are_round_even_and_cover_the_data(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    found = draw.ticks(low, high)
    steps = {
        round((later - earlier) / (found[1] - found[0]), 6) for earlier, later in zip(found, found[1:], strict=False)
    }
    slack = (found[1] - found[0]) * 1e-6
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert steps == {1.0}
    assert 2 <= len(found) <= 9


def test_a_line_goes_where_its_numbers_say() -> None:
    series = [draw.Series("loss", ((0, 2.0), (50, 1.0), (100, 1.5)))]
    root = parse(draw.line_chart(series, LABELS, say_x=words.ticks, say_y=words.ticks))
    path = next(item for item in root if item.get("class") == "line first").get("d") or ""
    points = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) ([\d.]+)", path)]
    assert [x for x, _y in points] == pytest.approx([62, 304, 546], abs=0.1)
    assert points[1][1] > points[2][1] > points[0][1]  # lower values stand lower on the page
    texts = {item.text: float(item.get("y") or 0) for item in root if item.get("class") == "tick end"}
    assert texts["2.0"] == pytest.approx(points[0][1] + 4, abs=0.1)
    assert texts["1.0"] == pytest.approx(points[1][1] + 4, abs=0.1)


@given(st.lists(st.tuples(st.integers(0, 10**6), VALUES), min_size=1, max_size=30))
def test_any_curve_is_well_formed_and_inside(points: list[tuple[int, float]]) -> None:
    series = [draw.Series("x", tuple(sorted((float(x), y) for x, y in points)), dots=True)]
    root = parse(draw.line_chart(series, LABELS, say_x=words.ticks, say_y=words.ticks))
    for circle in root.iter("circle"):
        assert -1 <= float(circle.get("cx") or -9) <= draw.WIDTH + 1
        assert -1 <= float(circle.get("cy") or -9) <= 281


def test_values_that_are_not_finite_are_left_out() -> None:
    series = [draw.Series("x", ((0, 1.0), (1, math.nan), (2, math.inf), (3, 2.0)))]
    assert "nan" not in draw.line_chart(series, LABELS, say_x=words.ticks, say_y=words.ticks).lower()


def test_long_curves_are_thinned_without_losing_their_mean() -> None:
    points = [(float(x), float(x % 7)) for x in range(10_000)]
    thinned = draw.thin(points)
    assert len(thinned) == draw.MAX_POINTS
    assert sum(y for _x, y in thinned) / len(thinned) == pytest.approx(sum(y for _x, y in points) / len(points))


def test_a_bar_is_as_wide_as_its_share() -> None:
    whole, part = parse(draw.bar(0.25, outline=0.5))
    assert (whole.get("width"), part.get("width")) == ("50", "25")
    assert [item.get("width") for item in parse(draw.bar(7.0))] == ["0", "100"]


def test_a_ladder_shows_value_and_interval() -> None:
    marks = (draw.Mark(0.2, 0.1, 0.3, "base"), draw.Mark(0.4, None, None, "first"))
    root = parse(
        draw.ladder([draw.Rung("suite · <b>", "20 % → 40 %", marks)], LABELS, say=words.percent_ticks, from_zero=True)
    )
    base, tuned = (float(item.get("cx") or 0) for item in root.iter("circle"))
    whisker = next(item for item in root.iter("line") if item.get("class") == "whisker base")
    low, high = float(whisker.get("x1") or 0), float(whisker.get("x2") or 0)
    assert low < base < high < tuned
    assert base - low == pytest.approx(high - base, abs=0.1)
    assert "suite · <b>" in [item.text for item in root.iter("text")]


def test_the_flow_draws_an_arc_an_input() -> None:
    nodes = [draw.Node("a", "1", ()), draw.Node("b", "2", ("a",)), draw.Node("c", "3", ("a", "b", "gone"))]
    root = parse(draw.flow(nodes, LABELS))
    assert len([item for item in root if item.get("class") == "edge"]) == 3
    assert [item.text for item in root.iter("text")] == ["a", "1", "b", "2", "c", "3"]


def test_the_words_of_a_figure_are_escaped() -> None:
    root = parse(draw.flow([draw.Node("<script>", '"&', ())], LABELS))
    title, desc = list(root)[:2]
    assert (title.text, desc.text) == ("A <title>", 'Says "much" & more')
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
