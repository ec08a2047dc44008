"""One client: it takes the common adapter, trains on its own data with the ordinary loop, and says what it learnt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from buril.core.errors import BurilError
from buril.core.events import EventLog
from buril.core.stage import Output
from buril.train.federated.adapter import Shared, Vector
from buril.train.federated.updates import Reply, Update, clipped
from buril.train.loop import Loop
from buril.train.optimizers import PREFIX
from buril.train.recipe import Recipe, Stand, Task, extent_of
from buril.train.schedule import Extent
from buril.train.state import Checkpoints, Progress, Stored, Tensors, named, write_tensors

KEPT = 2
"""Ends of rounds whose moments are kept: that of the round before, and one more if the server repeats it."""


@dataclass(frozen=True)
class Order:
    """What a client is to do in a round, as plain numbers: it crosses the network as JSON.

    Attributes:
        round: counted from 0.
        rounds: rounds in all.
        steps: a client's steps in all rounds together; None leaves it to its epochs.
        pull: FedProx's μ, 0 for FedAvg.
        clip: largest norm of the update; None for no limit.
        closed: the update alone is sent, nothing else of the training: its loss would be known, and not be noised.
        recipe: the numbers of the training, see `Recipe`.
    """

    round: int
    rounds: int
    steps: int | None
    pull: float
    clip: float | None
    closed: bool
    recipe: Mapping[str, Any]

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Order:
        """From JSON."""
        return cls(**json.loads(text))


def recipe_of(told: Mapping[str, Any], micro_batch_tokens: int) -> Recipe:
    """The recipe of a client: the server's numbers; validation, averages and time are no business of a client."""
    known = {item.name: told[item.name] for item in fields(Recipe)}
    never = {"minutes": None, "ema": 0.0, "eval_tokens": 0, "patience": 0, "checkpoint_every_s": float("inf")}
    return Recipe(**{**known, **never, "micro_batch_tokens": micro_batch_tokens})


@dataclass(frozen=True)
class _Stretch(Extent):
    """A part of a training: it ends at a step, and the learning rate goes as in the whole."""

    until: int = 0

    def done(self, step: int, seconds: float) -> float:
        """As `Extent`, of the part."""
        return step / self.until


class _Proximal:
    """FedProx: the gradient of μ/2·‖w − w₀‖², with w₀ the common weights."""

    def __init__(self, mu: float, at: Tensors) -> None:
        self._mu, self._at = mu, at

    def __call__(self, parameters: Mapping[str, torch.nn.Parameter]) -> None:
        """Add it to the gradients."""
        with torch.no_grad():
            for name, parameter in parameters.items():
                if parameter.grad is not None:
                    parameter.grad.add_(parameter - self._at[name].to(parameter.device), alpha=self._mu)


class Client:
    """A client's side of the training.

    Args:
        name: what the server calls it.
        task: its model and data; the model may be shared with other clients of this process, one at a time.
        shared: the model's adapter.
        folder: what it remembers between rounds lies there: the optimizer's moments, its own log.
        machine: what its bits depend on besides.
    """

    def __init__(self, name: str, task: Task, shared: Shared, *, folder: Path, machine: dict[str, Any]) -> None:
        self.name, self.task, self.shared, self.folder, self.machine = name, task, shared, folder, machine
        folder.mkdir(parents=True, exist_ok=True)

    def train(self, order: Order, common: Vector) -> Reply:
        """A round: from the common numbers to what it adds to them.

        A training whose numbers are none (T105) is an answer too: the others go on without it.
        """
        recipe = recipe_of(order.recipe, int(self.machine.get("micro_batch_tokens", 2048)))
        total = order.steps or extent_of(recipe, len(self.task.train)).num_steps or order.rounds
        total = max(total, order.rounds)
        first, last = (total * number // order.rounds for number in (order.round, order.round + 1))
        recipe = replace(recipe, epochs=None, max_steps=total)
        self.shared.put(common)
        try:
            progress = self._run(recipe, _Stretch(total, None, last), first, common, order.pull)
        except BurilError as problem:
            if problem.code != "T105":
                raise
            return Reply(self.name, reason=problem.cause)
        delta = self.shared.vector() - common
        losses = [point["loss"] for point in progress.curve if "loss" in point]
        told = Update(
            delta if order.clip is None else clipped(delta, order.clip), self.task.train.num_tokens, first,
            progress.step - first, progress.tokens, None if order.closed else float(np.mean(losses)), delta.nbytes,
        )  # fmt: skip
        return Reply(self.name, told)

    def _run(self, recipe: Recipe, extent: _Stretch, first: int, common: Vector, pull: float) -> Progress:
        """The steps of a round. For the loop it is a resume: at this step, with these weights and moments."""
        work = self.folder / "round"
        shutil.rmtree(work, ignore_errors=True)
        log = EventLog(self.folder / "events.jsonl")
        try:
            out = Output(work, log, "train")
            start = named("parameter", self.shared.named(common))
            checkpoints = Checkpoints(out.scratch / "checkpoints")
            checkpoints.save(Progress(step=first, machine=self.machine), start | self._moments(first))
            loop = Loop(self.task, recipe, out=out, stand=Stand(self.machine))
            loop.extent = extent
            if pull:
                loop.adjust = _Proximal(pull, self.shared.named(common))
            progress = loop.run()
            self._keep(checkpoints, progress.step)
        finally:
            log.close()
        return progress

    def _moments(self, step: int) -> Tensors:
        """What the optimizer remembered at a step; nothing where the client was not there, or in another basis now."""
        path = self._path(step)
        return dict(Stored(path)) if path.is_file() and self.shared.average == "b" else {}

    def _keep(self, checkpoints: Checkpoints, step: int) -> None:
        found = checkpoints.load()
        assert found is not None, "the loop saves when it ends"
        write_tensors(self._path(step), {key: item for key, item in found[1].items() if key.startswith(PREFIX)})
        for path in sorted(self.folder.glob("moments-*.safetensors"))[:-KEPT]:
            path.unlink()

    def _path(self, step: int) -> Path:
        return self.folder / f"moments-{step:09d}.safetensors"
