"""The dashboard for Grafana, and what Prometheus asks: made from the metrics' names, so both name what is."""

from __future__ import annotations

import json
from typing import Any

from buril.deploy import contract

_RATE = "[$__rate_interval]"
Panel = tuple[str, str, tuple[tuple[str, str], ...]]


def _quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    query = f"sum by (le) (rate({metric}_bucket{_RATE}))"
    return tuple((f"histogram_quantile({part}, {query})", f"{part:.0%}") for part in (0.5, 0.95, 0.99))


def _rates(metric: str, label: str) -> tuple[tuple[str, str], ...]:
    return ((f"sum by ({label}) (rate({metric}{_RATE}))", f"{{{{{label}}}}}"),)


PANELS: tuple[Panel, ...] = (
    ("Requests", "reqps", _rates(contract.REQUESTS, "status")),
    ("Time of a request", "s", _quantiles(contract.DURATION)),
    ("Time to the first token", "s", _quantiles(contract.FIRST_TOKEN)),
    ("Time of a further token", "s", _quantiles(contract.NEXT_TOKEN)),
    ("Waiting", "short", ((f"sum by (instance) ({contract.QUEUE})", "{{instance}}"),)),
    ("Being written", "short", ((f"sum by (instance) ({contract.RUNNING})", "{{instance}}"),)),
    ("Tokens a second", "short", _rates(f"{contract.TOKENS}_sum", "gen_ai_token_type")),
    ("Refused", "reqps", _rates(contract.REFUSED, "reason")),
    ("What guards did", "reqps", _rates(contract.GUARDS, "action")),
    ("Servers that are ready", "short", ((f"sum({contract.IS_READY})", "ready"), ('sum(up{job="buril"})', "up"))),
)
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
