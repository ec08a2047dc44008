"""Refresh: run the chain again on what is new, and put the model in place of the served one if the gate passes.

What was collected, parsed, scanned and packed before is taken from the store, so a night on which little is new costs
little. Promotion is one rename (`buril.monitor.champion`); a model that fails the gate stays in the store beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from buril.core.artifact import Artifact, Link, atomic
from buril.core.errors import BurilError
from buril.core.lock import hold
from buril.core.plan import Run
from buril.core.store import Store
from buril.core.text import _
from buril.monitor.champion import Served, champion, model_of, promote

FORMAT = 1
REPORT, LOCK = "refresh.json", ".refresh.lock"


@dataclass(frozen=True)
class Change:
    """What a refresh changed.

    Attributes:
        name: of the model.
        run: the run that made it.
        before: the run that made what was served till then, "" for the first time.
        promoted: whether it is served from now on.
        reason: why not, "" where it is.
        reused: stages whose artifacts were there already.
        model: digests of the model before and now.
        files: of the training part: added, removed, and the same.
        gates: the gates with their outcome.
        metrics: `SUITE.METRIC` → the tuned model's score before and now, each with its interval.
        same_test: whether both were measured on the same held-out files; else scores on them don't compare.
        seconds: that it took.
    """

    name: str
    run: str
    before: str
    promoted: bool
    reason: str
    reused: tuple[str, ...]
    model: tuple[str, str]
    files: dict[str, int]
    gates: tuple[dict[str, Any], ...]
    metrics: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None]]
    same_test: bool
    seconds: float

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {"format": FORMAT, **asdict(self)}


@contextmanager
def alone(store: Store) -> Any:
    """Only one refresh of a store at a time.

    Raises:
        BurilError: V406 when another one holds the lock.
    """
    path = store.root / "refs" / LOCK
    with hold(path, wait=False) as held:
        if not held:
            raise BurilError("V406", holder=path.read_text(encoding="utf-8").strip() or "?")
        yield


def refresh(store: Store, name: str, run: Callable[[], Run]) -> Change:
    """Run the chain, promote what it made if all gates hold, and write `runs/RUN/refresh.json`.

    Args:
        store: where the chain is run.
        name: of the model.
        run: runs the chain in the store.

    Raises:
        BurilError: V405 when no gate was judged, V406 when another refresh goes on, and those of the run.
    """
    with alone(store):
        served, _before = champion(store, name)
        done = run()
        change = _change(store, done, served, name)
        if change.promoted:
            promote(store, name, done.identifier, {stage: item.link for stage, item in done.artifacts.items()})
        with atomic(store.root / "runs" / done.identifier / REPORT) as path:
            path.write_text(json.dumps(change.plain(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return change


def _change(store: Store, done: Run, served: Served | None, name: str) -> Change:
    old = _artifacts(store, served)
    gates = _gates(done)
    lost = [outcome["gate"] for outcome in gates if not outcome["held"]]
    reason = _("gates that do not hold: {names}").format(names=", ".join(lost)) if lost else ""
    return Change(
        name, done.identifier, served.run if served else "", not lost, reason, tuple(sorted(done.reused)),
        (_model(old), _model(done.artifacts)), _files(old, done.artifacts), gates, _metrics(old, done.artifacts),
        _digest(old, "split") == _digest(done.artifacts, "split") != "", round(done.seconds, 3),
    )  # fmt: skip


def _artifacts(store: Store, served: Served | None) -> dict[str, Artifact]:
    links: Mapping[str, Link] = served.stages if served else {}
    found = {stage: store.linked(link) for stage, link in links.items()}
    return {stage: artifact for stage, artifact in found.items() if artifact}


def _gates(done: Run) -> tuple[dict[str, Any], ...]:
    """The gates with their outcomes.

    Raises:
        BurilError: V405 when there are none.
    """
    evaluated = done.artifacts.get("evaluate")
    gates = evaluated.json("results.json")["gates"] if evaluated else []
    if not gates:
        raise BurilError("V405")
    return tuple(gates)


def _digest(artifacts: Mapping[str, Artifact], stage: str) -> str:
    return artifacts[stage].digest if stage in artifacts else ""


def _model(artifacts: Mapping[str, Artifact]) -> str:
    return model_of({stage: artifact.link for stage, artifact in artifacts.items()})


def _files(old: Mapping[str, Artifact], new: Mapping[str, Artifact]) -> dict[str, int]:
    before, now = (_rows(part.get("split")) for part in (old, new))
    return {"added": len(now - before), "removed": len(before - now), "same": len(now & before)}


def _rows(split: Artifact | None) -> set[str]:
    shards: list[Path] = split.files("train/*.parquet") if split else []
    return {row for shard in shards for row in pq.read_table(shard, columns=["row_id"])["row_id"].to_pylist()}


def _metrics(
    old: Mapping[str, Artifact], new: Mapping[str, Artifact]
) -> dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None]]:
    """The tuned model's scores before and now, where the suite is of the same version and settings."""
    before, now = (_suites(part.get("evaluate")) for part in (old, new))
    found = {}
    for suite, told in now.items():
        known = before.get(suite, {})
        same = all(known.get(part) == told.get(part) for part in ("version", "settings"))
        for metric, values in told["metrics"].items():
            earlier = known.get("metrics", {}).get(metric, {}).get("tuned") if same else None
            found[f"{suite}.{metric}"] = (earlier, values.get("tuned"))
    return found


def _suites(evaluated: Artifact | None) -> dict[str, Any]:
    return dict(evaluated.json("results.json")["suites"]) if evaluated else {}
