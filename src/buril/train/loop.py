"""The training loop: token-normalised steps, evaluation, early stopping, checkpoints; a stop changes no bit of it.

A step reads `batch_size` packed sequences in micro-batches, adds up the gradients of Σ loss / N with N the target
tokens of the whole step, clips, and moves the weights. Validation loss decides what is kept: where it was lowest.

Everything random is a function of (seed, step, sequence). On one machine with one number of threads an interrupted
and resumed training therefore gives the bytes of an uninterrupted one. Another number of threads, another processor
or another split into micro-batches sums in another order: equal to rounding, not to the bit.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.core.text import _
from buril.train.batch import Packed, PackedFile, micro_batches, num_steps, sample, step_sequences
from buril.train.methods._trainable import Trainable
from buril.train.objectives._objective import Objective
from buril.train.schedule import Schedule, factor
from buril.train.state import Checkpoints, Progress, optimizer_tensors, restore

BETAS = (0.9, 0.999)
MAX_ROWS_NAMED = 5


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training; `Train.Settings` says what each means."""

    epochs: float
    max_steps: int | None
    batch_size: int
    micro_batch_tokens: int
    learning_rate: float
    weight_decay: float
    warmup: float
    schedule: Schedule
    clip: float
    patience: int
    eval_every: int | None
    eval_tokens: int
    seed: int
    checkpoint_every_s: float


@dataclass(frozen=True)
class Task:
    """What is trained on what for what."""

    trainable: Trainable
    objective: Objective
    train: PackedFile
    valid: PackedFile


