"""What a training tells while it runs: gradients by part of the model, speed, use of the machine, energy, money.

All of it goes to the run's events, and to `logs/speed.jsonl` and `logs/evaluations.jsonl`; none of it is part of what
the artifact is, since none of it comes out the same twice.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from buril.core.estimate import JOULES_PER_KWH, Machine
from buril.core.stage import Output
from buril.train.batch import Packed
from buril.train.memory import token_operations
from buril.train.methods._trainable import Trainable
from buril.train.parallel.team import ALONE, Team, local
from buril.train.state import Progress

PARTS = (
    ("norms", ("norm", "ln_")),
    ("embeddings", ("embed", "lm_head", "token_adapter", "wte", "wpe")),
    ("attention", ("attn", "attention")),
    ("mlp", ("mlp", "feed_forward", "ffn")),
)
"""Part of a model → what stands in the names of its parameters, as transformers gives them; the first that fits."""
_LAYER = re.compile(r"\.(?:layers?|h|blocks?)\.(\d+)\.")
PEAK_SIDES = (256, 512, 1024, 2048, 4096, 8192)
PEAK_SECONDS = 0.4
RAPL = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Norms:
    """Norms of a step's gradients: of all together, and of each parameter."""

    total: torch.Tensor
    by_name: dict[str, float]

    @classmethod
    @torch.no_grad()
    def of(cls, parameters: Mapping[str, torch.nn.Parameter], team: Team = ALONE) -> Norms:
        """The norms, each gradient read once; those of whole gradients where a process has a piece of each."""
        grads = {name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None}
        each = torch._foreach_norm([local(grad) for grad in grads.values()])
        joined = torch.stack([norm.to(each[0].device) for norm in each])
        joined = team.norms(joined, list(grads.values()))
        return cls(torch.linalg.vector_norm(joined), dict(zip(grads, joined.tolist(), strict=True)))

    def by_part(self) -> dict[str, float]:
        """Attention, feed-forward, embeddings and norms; `other` for what is called otherwise."""
        return _together((part_of(name), norm) for name, norm in self.by_name.items())

    def by_layer(self) -> list[float]:
        """One number a layer, from the input up."""
        numbered = ((found[1], norm) for name, norm in self.by_name.items() if (found := _LAYER.search(name)))
        return [norm for _number, norm in sorted(_together(numbered).items(), key=lambda item: int(item[0]))]


def part_of(name: str) -> str:
    """The part of the model that a parameter belongs to.

    Example:
        `part_of("model.layers.0.self_attn.q_proj.weight")` is `attention`.
    """
    return next((part for part, marks in PARTS if any(mark in name for mark in marks)), "other")


def _together(norms: Iterable[tuple[str, float]]) -> dict[str, float]:
    squares: dict[str, float] = {}
    for name, norm in norms:
        squares[name] = squares.get(name, 0.0) + norm * norm
    return {name: float(f"{math.sqrt(square):.4g}") for name, square in sorted(squares.items())}


class Work:
    """The floating-point operations that a step needs, by the matrices of the model as it is, adapters among them."""

    def __init__(self, trainable: Trainable) -> None:
        trained = {id(parameter) for parameter in trainable.parameters.values()}
        self._trained = self._frozen = 0
        for module in trainable.base.modules():
            if isinstance(module, torch.nn.Linear):
                size = module.in_features * module.out_features
                if id(module.weight) in trained:
                    self._trained += size
                else:
                    self._frozen += size
        config = trainable.base.config.get_text_config()
        heads = config.num_attention_heads
        width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
        self._width = config.num_hidden_layers * width

    def of(self, sequences: Sequence[Packed]) -> float:
        """Operations of a step on some sequences."""
        lengths = (length for sequence in sequences for length in sequence.lengths)
        return sum(length * token_operations(self._frozen, self._trained, self._width * length) for length in lengths)


def measure_peak(device: torch.device, dtype: torch.dtype) -> float:
    """The fastest multiplication of square matrices that is seen here within half a second, in operations a second."""
    best, spent = 0.0, 0.0
    for side in PEAK_SIDES:
        left, right = (torch.ones((side, side), dtype=dtype, device=device) for _ in range(2))
        for _round in range(3):
            seconds = _timed(left, right)
            best, spent = max(best, 2 * side**3 / seconds), spent + seconds
            if spent + seconds > PEAK_SECONDS:
                return best
        if spent + 8 * seconds > PEAK_SECONDS:
            return best
    return best


