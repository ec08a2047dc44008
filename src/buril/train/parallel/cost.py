"""What several processes take: the memory of each, and how much faster they are together. Nothing here loads torch."""

from __future__ import annotations

from dataclasses import replace

from buril.train.memory import BF16, FP32, Load, Memory, Method, Model, memory
from buril.train.parallel.settings import Parallel

TOGETHER = 0.9
"""Share of their speed that processes keep on GPUs when they train together: a guess, links and models differ."""
AT_WORK = 2
"""Layers that are put together at once: the one at work, and the next one on its way."""


def num_processes(told: Parallel) -> int:
    """All processes, of all machines."""
    return told.processes * told.machines


def each(model: Model, method: Method, load: Load, told: Parallel) -> Memory:
    """The memory of one process of a training.

    Tensor parallelism divides heads and the inner width, and with them all that a layer keeps of them. Pieces divide
    what stays (weights, gradients, the optimizer's memory); what is at work is put together on top.
    """
    held = told.tensor
    own = replace(model, heads=-(-model.heads // held), kv_heads=-(-model.kv_heads // held), inner=model.inner // held)
    found = memory(own, method, load)
    pieces = num_processes(told) // held if told.shard != "none" else 1
    if pieces <= 1:
        return found
    unit = BF16 if load.bf16 else FP32
    layer = unit * own.linear / own.layers
    tables = unit * own.table * (1 if own.tied else 2)
    together = AT_WORK * layer + tables if told.shard == "weights" else layer * own.layers + tables
    gradient = (
        FP32 * (own.linear / own.layers + own.table) if method.whole else 0.0
    )  # of what is at work, before its sum
    return replace(
        found,
        weights=found.weights / pieces + together,
        trained=found.trained / pieces + gradient,
        loading=found.libraries if load.gpu else found.loading,  # a GPU gets its pieces layer by layer
    )


def gain(told: Parallel, *, gpu: bool) -> float:
    """How much faster all processes are than one; on one CPU they share its cores, so not at all."""
    count = num_processes(told) if gpu else told.machines
    return count * TOGETHER if count > 1 else 1.0
