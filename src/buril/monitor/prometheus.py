"""Prometheus: a look as a text file that the node exporter's textfile collector reads.

The format is that of https://prometheus.io/docs/instrumenting/exposition_formats/ (text, version 0.0.4). Alert rules
that fit these names are in `deploy/prometheus/alerts.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from buril.core.artifact import atomic
from buril.core.errors import BurilError
from buril.monitor.clocks import Reading
from buril.monitor.drift import Drift

METRICS: dict[str, str] = {
    "buril_drift": "Whether a clock is above its limit.",
    "buril_drift_value": "The statistic of a clock.",
    "buril_drift_limit": "The limit of a clock.",
    "buril_drift_since_seconds": "When the drift of a clock began, in seconds since the epoch.",
    "buril_drift_waiting": "Whether a clock has too little traffic to answer.",
    "buril_monitor_requests": "Requests in the window.",
    "buril_monitor_until_seconds": "End of the window, in seconds since the epoch.",
}


def render(drift: Drift) -> str:
    """The text of the file: every metric with its help and type, and one line a clock."""
    common = {"model": drift.model, "dataset": drift.dataset}
    samples: dict[str, list[str]] = {name: [] for name in METRICS}
    for reading in drift.readings:
        labels = {"clock": reading.clock, "language": reading.language, **common}
        for name, value in _values(reading):
            samples[name].append(_sample(name, labels, value))
    samples["buril_monitor_requests"].append(_sample("buril_monitor_requests", common, drift.requests))
    samples["buril_monitor_until_seconds"].append(_sample("buril_monitor_until_seconds", common, drift.until))
    lines = []
    for name, told in METRICS.items():
        if samples[name]:
            lines += [f"# HELP {name} {told}", f"# TYPE {name} gauge", *samples[name]]
    return "\n".join(lines) + "\n"


def _values(reading: Reading) -> Iterator[tuple[str, float]]:
    yield "buril_drift", float(reading.state == "drift")
    yield "buril_drift_waiting", float(reading.state == "waiting")
    for name, value in (("value", reading.value), ("limit", reading.limit), ("since_seconds", reading.since)):
        if value is not None:
            yield f"buril_drift_{name}", value


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{told}}} {value:.10g}".replace(" inf", " +Inf")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def write(path: Path, drift: Drift) -> None:
    """Write the file, whole or not at all.

    Raises:
        BurilError: V402 when it can't be written.
    """
    try:
        with atomic(path) as temporary:
            temporary.write_text(render(drift), encoding="utf-8")
            temporary.chmod(0o644)  # the collector is another user
    except OSError as problem:
        raise BurilError("V402", path=path, problem=problem.strerror or problem) from problem
