"""What a training will cost here: the counts of `memory.py` for these settings and inputs, and this machine's speed.

Memory and disk are computed. Time is the number of operations by the speed that matrices multiply at on this machine,
measured for a moment, until a training or a probe has run here: then its own speed is taken.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from buril.core.artifact import Artifact
from buril.core.estimate import Estimate, Past, scale
from buril.core.machine import memory_mb
from buril.core.text import _
from buril.train.defaults import EPOCHS, settled
from buril.train.machine import resolve_precision
from buril.train.memory import (
    LIBRARIES,
    Load,
    Memory,
    Method,
    Model,
    disk,
    forward_operations,
    layers_twice,
    operations,
)
from buril.train.parallel.cost import each, gain, num_processes
from buril.train.parallel.settings import Parallel
from buril.train.schedule import interval, num_steps

START_S = 15.0
"""Imports, loading and writing."""
EFFICIENCY = 0.55
"""Share of the speed of large matrices that a whole step reaches on a CPU, measured with `benchmarks/estimate.py`."""
BF16_GAIN = 2.4
"""How much faster than fp32 a CPU with bf16 instructions multiplies (measured: AMD Zen 4)."""
GPU_OPERATIONS_PER_S = 50e12
"""Operations a second of a GPU of which nothing is known, with what training loses: a guess for a data-centre card."""
SPARE = 0.9
"""Share of the free memory that `checkpoint_layers: auto` fills."""
LEAST_SHOWN = 5e6
"""Bytes that are worth a word of a plan."""
PER_OPERATION = 4.0
"""Operations of a unit of work: one unit is about a token times a parameter of LoRA training."""


def shape(settings: Any, inputs: Mapping[str, Artifact]) -> tuple[Model, Method, Load]:
    """The sizes of a training, from its settings and the artifacts it reads; nothing is loaded."""
    settings = settled(settings, inputs)
    summary = inputs["pack"].json("summary.json")
    length = int(summary["max_length"])
    bf16 = resolve_precision(settings.precision, settings.device) == "bf16"
    twice = settings.checkpoint_layers
    row = min(max(length, settings.micro_batch_tokens), length * settings.batch_size)
    load = Load(row, length, bf16, gpu=on_gpu(settings.device), twice=0 if twice == "auto" else twice)
    return Model.of(inputs["base"].json("model/config.json")), Method.of(settings.method.make()), load


def on_gpu(device: str) -> bool:
    """Whether a device setting means a GPU, by what stands in /proc; torch is not asked."""
    from buril.train.machine import NVIDIA

    return device.startswith("cuda") or (device == "auto" and NVIDIA.exists())


def resolve_layers(settings: Any, inputs: Mapping[str, Artifact], *, free: float | None = None) -> Load:
    """How a step is run when `checkpoint_layers` has been decided.

    Args:
        settings: of the stage.
        inputs: base and pack.
        free: bytes that the training may take in all; None asks the machine (of a GPU, torch must be loaded).
    """
    model, method, load = shape(settings, inputs)
    if settings.checkpoint_layers != "auto":
        return load
    free = free if free is not None else free_bytes(settings.device) / sharing(settings, load)
    cost = partial(each, told=settings.parallel)
    return replace(load, twice=layers_twice(model, method, load, free=SPARE * free, cost=cost) if free else 0)


def sharing(settings: Any, load: Load) -> int:
    """Processes that share a device's memory: those of a machine share its main memory, and have a GPU each."""
    return 1 if load.gpu else int(settings.parallel.processes)


def free_bytes(device: str) -> float:
    """Free memory of the device that trains, with what this process's libraries already take; 0 when it is unknown."""
    if not on_gpu(device):
        return memory_mb()[1] * 1e6 + (LIBRARIES if _torch_is_loaded() else 0)
    if not _torch_is_loaded():
        return 0.0  # a plan does not load torch for it
    import torch

    if not torch.cuda.is_available():
        return 0.0
    return float(torch.cuda.mem_get_info(None if device in ("auto", "cuda") else device)[0])


def _torch_is_loaded() -> bool:
    import sys

    return "torch" in sys.modules