def _timed(left: torch.Tensor, right: torch.Tensor) -> float:
    began = time.perf_counter()
    product = left @ right
    product[0, 0].item()  # waits for a GPU
    return max(1e-9, time.perf_counter() - began)


class Meter:
    """Energy since it was made: the processor's own counters where they can be read, else a mean power times time.

    Intel and AMD processors count the energy of their packages (RAPL); Linux lets root read it. Boards, fans and GPUs
    are not in it, so with a GPU the given power is used.
    """

    def __init__(self, machine: Machine, *, device: str = "cpu", root: Path = RAPL) -> None:
        self._machine = machine
        self._began = time.monotonic()
        files = sorted(root.glob("intel-rapl:*/energy_uj")) if device == "cpu" else []
        self._last = {path: value for path in files if path.parent.name.count(":") == 1 and (value := _number(path))}
        self._joules = 0.0

    @property
    def source(self) -> str:
        """Where the figures come from."""
        return "RAPL" if self._last else f"{self._machine.watts:g} W assumed"

    def joules(self) -> float:
        """Energy so far."""
        if not self._last:
            return (time.monotonic() - self._began) * self._machine.watts
        for path, before in self._last.items():
            now = _number(path)
            wrapped = (_number(path.with_name("max_energy_range_uj")) or 0.0) if now < before else 0.0
            self._joules += max(0.0, now + wrapped - before) / 1e6
            self._last[path] = now
        return self._joules


def _number(path: Path) -> float:
    with suppress(OSError, ValueError):
        return float(path.read_text(encoding="ascii"))
    return 0.0


@dataclass
class Monitor:
    """Says what a training does.

    Attributes:
        out: where the events go.
        work: operations of a step; None leaves the use of the machine out.
        machine: what its energy and its time cost.
        peak: operations a second that the machine reaches at best; 0 where it was not measured.
        meter: counts energy.
        sample: makes completions with the model as it is and gives their scores, by name.
    """

    out: Output
    work: Work | None = None
    machine: Machine = field(default_factory=Machine)
    peak: float = 0.0
    meter: Meter | None = None
    sample: Callable[[], dict[str, float]] | None = None

    def step(self, point: Mapping[str, float], sequences: Sequence[Packed], norms: Norms, seconds: float) -> float:
        """Tell of a step; returns its tokens a second."""
        num_tokens = sum(len(sequence.input_ids) for sequence in sequences)
        told: dict[str, Any] = {"tokens_per_s": round(num_tokens / seconds, 1)}
        if self.peak and self.work:
            told["mfu"] = round(self.work.of(sequences) / seconds / self.peak, 4)
        self.out.metric(**point, **told, grad_norms=norms.by_part(), grad_norm_layers=norms.by_layer())
        line = {"step": point["step"], "tokens": num_tokens, "seconds": round(seconds, 4), **told}
        self._log("logs/speed.jsonl", {**line, "grad_norms": norms.by_part()})
        return float(told["tokens_per_s"])

    def evaluation(self, step: int, loss: float, progress: Progress) -> None:
        """Tell of an evaluation; completions are made now, with the weights that were evaluated."""
        told = {"valid_loss": loss, "valid_perplexity": math.exp(min(loss, 700.0))}
        if self.sample:
            told |= self.sample()
        told |= self.cost(progress)
        self.out.metric(step=step, **told)
        self._log("logs/evaluations.jsonl", {"step": step, **told})

    def spent(self) -> float:
        """The energy that this machine has taken since the training began, in joules."""
        return self.meter.joules() if self.meter else 0.0

    def cost(self, progress: Progress) -> dict[str, float]:
        """Hours, energy and money of a training, earlier attempts included."""
        kwh, hours = progress.joules / JOULES_PER_KWH, progress.wall_s / 3600
        usd = kwh * self.machine.price_per_kwh + hours * self.machine.price_per_hour
        return {"hours": round(hours, 6), "kwh": round(kwh, 9), "usd": round(usd, 9)}

    def _log(self, name: str, line: Mapping[str, Any]) -> None:
        with self.out.path(name).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
