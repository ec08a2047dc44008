"""Table: the measures of two models side by side, each with its interval, and their difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buril.evaluate.suite import Measure


def table(base: Mapping[str, Measure], tuned: Mapping[str, Measure], seed: int) -> dict[str, Any]:
    """The rows of `results.json` by measure; a model that has not got one has None there."""
    rows: dict[str, Any] = {}
    for metric in sorted({*base, *tuned}):
        pair = {"base": base.get(metric), "tuned": tuned.get(metric)}
        row: dict[str, Any] = {}
        for model, measure in pair.items():
            interval = measure.interval(seed) if measure else None
            row[model] = rounded(interval._asdict()) if interval else None
        first, second = pair["base"], pair["tuned"]
        difference = first.difference(second, seed) if first and second else None
        row["difference"] = rounded(difference._asdict()) if difference else None
        row["better"] = next(measure.better for measure in pair.values() if measure)
        rows[metric] = row
    return rows


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Six significant digits, which is far more than any interval allows and hides the last bits of floating point."""
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in values.items()}
