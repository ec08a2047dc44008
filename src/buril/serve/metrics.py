"""What a server counts: Prometheus metrics of counts alone, no text.

They are named after OpenTelemetry's conventions for generative AI where these have a name:
`gen_ai.server.time_to_first_token` is `gen_ai_server_time_to_first_token_seconds`.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from buril.serve.writing import AnyEngine

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)


class Metrics:
    """The counters of one server.

    Args:
        model: the name that the metrics carry.
        digest: of the model, so that what is counted says of what.
    """

    def __init__(self, model: str, digest: str) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

        self.registry: CollectorRegistry = CollectorRegistry()
        registry = self.registry
        self._told = {"gen_ai_request_model": model}
        labels = list(self._told)
        Info("buril_model", "The served model.", registry=registry).info({"name": model, "digest": digest})
        self.requests = Counter(
            "buril_requests", "Requests, by route and status.", ["route", "status"], registry=registry
        )
        self.duration = Histogram("gen_ai_server_request_duration_seconds", "From a request to the end of its answer.",
                                  labels, buckets=SECONDS, registry=registry)  # fmt: skip
        self.first = Histogram("gen_ai_server_time_to_first_token_seconds", "From a request to its first token.",
                               labels, buckets=SECONDS, registry=registry)  # fmt: skip
        self.each = Histogram("gen_ai_server_time_per_output_token_seconds", "Between tokens, after the first.",
                              labels, buckets=SECONDS, registry=registry)  # fmt: skip
        self.tokens = Histogram("gen_ai_client_token_usage", "Tokens of a request.", [*labels, "gen_ai_token_type"],
                                buckets=TOKENS, registry=registry)  # fmt: skip
        self.finished = Counter("buril_answers", "Samples that ended, by why.", ["finish_reason"], registry=registry)
        self.guards = Counter("buril_guards", "What guards did.", ["guard", "action"], registry=registry)
        self.reused = Counter("buril_reused", "Requests by where their answer was.", ["how"], registry=registry)
        self.refused = Counter("buril_refused", "Requests without an answer, by why.", ["reason"], registry=registry)
        self.queue = Gauge("buril_queue_depth", "Samples that wait for their turn.", registry=registry)
        self.running = Gauge("buril_running", "Samples that are being written.", registry=registry)
        self.ready = Gauge("buril_ready", "Whether the model is loaded and warm.", registry=registry)

    def named(self, model: str) -> Metrics:
        """The same counters under the name of a model beside."""
        other = copy(self)
        other._told = {**self._told, "gen_ai_request_model": model}
        return other

    def watch(self, engine: AnyEngine, is_ready: Callable[[], bool]) -> None:
        """Read the engine's queue whenever somebody asks."""
        self.queue.set_function(lambda: engine.num_waiting)
        self.running.set_function(lambda: engine.num_running)
        self.ready.set_function(lambda: float(is_ready()))

    def answered(self, *, seconds: float, first_s: float | None, prompt_tokens: int, tokens: int) -> None:
        """Count an answer."""
        self.duration.labels(**self._told).observe(seconds)
        if first_s is not None:
            self.first.labels(**self._told).observe(first_s)
            if tokens > 1:
                self.each.labels(**self._told).observe(max(0.0, seconds - first_s) / (tokens - 1))
        for kind, number in (("input", prompt_tokens), ("output", tokens)):
            self.tokens.labels(**self._told, gen_ai_token_type=kind).observe(number)

    def text(self) -> bytes:
        """All of them as Prometheus reads them."""
        from prometheus_client import generate_latest

        found: bytes = generate_latest(self.registry)
        return found
