"""Table: the measures of one model or of two side by side, each with its interval, and the difference of two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buril.evaluate.suite import Measure


def table(models: Mapping[str, Mapping[str, Measure]], seed: int) -> dict[str, Any]:
    """The rows of `results.json` by measure; a model that has not got one has None there.

    Args:
        models: the measures of one model or of two by its name; of two the difference is the second minus the first.
        seed: of the resampling.
    """
    rows: dict[str, Any] = {}
    for metric in sorted({name for measures in models.values() for name in measures}):
        found = {model: measures.get(metric) for model, measures in models.items()}
        row: dict[str, Any] = {}
        for model, measure in found.items():
            interval = measure.interval(seed) if measure else None
            row[model] = rounded(interval._asdict()) if interval else None
        if len(found) == 2:
            first, second = found.values()
            difference = first.difference(second, seed) if first and second else None
            row["difference"] = rounded(difference._asdict()) if difference else None
        row["better"] = next(measure.better for measure in found.values() if measure)
        rows[metric] = row
    return rows


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Six significant digits, which is far more than any interval allows and hides the last bits of floating point."""
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in values.items()}
