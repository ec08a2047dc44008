"""What the server promises to who runs it: its port, its paths, its options, the metrics that are counted on.

One place for what stands in manifests, in container files and on the dashboard; tests hold the server to it.
"""

from __future__ import annotations

PORT = 8080
LIVE = "/healthz"
"""Answers while the process lives; it never asks the engine, so a busy model is not killed."""
READY = "/readyz"
"""Answers 200 only once the model is loaded and has written a token."""
METRICS = "/metrics"

QUEUE = "buril_queue_depth"
"""Gauge: requests that wait in this process."""
DURATION = "gen_ai_server_request_duration_seconds"
"""Histogram: seconds of a request, of OpenTelemetry's conventions for generative models, as the next three."""
FIRST_TOKEN = "gen_ai_server_time_to_first_token_seconds"  # noqa: S105  the name of a metric
NEXT_TOKEN = "gen_ai_server_time_per_output_token_seconds"  # noqa: S105  the name of a metric
TOKENS = "gen_ai_client_token_usage"
"""Histogram: tokens of a request, by `gen_ai_token_type`."""
REQUESTS, REFUSED, GUARDS = "buril_requests_total", "buril_refused_total", "buril_guards_total"
"""Counters: by `status`, by `reason`, by `action`."""
RUNNING, IS_READY = "buril_running", "buril_ready"
"""Gauges: requests that are being answered; whether the model is loaded."""
COUNTED = {DURATION: "histogram", FIRST_TOKEN: "histogram", NEXT_TOKEN: "histogram", TOKENS: "histogram",
           REQUESTS: "counter", REFUSED: "counter", GUARDS: "counter", QUEUE: "gauge", RUNNING: "gauge",
           IS_READY: "gauge"}  # fmt: skip
"""Every metric that is counted on, with its kind."""

BUNDLE, CONFIG, KEYS, STATE, TEMPORARY = "/bundle", "/etc/buril", "/run/secrets/buril", "/state", "/tmp"  # noqa: S108  a folder of the container, which has one of its own
CONFIG_FILE, KEYS_FILE, DIGEST_FILE, MANIFEST = "buril.yaml", "keys", "bundle.sha256", "bundle.json"
USER = 10001
"""The user and group inside our images; above those that hosts have."""


def serve(bundle: str, *, state: str, grace_s: int) -> list[str]:
    """The command line of the server in a container."""
    return [
        "buril", "serve", "--config", f"{CONFIG}/{CONFIG_FILE}", "--bundle", bundle, "--host", "0.0.0.0",  # noqa: S104  a container's only way to be reached; the network policy says by whom
        "--port", str(PORT), "--keys", f"{KEYS}/{KEYS_FILE}", "--state", state, "--grace", str(grace_s),
    ]  # fmt: skip


def check(bundle: str) -> list[str]:
    """The command line that holds every file of a bundle to its digest."""
    return ["buril", "export", "check", bundle]


def same(digests: str) -> list[str]:
    """The command line that holds the bundle to the one that was deployed; `digests` is a file of `sha256sum`."""
    return ["sha256sum", "--check", "--strict", digests]
