"""The training section: the curves of loss, learning rate and speed, and what the training was told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from buril.core.artifact import Artifact
from buril.web.draw import Point

PARTS = ("attention", "mlp")
"""Parts of the model whose gradients are drawn: the two that hold nearly all of it."""
SAMPLES = ("bleu", "exact_match")


@dataclass(frozen=True)
class Training:
    """What training did. Curves are (step, value); counts and times are None where the stage did not say.

    `gradients` are norms by part of the model, `samples` scores of completions by metric, empty where none were made.
    `trainable` is the share of the parameters that were trained, between 0 and 1.
    """

    method: str
    base: str
    base_kind: str
    base_license: str
    parameters: float | None
    steps: float | None
    tokens: float | None
    trainable: float | None
    num_trainable: float | None
    best_valid_loss: float | None
    best_step: float | None
    first_valid_loss: float | None
    stopped_early: bool | None
    tokens_per_s: float | None
    train_loss: tuple[Point, ...]
    valid_loss: tuple[Point, ...]
    learning_rate: tuple[Point, ...]
    speed: tuple[Point, ...]
    gradients: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    samples: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)


def gather_training(artifacts: Mapping[str, Artifact]) -> Training | None:
    """The training section from `train`, `base` and `pack`; None when nothing was trained."""
    train = artifacts.get("train")
    if train is None:
        return None
    said, base = read_json(train, "train.json"), read_json(artifacts.get("base"), "base.json")
    curve = _points(read_json_list(train, "curve.json"))
    steps, evaluations = (read_lines(train, f"logs/{name}.jsonl") for name in ("speed", "evaluations"))
    speed = _curve(steps, "tokens_per_s", "tokens_per_second", "tok_s")
    valid = _curve(curve, "valid_loss", "eval_loss")
    said_speed = first(train.manifest.metrics, "tokens_per_s") or None  # 0 where no step was timed
    return Training(
        method=method_name(said.get("method") or train.manifest.settings.get("method")),
        base=str(base.get("name") or base.get("source") or ""), base_kind=str(base.get("kind") or ""),
        base_license=str(base.get("license") or ""), parameters=first(base, "parameters"),
        steps=first(said, "steps"), tokens=first(said, "tokens", "tokens_seen"),
        trainable=first(said, "trainable_share", "trainable"),
        num_trainable=first(said, "trainable_parameters", "num_trainable"),
        best_valid_loss=first(said, "best_valid_loss"), best_step=first(said, "best_step"),
        first_valid_loss=first(said, "first_valid_loss", "start_valid_loss") or (valid[0][1] if valid else None),
        stopped_early=said["stopped_early"] if isinstance(said.get("stopped_early"), bool) else None,
        tokens_per_s=_median([value for _step, value in speed]) or said_speed,
        train_loss=_curve(curve, "loss", "train_loss"), valid_loss=valid,
        learning_rate=_curve(curve, "lr", "learning_rate"), speed=speed,
        gradients={part: _curve(_inner(steps, "grad_norms"), part) for part in PARTS},
        samples={name: _curve(evaluations, f"valid_{name}") for name in SAMPLES},
    )  # fmt: skip


def _inner(lines: Iterable[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """The mappings that stand under a name, each with its line's step."""
    return [{**line[name], "step": line.get("step")} for line in lines if isinstance(line.get(name), Mapping)]


def method_name(value: object) -> str:
    """The name of a plugin as settings hold it: a bare name, or a mapping with `name`."""
    return str(value.get("name", "")) if isinstance(value, Mapping) else str(value or "")


def first(values: Mapping[str, Any], *names: str) -> float | None:
    """The first of `names` that holds a number."""
    found = (values.get(name) for name in names)
    return next((float(item) for item in found if isinstance(item, int | float) and not isinstance(item, bool)), None)


def read_json(artifact: Artifact | None, name: str) -> dict[str, Any]:
    """A JSON object of an artifact; empty when the artifact or the file is missing."""
    if artifact is None or not artifact.path(name).is_file():
        return {}
    found = artifact.json(name)
    return found if isinstance(found, dict) else {}


def read_json_list(artifact: Artifact, name: str) -> Any:
    """Any JSON file of an artifact; an empty list when it is missing."""
    return artifact.json(name) if artifact.path(name).is_file() else []


def read_lines(artifact: Artifact, name: str) -> list[dict[str, Any]]:
    """The objects of a file with one JSON object a line; empty when missing. A line that a crash cut is left out."""
    path = artifact.path(name)
    found = []
    for line in path.read_text(encoding="utf-8").split("\n") if path.is_file() else []:
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return [item for item in found if isinstance(item, dict)]


def _points(curve: Any) -> list[dict[str, Any]]:
    """The points of a curve file: a list of them, or lists by name (`{"train": [...], "valid": [...]}`).

    A point of the list `valid` that names its value `loss` is read as a validation loss.
    """
    if isinstance(curve, list):
        return [
            _as_valid(point) if point.get("kind") == "valid" else point for point in curve if isinstance(point, dict)
        ]
    points: list[dict[str, Any]] = []
    for name, part in sorted(curve.items()):
        found = [point for point in part if isinstance(point, dict)] if isinstance(part, list) else []
        points += [_as_valid(point) for point in found] if name == "valid" else found
    return points


def _as_valid(point: Mapping[str, Any]) -> dict[str, Any]:
    value = first(point, "valid_loss", "loss")
    return {"step": point.get("step"), **({} if value is None else {"valid_loss": value})}


def _curve(points: Iterable[Mapping[str, Any]], *names: str) -> tuple[Point, ...]:
    """(step, value) in order; of a step that was done twice, after an interruption, the later value."""
    found = {first(point, "step"): first(point, *names) for point in points if first(point, *names) is not None}
    return tuple(sorted((step, value) for step, value in found.items() if step is not None and value is not None))


def _median(values: list[float]) -> float | None:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else None
