"""The dashboard for Grafana, and what Prometheus asks: made from the metrics' names, so both name what is."""

from __future__ import annotations

import json
from typing import Any

from buril.deploy import contract

_RATE = "[$__rate_interval]"
PANELS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("Requests", "reqps", ((f"sum(rate({contract.DURATION}_count{_RATE}))", "all"),)),
    ("Time of a request", "s", tuple(
        (f"histogram_quantile({part}, sum by (le) (rate({contract.DURATION}_bucket{_RATE})))", f"{part:.0%}")
        for part in (0.5, 0.95, 0.99)
    )),
    ("Waiting", "short", ((f"sum by (instance) ({contract.QUEUE})", "{{instance}}"),)),
    ("Mean time of a request", "s", (
        (f"sum(rate({contract.DURATION}_sum{_RATE})) / sum(rate({contract.DURATION}_count{_RATE}))", "mean"),
    )),
    ("Servers that answer", "short", (('sum(up{job="buril"})', "up"),)),
)  # fmt: skip
"""Title, unit, and queries with their legend."""
WIDTH, HEIGHT = 12, 8


def dashboard() -> str:
    """The dashboard as JSON."""
    panels = [_panel(number, *told) for number, told in enumerate(PANELS)]
    found = {
        "uid": "buril", "title": "buril", "schemaVersion": 39, "editable": True, "refresh": "30s",
        "timezone": "browser", "time": {"from": "now-6h", "to": "now"}, "panels": panels,
        "tags": ["buril"], "templating": {"list": []},
    }  # fmt: skip
    return json.dumps(found, indent=1) + "\n"


def _panel(number: int, title: str, unit: str, queries: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "prometheus"}
    targets = [
        {"refId": chr(ord("A") + place), "expr": query, "legendFormat": legend, "datasource": source}
        for place, (query, legend) in enumerate(queries)
    ]
    grid = {"x": WIDTH * (number % 2), "y": HEIGHT * (number // 2), "w": WIDTH, "h": HEIGHT}
    return {
        "id": number + 1, "type": "timeseries", "title": title, "datasource": source, "gridPos": grid,
        "targets": targets, "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
    }  # fmt: skip


def scrape() -> dict[str, Any]:
    """Prometheus' own YAML: the server, every fifteen seconds."""
    job = {
        "job_name": "buril",
        "metrics_path": contract.METRICS,
        "static_configs": [{"targets": [f"server:{contract.PORT}"]}],
    }
    return {"global": {"scrape_interval": "15s"}, "scrape_configs": [job]}
