"""The files of lm-evaluation-harness: `results_*.json` and the `samples_*.jsonl` beside it, read and written."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buril.core.errors import BurilError
from buril.core.text import _
from buril.evaluate._table import rounded, table
from buril.evaluate.harness._results import measures_of, name_of, unit_of
from buril.evaluate.interval import Z_95
from buril.evaluate.suite import Measure

_DATED = re.compile(r"_(\d{4}-\d\d-\d\dT[\d.-]+)\.json\Z")


@dataclass(frozen=True)
class Found:
    """A finished run of the harness.

    Attributes:
        path: of its results.
        told: the results.
        samples: by task, where they were logged.
        measures: what has a unit for each document.
    """

    path: Path
    told: Mapping[str, Any]
    samples: Mapping[str, Sequence[Mapping[str, Any]]]
    measures: Mapping[str, Measure]


def read(path: Path) -> Found:
    """A run by its results, or by a folder: then the latest below it.

    Raises:
        BurilError: E012 when there is none, or it is not of the harness's form.
    """
    place = path
    if path.is_dir():
        place = max(path.rglob("results_*.json"), key=lambda item: item.name, default=path)
    try:
        told = json.loads(place.read_text(encoding="utf-8"))
        samples = dict(_samples(place))
        measures, _left = measures_of(told, samples)
        _scores(told)
    except OSError as problem:
        raise BurilError("E012", path=path, problem=problem.strerror or str(problem)) from problem
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BurilError("E012", path=place, problem=f"{type(problem).__name__}: {problem}") from problem
    return Found(place, told, samples, measures)


def imported(tuned: Found, base: Found | None, seed: int) -> dict[str, Any]:
    """Two runs, or one, in the form of our `results.json`.

    Where documents were logged the intervals and the difference are over them, as for our own suites. Else the interval
    is the harness's standard error, and there is no difference: which documents both models solved is not known.

    Raises:
        BurilError: E012 when the two did not ask the same documents.
    """
    if base:
        _check_same(tuned, base)
    rows = table({"base": base.measures if base else {}, "tuned": tuned.measures}, seed)
    pair = {"base": _scores(base.told) if base else {}, "tuned": _scores(tuned.told)}
    for name in sorted({*pair["base"], *pair["tuned"]} - rows.keys()):
        alone = {model: found.get(name) for model, found in pair.items()}
        better = next(found["better"] for found in alone.values() if found)
        values = {model: found and found["score"] for model, found in alone.items()}
        rows[name] = {**values, "difference": None, "better": better}
    runs = {"base": base, "tuned": tuned}
    settings = {"tasks": sorted(tuned.told["results"]), "lm_eval": tuned.told.get("lm_eval_version")}
    return {
        "suites": {"lm_eval": {"version": 1, "settings": settings, "metrics": rows, "by_language": {}}},
        "models": {model: {"name": _model(run.told)} for model, run in runs.items() if run},
        "gates": [],
    }


def write(folder: Path, found: Mapping[str, Any]) -> Path:
    """Write a run as the harness does; the path of its results."""
    date = datetime.datetime.now().isoformat().replace(":", "-")
    folder.mkdir(parents=True, exist_ok=True)
    for task, rows in found["samples"].items():
        lines = "".join(json.dumps(_logged(row), ensure_ascii=False, default=str) + "\n" for row in rows)
        (folder / f"samples_{task}_{date}.jsonl").write_text(lines, encoding="utf-8", errors="backslashreplace")
    told = {name: value for name, value in found.items() if name != "samples"}
    path = folder / f"results_{date}.json"
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    return path


def _logged(row: Mapping[str, Any]) -> dict[str, Any]:
    """A sample with its requests by name, as the harness logs them."""
    arguments = {
        f"gen_args_{place}": {f"arg_{number}": argument for number, argument in enumerate(given)}
        for place, given in enumerate(row["arguments"])
    }
    return {**row, "arguments": arguments}


def _samples(path: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The samples that were logged with some results, by task."""
    dated = _DATED.search(path.name)
    for place in sorted(path.parent.glob(f"samples_*_{dated[1]}.jsonl")) if dated else ():
        task = place.name.removeprefix("samples_").removesuffix(f"_{dated[1]}.jsonl") if dated else ""
        yield task, [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()]


def _scores(told: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The scores by name, each with the interval of its standard error."""
    found = {}
    for task, scores in told["results"].items():
        filters = {key.partition(",")[2] for key in scores if "," in key}
        for key, value in scores.items():
            metric, comma, chosen = key.partition(",")
            if not comma or metric.endswith("_stderr") or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            error = scores.get(f"{metric}_stderr,{chosen}")
            half = Z_95 * error if isinstance(error, int | float) else None
            number = (told.get("n-samples", {}).get(task) or {}).get("effective")
            ends = {"low": None, "high": None} if half is None else {"low": value - half, "high": value + half}
            higher = told.get("higher_is_better", {}).get(task, {}).get(metric)
            found[name_of(task, metric, chosen if len(filters) > 1 else "")] = {
                "score": rounded({"value": float(value), **ends, "n": number}),
                "better": "lower" if higher is False else "higher",
            }
    return found


def _model(told: Mapping[str, Any]) -> str:
    return str(told.get("model_name") or (told.get("config") or {}).get("model") or "")


def _check_same(tuned: Found, base: Found) -> None:
    """The same document under the same number: else a difference would be of nothing."""
    hashes = {unit_of(task, row["doc_id"]): row.get("doc_hash") for task, rows in base.samples.items() for row in rows}
    for task, rows in tuned.samples.items():
        for row in rows:
            unit = unit_of(task, row["doc_id"])
            if hashes.get(unit, row.get("doc_hash")) != row.get("doc_hash"):
                problem = _("its document {unit} is another than that of {path}").format(unit=unit, path=base.path)
                raise BurilError("E012", path=tuned.path, problem=problem)
