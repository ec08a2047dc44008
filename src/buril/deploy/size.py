"""How much a pod asks for and may take, in processors and 10^6 bytes.

Measured with the engines of this project on two real models (135 M and 494 M parameters, weights of 2 bytes), eight
prompts of 700 tokens at once: see `docs/guides/deploy.md`. The peak is when the model is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

from buril.deploy.model import Model
from buril.deploy.settings import Deploy

Amount = tuple[float, float]
"""Processors, and memory in 10^6 bytes."""

PROGRAM_MB = 500.0
"""The interpreter and the libraries of an engine."""
LOADING = 4.5
"""Memory while the weights are read and turned into the engine's form, in sizes of the weights."""
CACHE_MB = 1024.0
"""Keys and values of the sequences on their way: the engines' own default limit."""
REMOTE_MB = 1000.0
"""A server that asks another one and loads nothing."""
CPUS = 2.0
CHECK: tuple[Amount, Amount] = ((0.1, 256), (1, 512))
"""Of the containers that copy and check a bundle: they read it once, a piece at a time."""
JOB_MB, JOB_ROOM = 16_000.0, 1.5
"""Memory of a training pod where the plan knows nothing, and room above what it knows."""


@dataclass(frozen=True)
class Size:
    """What a pod asks for, and what it may take at most."""

    requests: Amount
    limits: Amount


def server_size(model: Model, told: Deploy, *, remote: bool) -> Size:
    """The server's. Memory is asked for as it is limited: a pod that is killed for memory takes answers with it."""
    loaded = PROGRAM_MB + LOADING * model.largest / 1e6 + CACHE_MB
    memory = told.memory_gb * 1000 if told.memory_gb else round_up(REMOTE_MB if remote else loaded)
    cpus = told.cpu or (1.0 if remote else CPUS)
    return Size((cpus, memory), (cpus, memory))


def job_mb(expected_mb: float, given_gb: float | None) -> float:
    """Memory of a training pod: what is said, else what the plan expects and half as much again."""
    return given_gb * 1000 if given_gb else round_up(expected_mb * JOB_ROOM or JOB_MB)


def round_up(megabytes: float, step: float = 100.0) -> float:
    """The next hundred, so that a byte more of a bundle changes no manifest."""
    return -(-megabytes // step) * step