def work_of(settings: Any, inputs: Mapping[str, Artifact]) -> float:
    """The operations of a whole training, evaluations included, in units of `PER_OPERATION`."""
    model, method, load = shape(settings, inputs)
    summary = inputs["pack"].json("summary.json")
    tokens, steps = run_length(settled(settings, inputs), summary)
    evaluated = min(settings.eval_tokens, summary.get("valid", {}).get("tokens", settings.eval_tokens))
    if settings.federated:
        evaluations = 1 + settings.federated.rounds
    else:
        evaluations = 1 + -(-steps // (settings.eval_every or interval(steps)))
    total = tokens * operations(model, method, load) + evaluations * evaluated * forward_operations(model, load)
    return float(total / PER_OPERATION)


def run_length(settings: Any, summary: Mapping[str, Any]) -> tuple[float, int]:
    """Tokens and steps of a training whose settings are settled, early stopping and a budget of time aside.

    Simulated clients are counted together, as they take turns; clients elsewhere are not, as this machine makes none
    of their steps.
    """
    told = settings.federated
    clients = told.clients if told else 1
    if told and told.listen:
        return 0.0, 0
    sequences, size = max(1, -(-summary["sequences"] // clients)), settings.batch_size
    epochs = settings.epochs or EPOCHS
    limit = told.local_steps * told.rounds if told and told.local_steps else settings.max_steps
    steps = num_steps(sequences, batch_size=size, epochs=epochs, max_steps=limit)
    if told:
        steps = max(told.rounds, limit or steps)  # a round has a step, and what is asked for is made
    return summary["tokens"] / clients * steps / -(-sequences // size) * clients, steps * clients


def expected_memory(settings: Any, inputs: Mapping[str, Artifact]) -> tuple[Memory, Load]:
    """The memory of a process on the device that trains, and how a step is run for it."""
    model, method, _load = shape(settings, inputs)
    load = resolve_layers(settings, inputs)
    return each(model, method, load, settings.parallel), load


def expect(settings: Any, inputs: Mapping[str, Artifact], past: Sequence[Past]) -> Estimate:
    """The cost of a training.

    Time is scaled from past runs, the rest is computed; where a probe has measured memory, its ratio to what was then
    computed corrects it.
    """
    model, method, load = shape(settings, inputs)
    work = work_of(settings, inputs)
    found, load = expected_memory(settings, inputs)
    finished, checkpoints = disk(model, method)
    assumed = Estimate(
        seconds=START_S + work * PER_OPERATION / _speed(settings, load),
        ram_mb=_host_mb(found, model, load, settings.parallel),
        disk_mb=(finished + checkpoints) / 1e6,
        gpu_mb=found.total / 1e6 if load.gpu else 0.0,
    )
    steps = run_length(settled(settings, inputs), inputs["pack"].json("summary.json"))[1]
    ratio = next((run.ram_mb / run.expected_ram_mb for run in past if run.expected_ram_mb), 1.0)
    scaled = _within(settings, scale(work, past, assumed))
    corrected = replace(scaled, ram_mb=assumed.ram_mb * ratio, disk_mb=assumed.disk_mb)
    probed = 0.0 if load.gpu else found.total * (ratio - 1)
    said = _said(found, load, steps=steps, seconds=scaled.seconds / max(1, steps), probed=probed)
    return replace(corrected, note="; ".join([said, *_shared(settings)]))


def _shared(settings: Any) -> list[str]:
    """Who else takes part: other processes, or the clients of a federation."""
    processes, told = num_processes(settings.parallel), settings.federated
    if told and told.listen:
        return [_("{count} clients train elsewhere").format(count=told.clients)]
    if told:
        return [_("of {count} clients together, one after the other").format(count=told.clients)]
    return [_("each of {count} processes").format(count=processes)] if processes > 1 else []


def _within(settings: Any, found: Estimate) -> Estimate:
    """An estimate with the time that `minutes` allows, where it is of the wall's clock."""
    if not settings.minutes or settings.clock == "processor":
        return found
    budget = START_S + 60 * settings.minutes
    bounded = settings.epochs or settings.max_steps  # else nothing but the budget ends it
    return replace(found, seconds=min(found.seconds, budget) if bounded else budget)


def _said(found: Memory, load: Load, *, steps: int, seconds: float, probed: float) -> str:
    """The steps, and what the memory is for, in a line whose parts add up to the estimate.

    Args:
        found: what was computed.
        load: how a step is run.
        steps: how many there are.
        seconds: what one takes.
        probed: bytes that the last probe's correction adds.
    """
    parts = {
        _("weights"): found.weights, _("trained"): found.trained, _("activations"): found.activations + found.work,
        _("output layer"): found.head, _("libraries"): found.libraries, _("lost between the pieces"): found.slack,
    }  # fmt: skip
    parts |= {_("more while loading"): found.total - sum(parts.values()), _("by the last probe"): probed}
    shown = (f"{name} {size / 1e9:.2f} GB" for name, size in parts.items() if abs(size) >= LEAST_SHOWN)
    text = _("{steps} steps of about {seconds:.1f} s; memory: {parts}").format(
        steps=f"{steps:,}", seconds=seconds, parts=", ".join(shown)
    )
    twice = _("{number} layers computed twice").format(number=load.twice)
    return f"{text}; {twice}" if load.twice else text


def _host_mb(found: Memory, model: Model, load: Load, told: Parallel) -> float:
    """Main memory of a machine, at the worst moment of all its processes."""
    from buril.train.memory import CUDA_LIBRARIES

    if not load.gpu:
        return told.processes * found.total / 1e6
    # in pieces, each process reads the whole before it keeps its own
    weights = model.parameters * model.file_bytes * (told.processes if told.split else 1)
    return (told.processes * CUDA_LIBRARIES + weights) / 1e6


def _speed(settings: Any, load: Load) -> float:
    """Operations a second of all processes together."""
    one = operations_per_s(bf16=load.bf16, gpu=load.gpu, tflops=settings.gpu_tflops)
    return one * gain(settings.parallel, gpu=load.gpu)


def operations_per_s(*, bf16: bool, gpu: bool, tflops: float = 0.0) -> float:
    """Operations a second that a step of training reaches here, by the speed of one multiplication.

    Args:
        bf16: multiply in it.
        gpu: on one, of which `tflops` is known or nothing (0).
        tflops: what it reaches in training, in 10¹² operations a second.
    """
    if gpu:
        return tflops * 1e12 or GPU_OPERATIONS_PER_S
    return multiplication_speed() * EFFICIENCY * (BF16_GAIN if bf16 else 1.0)


@lru_cache(maxsize=1)
def multiplication_speed() -> float:
    """Operations a second of fp32 matrices of 1024 on all processors, the best of a few tries: some 0.2 s."""
    import numpy as np

    left, best = np.ones((1024, 1024), dtype=np.float32), float("inf")
    for _attempt in range(4):
        began = time.perf_counter()
        left @ left
        best = min(best, time.perf_counter() - began)
    return 2.0 * 1024**3 / best
