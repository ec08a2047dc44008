"""Plan and run: which stages are reused, which run, which wait for another, and what it will cost.

A stage *waits* when something it reads has yet to be made: then its key is not known, and whether it runs depends on
the bytes that come out. `run` decides again at every stage, which is what makes the early cut-off real.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from buril.core.artifact import Artifact, Link
from buril.core.estimate import Estimate
from buril.core.events import EventLog
from buril.core.stage import Stage
from buril.core.store import Store, identity_of, key_of
from buril.core.text import _
from buril.core.workers import Unfinished


@dataclass(frozen=True)
class Step:
    """One line of a plan. `artifact` is what is reused, or for a waiting stage what it is expected to be."""

    stage: Stage
    action: Literal["reuse", "run", "wait"]
    reason: str
    artifact: Artifact | None = None
    estimate: Estimate | None = None


def plan(stages: Sequence[Stage], store: Store) -> list[Step]:
    """What `run` would do now, stage by stage, without doing it."""
    sure: dict[str, Artifact] = {}
    likely: dict[str, Artifact] = {}
    steps = []
    for stage in stages:
        step = _step(stage, store, sure, likely)
        steps.append(step)
        if step.action == "reuse" and step.artifact:
            sure[stage.name] = step.artifact
        expected = step.artifact or next(store.artifacts(stage.name), None)
        if expected:
            likely[stage.name] = expected
    return steps


def _step(stage: Stage, store: Store, sure: Mapping[str, Artifact], likely: Mapping[str, Artifact]) -> Step:
    missing = [name for name in stage.needs() if name not in sure]
    inputs = {name: likely[name] for name in stage.needs() if name in likely}
    identity = identity_of(stage)
    key = key_of(identity, {name: artifact.digest for name, artifact in inputs.items()})
    found = store.find(stage.name, key) if len(inputs) == len(stage.needs()) else None
    if found and not missing:
        return Step(stage, "reuse", "", found)
    cost = stage.estimate(inputs, store.past(stage.name)) if len(inputs) == len(stage.needs()) else None
    if missing:
        names = ", ".join(missing)
        if found:
            return Step(stage, "wait", _("reused if {names} comes out the same").format(names=names), found, cost)
        return Step(stage, "wait", _("after {names}").format(names=names), None, cost)
    return Step(stage, "run", why_run(store, identity, inputs), None, cost)


def why_run(store: Store, identity: Mapping[str, Any], inputs: Mapping[str, Artifact]) -> str:
    """Why nothing in the store serves: what differs from the latest artifact of the same stage."""
    last = next(store.artifacts(str(identity["stage"])), None)
    if last is None:
        return _("not made yet")
    changes = [
        f"{name}: {_show(old)} → {_show(new)}" for name, old, new in differences(last.manifest.identity, identity)
    ]
    changes += [
        _("{name} changed").format(name=name)
        for name, artifact in inputs.items()
        if name in last.manifest.inputs and last.manifest.inputs[name].digest != artifact.digest
    ]
    return "; ".join(changes[:3]) + ("; …" if len(changes) > 3 else "") or _("not made yet")


def differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The leaves in which two JSON values differ, as (dotted name, old, new); `settings.` is left off the names.

    Example:
        `list(differences({"a": {"b": 1}}, {"a": {"b": 2}}))` → `[("a.b", 1, 2)]`
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(
                old.get(key), new.get(key), f"{name}.{key}" if name and name != "settings" else str(key)
            )
    elif old != new:
        yield name, old, new


def _show(value: Any) -> str:
    text = _("nothing") if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "…"


@dataclass(frozen=True)
class Run:
    """What a run made: the artifacts by stage, and which of them were there already."""

    name: str
    identifier: str
    artifacts: dict[str, Artifact]
    reused: frozenset[str]
    seconds: float
    unfinished: Unfinished | None = None
    """Set when this was one part of an array and other parts have yet to be done: the stages end before that one."""


def run(
    stages: Sequence[Stage],
    store: Store,
    *,
    name: str,
    command: str = "",
    watch: Callable[[EventLog], Any] | None = None,
) -> Run:
    """Run stages in order; each finds or makes its artifact. Interrupted, the next call goes on from there.

    Args:
        stages: in an order that puts what a stage needs before it.
        store: where the artifacts are.
        name: what the reference is called (`NAME@latest`).
        command: the command line, for the record.
        watch: called with the event log before the first stage; what it returns is closed after the last.
    """
    identifier = time.strftime("%Y%m%d-%H%M%S") + f"-{time.time_ns() % 10**6:06d}"
    events = EventLog(store.root / "runs" / identifier / "events.jsonl")
    events.emit("run_start", name=name, run=identifier, command=command, stages=[stage.name for stage in stages])
    display = watch(events) if watch else None
    made: dict[str, Artifact] = {}
    reused: set[str] = set()
    clock = time.monotonic()
    outcome, unfinished = "failed", None
    try:
        for stage in stages:
            made[stage.name], there = _one(stage, store, made, events)
            reused |= {stage.name} if there else set()
            store.set_ref(name, {stage_name: artifact.link for stage_name, artifact in made.items()}, identifier)
        store.set_ref(name, _links(made), identifier, finished=True)
        outcome = "ok"
    except Unfinished as part:
        outcome, unfinished = "part", part
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        seconds = time.monotonic() - clock
        events.emit("run_end", outcome=outcome, seconds=round(seconds, 3))
        if display:
            display.close()
        events.close()
    return Run(name, identifier, made, frozenset(reused), seconds, unfinished)


def _links(made: Mapping[str, Artifact]) -> dict[str, Link]:
    return {name: artifact.link for name, artifact in made.items()}


def _one(stage: Stage, store: Store, made: Mapping[str, Artifact], events: EventLog) -> tuple[Artifact, bool]:
    inputs = {name: made[name] for name in stage.needs()}
    events.emit("stage_start", stage.name)
    done = False
    try:
        artifact, there = store.make(stage, inputs, events)
        done = True
    except Unfinished as part:
        done = True
        events.emit("stage_part", stage.name, num_left=part.num_left)
        raise
    finally:
        if not done:
            events.emit("stage_failed", stage.name)
    manifest = artifact.manifest
    events.emit(
        "stage_reuse" if there else "stage_end",
        stage.name,
        key=artifact.key,
        digest=artifact.digest,
        seconds=manifest.seconds,
        metrics=manifest.metrics,
        resumed=manifest.resumed,
    )
    return artifact, there