class Loop:
    """One training.

    Args:
        task: the model, the objective and the data.
        recipe: the numbers.
        out: events go there, checkpoints into its scratch folder.
        machine: what the bits depend on besides; a resume on another one is said aloud.
    """

    def __init__(self, task: Task, recipe: Recipe, *, out: Output, machine: dict[str, Any]) -> None:
        self.task, self.recipe, self.out = task, recipe, out
        self.num_steps = num_steps(
            len(task.train), batch_size=recipe.batch_size, epochs=recipe.epochs, max_steps=recipe.max_steps
        )
        self.eval_every = recipe.eval_every or math.ceil(self.num_steps / (10 if self.num_steps >= 100 else 5))
        self.progress = Progress(machine=machine)
        self._parameters = task.trainable.parameters
        self._optimizer = make_optimizer(self._parameters, weight_decay=recipe.weight_decay)
        self._checkpoints = Checkpoints(out.scratch / "checkpoints")
        self._valid = sample(task.valid, num_tokens=recipe.eval_tokens, seed=recipe.seed)
        self._whole = True
        """False while an update is under way: nothing may be saved then."""
        self._saved_at = time.monotonic()

    def run(self) -> Progress:
        """Train to the end and put the best weights in place.

        Raises:
            BurilError: T105 when a loss or a gradient is not a number; the state before that step is saved.
            KeyboardInterrupt: as it came, after saving the state.
        """
        self._resume()
        try:
            self._steps()
        except KeyboardInterrupt:
            if self._whole:
                self._save()
            raise
        self._save()
        if self.progress.best_file is not None:
            best = self._checkpoints.load_best(self.progress.best_file)
            with torch.no_grad():
                for name, parameter in self._parameters.items():
                    parameter.copy_(best[name])
        return self.progress

    def _steps(self) -> None:
        while True:
            if self._evaluation_due():
                self._evaluate()
            if time.monotonic() - self._saved_at >= self.recipe.checkpoint_every_s:
                self._save()
            if self.progress.step >= self.num_steps or self.progress.stopped_early:
                return
            self._step()

    def _evaluation_due(self) -> bool:
        """Whether this step is one to evaluate at, and has not been: asked of the state alone, as a resume will."""
        progress = self.progress
        wanted = progress.step % self.eval_every == 0 or progress.step == self.num_steps
        last = progress.curve[-1] if progress.curve else {}
        return bool(self._valid) and wanted and not ("valid_loss" in last and last["step"] == progress.step)

    def _step(self) -> None:
        began = time.perf_counter()
        recipe, step = self.recipe, self.progress.step
        sequences = step_sequences(self.task.train, step, batch_size=recipe.batch_size, seed=recipe.seed)
        loss = self._accumulate(sequences, step)
        norm = float(clip(list(self._parameters.values()), recipe.clip))
        if not math.isfinite(norm):
            self._not_finite("gradient", sequences)
        lr = recipe.learning_rate * factor(
            step, num_steps=self.num_steps, warmup=recipe.warmup, schedule=recipe.schedule
        )
        num_tokens = sum(len(sequence.input_ids) for sequence in sequences)
        tokens = self.progress.tokens + num_tokens
        point = {"step": step + 1, "tokens": tokens, "loss": loss, "lr": lr, "grad_norm": norm}
        self._whole = False
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.progress.step, self.progress.tokens = step + 1, tokens
        self.progress.curve.append(point)
        self._whole = True
        self._say(point, num_tokens, time.perf_counter() - began)

    def _accumulate(self, sequences: Sequence[Packed], step: int) -> float:
        """Gradients of the mean loss of a step, micro-batch by micro-batch; returns the mean loss in nats."""
        task, recipe = self.task, self.recipe
        task.trainable.train(True)
        torch.manual_seed(recipe.seed * 1_000_003 + step)  # for layers with randomness of their own: no state to resume
        device = str(task.trainable.device)
        batches = list(micro_batches(sequences, num_tokens=recipe.micro_batch_tokens, device=device))
        total = sum(task.objective.weight(batch) for batch in batches)
        loss = 0.0
        for batch in batches:
            task.trainable.begin(batch, seed=recipe.seed, step=step)
            part = task.objective.loss_sum(task.trainable.hidden(batch), task.trainable.head(), batch) / total
            if not math.isfinite(part.item()):
                self._not_finite("loss", batch.sequences)
            part.backward()  # type: ignore[no-untyped-call]  # torch does not type it
            loss += part.item()
        return loss

    def _evaluate(self) -> None:
        """Measure the loss on the validation sample, and keep the weights when it is the lowest so far."""
        progress = self.progress
        loss = valid_loss(self.task, self._valid, micro_batch_tokens=self.recipe.micro_batch_tokens)
        better = progress.best_loss is None or loss < progress.best_loss
        file = self._checkpoints.save_best(progress.step, dict(self._parameters)) if better else progress.best_file
        self._whole = False
        progress.curve.append({"step": progress.step, "tokens": progress.tokens, "valid_loss": loss})
        if better:
            progress.best_loss, progress.best_step, progress.best_file = loss, progress.step, file
            progress.bad_evals = 0
        else:
            progress.bad_evals += 1
            progress.stopped_early = 0 < self.recipe.patience <= progress.bad_evals and progress.step < self.num_steps
        self._whole = True
        self.out.metric(step=progress.step, valid_loss=loss)

    def _not_finite(self, quantity: str, sequences: Sequence[Packed]) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        self._save()
        rows = list(dict.fromkeys(row for sequence in sequences for row in sequence.row_ids))
        step = self.progress.step + 1
        self.out.text("logs/not_finite.json", json.dumps({"step": step, "quantity": quantity, "rows": rows}) + "\n")
        shown = ", ".join(rows[:MAX_ROWS_NAMED]) + (", …" if len(rows) > MAX_ROWS_NAMED else "")
        raise BurilError("T105", quantity=_("loss") if quantity == "loss" else _("gradient"), step=step, rows=shown)

    def _save(self) -> None:
        parameters = {f"parameter.{name}": parameter for name, parameter in self._parameters.items()}
        self._checkpoints.save(self.progress, {**parameters, **optimizer_tensors(self._optimizer, self._parameters)})
        self._saved_at = time.monotonic()

    def _resume(self) -> None:
        found = self._checkpoints.load()
        if found is None:
            return
        machine = self.progress.machine
        self.progress, tensors = found
        restore(self._optimizer, self._parameters, tensors)
        goes_on = _("training goes on after step {step} of {total}")
        self.out.note(goes_on.format(step=self.progress.step, total=self.num_steps))
        if self.progress.machine != machine:
            self.out.warn(_("training began on another machine or with other threads: the last bits will differ"))
            self.progress.machine = machine

    def _say(self, point: dict[str, float], num_tokens: int, seconds: float) -> None:
        """Tell the run's events and the speed log; neither is part of what the artifact is."""
        speed = round(num_tokens / seconds, 1)
        self.out.metric(**point, tokens_per_s=speed)
        self.out.progress(self.progress.step, self.num_steps, "steps", loss=round(point["loss"], 4), tokens_per_s=speed)
        with self.out.path("logs/speed.jsonl").open("a", encoding="utf-8") as stream:
            line = {"step": point["step"], "tokens": num_tokens, "seconds": round(seconds, 4), "tokens_per_s": speed}
            stream.write(json.dumps(line) + "\n")


def valid_loss(task: Task, sequences: Sequence[Packed], *, micro_batch_tokens: int) -> float:
    """The mean loss per target token of some sequences, in nats, without dropout."""
    task.trainable.train(False)
    total = weight = 0.0
    with torch.no_grad():
        for batch in micro_batches(sequences, num_tokens=micro_batch_tokens, device=str(task.trainable.device)):
            total += float(task.objective.loss_sum(task.trainable.hidden(batch), task.trainable.head(), batch))
            weight += task.objective.weight(batch)
    return total / weight


def make_optimizer(parameters: dict[str, torch.nn.Parameter], *, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) that decays matrices only: norms and biases have no size to be kept small."""
    matrices = [parameter for parameter in parameters.values() if parameter.ndim >= 2]
    vectors = [parameter for parameter in parameters.values() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, betas=BETAS, fused=True)


def clip(parameters: list[torch.nn.Parameter], limit: float) -> torch.Tensor:
    """Scale all gradients so that their common norm is `limit` at most (0: no limit); returns the norm before."""
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if limit:
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norm


def curve_lines(curve: Sequence[dict[str, float]]) -> Iterator[str]:
    """The lines of `curve.json`: one point a line, so that two curves can be compared by eye and by diff."""
    yield "["
    for number, point in enumerate(curve):
        yield " " + json.dumps(point) + ("," if number + 1 < len(curve) else "")
    yield "]"
