"""The chain as the report shows it: one row a stage, from its manifest and from the events of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from buril.chain import STAGES
from buril.core.artifact import Artifact
from buril.core.estimate import Estimate, Machine


@dataclass(frozen=True)
class StageRow:
    """One stage. `status` is a key of `words.STATUS`; the other fields are empty where nothing was made.

    `seconds` is what making the artifact took, also where this run reused it; `bytes` is on disk, in bytes.
    """

    name: str
    status: str
    version: int = 0
    seconds: float = 0.0
    num_files: int = 0
    bytes: int = 0
    key: str = ""
    digest: str = ""
    peak_ram_mb: float = 0.0
    started: str = ""
    resumed: bool = False


@dataclass(frozen=True)
class RunFacts:
    """What a run took. `seconds` is this run's wall time (None without events); `made_s` sums over all artifacts."""

    identifier: str
    outcome: str
    seconds: float | None
    made_s: float
    made_kwh: float
    run_kwh: float | None
    watts: float
    last_started: str


def in_order(artifacts: Mapping[str, Artifact]) -> dict[str, Artifact]:
    """Artifacts in the order of the chain; stages that it does not know come last, by name."""
    order = {name: index for index, name in enumerate(STAGES)}
    names = sorted(artifacts, key=lambda name: (order.get(name, len(order)), name))
    return {name: artifacts[name] for name in names}


def stage_rows(artifacts: Mapping[str, Artifact], events: Sequence[Mapping[str, Any]] | None) -> tuple[StageRow, ...]:
    """One row a stage, in the order of the chain: what was made, and what the last run tried and did not make."""
    statuses = _statuses(last_run(events)) if events else {}
    known = in_order(artifacts)
    rows = [_row(name, artifact, statuses.get(name, "made")) for name, artifact in known.items()]
    rows += [
        StageRow(name, status)
        for name, status in statuses.items()
        if name not in known and status in ("failed", "stopped")
    ]
    return tuple(rows)


def _row(name: str, artifact: Artifact, status: str) -> StageRow:
    manifest = artifact.manifest
    return StageRow(
        name, status, manifest.version, manifest.seconds,
        len(manifest.files), sum(entry.bytes for entry in manifest.files),
        manifest.key, manifest.digest, manifest.peak_ram_mb, manifest.started, manifest.resumed,
    )  # fmt: skip


def last_run(events: Sequence[Mapping[str, Any]] | None) -> list[Mapping[str, Any]]:
    """The events from the last `run_start` on; all of them where there is none."""
    found = list(events or ())
    starts = [index for index, event in enumerate(found) if event.get("kind") == "run_start"]
    return found[starts[-1] :] if starts else found


def _statuses(events: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The status of each stage that the events name; a later event overrules an earlier one."""
    meaning = {"stage_start": "stopped", "stage_reuse": "reused", "stage_end": "run", "stage_failed": "failed"}
    return {
        str(event["stage"]): meaning[str(event.get("kind"))]
        for event in events
        if event.get("stage") and event.get("kind") in meaning
    }


def run_facts(
    artifacts: Mapping[str, Artifact], events: Sequence[Mapping[str, Any]] | None, machine: Machine
) -> RunFacts:
    """Times and energy: of the run that the events tell of, and of everything that the artifacts took to make.

    The energy is an estimate: wall time times the machine's mean power. It is not measured.
    """
    manifests = [artifact.manifest for artifact in artifacts.values()]
    made_s = sum(manifest.seconds for manifest in manifests)
    run = last_run(events)
    start: Mapping[str, Any] = next((event for event in run if event.get("kind") == "run_start"), {})
    end: Mapping[str, Any] = next((event for event in reversed(run) if event.get("kind") == "run_end"), {})
    seconds = _number(end.get("seconds"))
    if seconds is None and start and end:
        seconds = _number(end.get("time", 0.0) - start.get("time", 0.0))
    return RunFacts(
        identifier=str(start.get("run", "")),
        outcome=str(end.get("outcome", "")),
        seconds=seconds,
        made_s=made_s,
        made_kwh=Estimate(made_s).kwh(machine),
        run_kwh=None if seconds is None else Estimate(seconds).kwh(machine),
        watts=machine.watts,
        last_started=max((manifest.started for manifest in manifests), default=""),
    )


def command_of(events: Sequence[Mapping[str, Any]] | None) -> str:
    """The command line that the last run recorded, or an empty text."""
    return next((str(event.get("command", "")) for event in last_run(events) if event.get("kind") == "run_start"), "")


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
