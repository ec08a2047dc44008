"""What lm-evaluation-harness found, as measures with a unit for each document.

It keeps a value a document and says how these become a score, in code. Here that is found out from its score: of the
ways in which a measure may be built from such values, the one is taken that gives what it gave. So a measure of ours
never says another score than the harness, and where none of the ways gives it (F1, BLEU, a correlation: scores of a
whole set, that no document has a part of) there is no measure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from buril.evaluate.suite import Better, Measure

CLOSE = 1e-6
"""How near a measure must come to the harness's score, of that score: it adds in another order."""
SHARES = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "pass@1")
"""Metrics that are right or wrong for a document; the others may be so by chance."""

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""The logged samples of each task."""


def measures_of(told: Mapping[str, Any], samples: Rows) -> tuple[dict[str, Measure], list[str]]:
    """The measures of results and their samples, and the names of the scores that no measure can be.

    A measure is called by its task and metric, and by its filter where the task has several. A group of tasks has
    measures where the harness gives it scores.

    Raises:
        KeyError, TypeError, ValueError: when they are not of the harness's form.
    """
    found: dict[str, Measure] = {}
    left: list[str] = []
    keyed: dict[tuple[str, str], Measure] = {}
    for task, rows in samples.items():
        several = len({str(row["filter"]) for row in rows}) > 1
        for key, values in _values(rows).items():
            metric, chosen = key
            name = name_of(task, metric, chosen if several else "")
            made = _measure(task, metric, values, told)(told["results"][task].get(f"{metric},{chosen}"))
            if made:
                found[name] = keyed[task, f"{metric},{chosen}"] = made
            else:
                left.append(name)
    for group, scores in told.get("groups", {}).items():
        tasks = list(_below(group, told.get("group_subtasks", {})))
        for key, score in scores.items():
            metric, comma, _chosen = key.partition(",")
            parts = [keyed[task, key] for task in tasks if (task, key) in keyed]
            if comma and parts and len(parts) == len(tasks):
                pooled = next((made for made in _pooled(parts) if _agrees(made, score)), None)
                if pooled:
                    found[name_of(group, metric)] = pooled
    return found, sorted(left)


def name_of(task: str, metric: str, chosen: str = "") -> str:
    """What the measure of a task's metric is called."""
    return f"{task} {metric}" + (f" {chosen}" if chosen else "")


def unit_of(task: str, doc_id: int) -> str:
    """The name of a document."""
    return f"{task}/{doc_id}"


def _values(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[tuple[int, Any]]]:
    """By metric and filter, the documents that have a value, and it."""
    found: dict[tuple[str, str], list[tuple[int, Any]]] = {}
    for row in rows:
        for metric in row["metrics"]:
            found.setdefault((str(metric), str(row["filter"])), []).append((int(row["doc_id"]), row[metric]))
    return found


def _measure(
    task: str, metric: str, values: Sequence[tuple[int, Any]], told: Mapping[str, Any]
) -> Callable[[Any], Measure | None]:
    """What gives the measure that has a score, or None."""
    higher = told.get("higher_is_better", {}).get(task, {}).get(metric)
    ways = list(_ways(task, metric, values, "lower" if higher is False else "higher"))
    return lambda score: next((made for made in ways if _agrees(made, score)), None)


def _ways(task: str, metric: str, values: Sequence[tuple[int, Any]], better: Better) -> Iterator[Measure]:
    """The measures that may be meant: a mean, e to a mean loss, e to a loss by weight, a loss in bits by weight."""
    units = [unit_of(task, doc_id) for doc_id, _value in values]
    if all(isinstance(value, bool | int | float) for _doc_id, value in values):
        numbers = [float(value) for _doc_id, value in values]
        share = metric in SHARES and set(numbers) <= {0.0, 1.0}
        yield Measure("share" if share else "ratio", better, units, numbers, [1.0] * len(units))
        yield Measure("exp", better, units, [-number for number in numbers], [1.0] * len(units))
    elif all(_is_pair(value) for _doc_id, value in values):
        losses, weights = ([float(value[place]) for _doc_id, value in values] for place in (0, 1))
        yield Measure("exp", better, units, [-loss for loss in losses], weights)
        yield Measure("ratio", better, units, [-loss / math.log(2) for loss in losses], weights)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(x, int | float) for x in value)


def _pooled(parts: Sequence[Measure]) -> Iterator[Measure]:
    """The measures of a group: over all its documents, or the mean of its tasks."""
    kinds = {part.kind for part in parts}
    kind, better = (parts[0].kind if len(kinds) == 1 else "ratio"), parts[0].better
    units = [unit for part in parts for unit in part.units]
    numerators = [number for part in parts for number in part.numerators]
    yield Measure(kind, better, units, numerators, [number for part in parts for number in part.denominators])
    weights = [1 / (len(parts) * sum(part.denominators)) for part in parts for _unit in part.units]
    denominators = [number for part in parts for number in part.denominators]
    if kind != "exp":
        yield Measure("ratio", better, units, _times(numerators, weights), _times(denominators, weights))


def _times(numbers: Iterable[float], weights: Iterable[float]) -> list[float]:
    return [number * weight for number, weight in zip(numbers, weights, strict=True)]


def _agrees(made: Measure, score: Any) -> bool:
    total = sum(made.denominators)
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score) or total <= 0:
        return False
    try:
        value = sum(made.numerators) / total
        value = math.exp(value) if made.kind == "exp" else value
    except OverflowError:
        return False
    return math.isclose(value, score, rel_tol=CLOSE, abs_tol=CLOSE)


def _below(group: str, subtasks: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The tasks of a group and of the groups in it."""
    for name in subtasks.get(group, ()):
        if name in subtasks:
            yield from _below(name, subtasks)
        else:
            yield name
