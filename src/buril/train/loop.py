"""The training loop: token-normalised steps, evaluation, early stopping, checkpoints; a stop changes no bit of it.

A step reads `batch_size` packed sequences in micro-batches, adds up the gradients of Σ loss / N with N the target
tokens of the whole step, clips, and moves the weights. Validation loss decides what is kept: where it was lowest.

Everything random is a function of (seed, step, sequence). On one machine with one number of threads an interrupted
and resumed training therefore gives the bytes of an uninterrupted one. Another number of threads, another processor
or another split into micro-batches sums in another order: equal to rounding, not to the bit. A training by time is
another matter: how many steps fit into it is never the same twice.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.core.text import _
from buril.generators._load import Loaded
from buril.train.batch import Packed, PackedFile, micro_batches, sample, seen_rows, step_sequences
from buril.train.methods._trainable import Trainable
from buril.train.monitor import Monitor, Norms
from buril.train.numerics import LEAST_SCALE, Average, first_bad_gradient, first_bad_output, make_scaler
from buril.train.objectives._objective import Objective
from buril.train.optimizers import Choice, Optimizers
from buril.train.schedule import EVALUATIONS, Extent, Schedule, factor, interval, num_steps
from buril.train.state import Checkpoints, Progress, named, put_back

MAX_ROWS_NAMED = 5
EVALUATION_SHARE = 0.1
"""Share of a training by time that evaluations may take, its first and last aside."""


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training; `Train.Settings` says what each means.

    Where the settings leave a number open it is settled here; `epochs` stays open where only time ends a training.
    """

    epochs: float | None
    max_steps: int | None
    minutes: float | None
    clock: Literal["wall", "processor"]
    batch_size: int
    micro_batch_tokens: int
    optimizer: Choice
    learning_rate: float
    weight_decay: float
    warmup: float
    schedule: Schedule
    clip: float
    ema: float
    fp16: bool
    patience: int
    eval_every: int | None
    eval_tokens: int
    seed: int
    checkpoint_every_s: float


@dataclass(frozen=True)
class Task:
    """What is trained on what for what.

    `loaded` has the tokenizer that samples are written with, `told` what the objective says of itself in `train.json`.
    """

    trainable: Trainable
    objective: Objective
    train: PackedFile
    valid: PackedFile
    loaded: Loaded
    told: Mapping[str, Any]


class Loop:
    """One training.

    Args:
        task: the model, the objective and the data.
        recipe: the numbers.
        out: events go there, checkpoints into its scratch folder.
        machine: what the bits depend on besides; a resume on another one is said aloud.
        monitor: what tells of the steps; by default it tells what needs no measuring.
    """

    def __init__(
        self, task: Task, recipe: Recipe, *, out: Output, machine: dict[str, Any], monitor: Monitor | None = None
    ) -> None:
        self.task, self.recipe, self.out = task, recipe, out
        self.monitor = monitor or Monitor(out)
        self.extent = extent_of(recipe, len(task.train))
        by_steps = self.num_steps if recipe.minutes is None else None
        self._eval_every = recipe.eval_every or (interval(by_steps) if by_steps else None)
        self.progress = Progress(machine=machine)
        self._parameters = task.trainable.parameters
        self._optimizers = Optimizers(self._parameters, choice=recipe.optimizer, weight_decay=recipe.weight_decay)
        self._average = Average(self._parameters, recipe.ema) if recipe.ema else None
        self._scaler = make_scaler(task.trainable.device, fp16=recipe.fp16, scale=0.0, growth=0)
        self._checkpoints = Checkpoints(out.scratch / "checkpoints")
        self._valid = sample(task.valid, num_tokens=recipe.eval_tokens, seed=recipe.seed)
        self._whole = True
        """False while an update is under way: nothing may be saved then."""
        self._saved_at = time.monotonic()
        self._clock = Clock(self.progress)
        self._last_step_s = 0.0
        self.adjust: Callable[[Mapping[str, torch.nn.Parameter]], None] | None = None
        """What changes the gradients of a step before they are measured and clipped; None changes nothing."""

    @property
    def num_steps(self) -> int | None:
        """Steps of the whole training; None where time ends it."""
        return self.extent.num_steps

    def seen(self) -> dict[str, int]:
        """Tokens of every row that the weights which are kept have read."""
        steps = self.progress.best_step if self.progress.best_file is not None else self.progress.step
        return seen_rows(self.task.train, steps, batch_size=self.recipe.batch_size, seed=self.recipe.seed)

    def run(self) -> Progress:
        """Train to the end and put the best weights in place.

        Raises:
            BurilError: T105 when a loss or a gradient is not a number; the state before that step is saved.
            KeyboardInterrupt: as it came, after saving the state.
        """
        self._resume()
        self._clock = Clock(self.progress)
        try:
            self._steps()
        except KeyboardInterrupt:
            if self._whole:
                self._save()
            raise
        self._save()
        if self.progress.best_file is not None:
            put_back("best", self._parameters, named("best", self._checkpoints.load_best(self.progress.best_file)))
        elif self._average:
            put_back("average", self._parameters, named("average", self._average.values))
        return self.progress

    def _steps(self) -> None:
        while True:
            self._read_clock()
            ended = self._ended()
            if self._evaluation_due(ended):
                self._evaluate(ended)
            if time.monotonic() - self._saved_at >= self.recipe.checkpoint_every_s:
                self._save()
            if ended or self.progress.stopped_early:
                return
            self._step()

    def _read_clock(self) -> None:
        self._clock.read(self.progress)
        self.progress.joules = self.monitor.spent(self._clock.joules_before)

    def _seconds(self) -> float:
        """What a training by time has used of it."""
        return self.progress.cpu_s if self.recipe.clock == "processor" else self.progress.wall_s

    def _ended(self) -> bool:
        """Whether it is done; by time, when a further step would lead farther from the end than it stands now."""
        return self.extent.done(self.progress.step, self._seconds() + self._last_step_s / 2) >= 1

    def _evaluation_due(self, ended: bool) -> bool:
        """Whether this step is one to evaluate at, and has not been: asked of the state alone, as a resume will."""
        progress = self.progress
        last = progress.curve[-1] if progress.curve else {}
        if not self._valid or ("valid_loss" in last and last["step"] == progress.step):
            return False
        if ended:
            return True
        if self._eval_every:
            return progress.step % self._eval_every == 0
        wanted = self.extent.done(progress.step, self._seconds()) * EVALUATIONS >= progress.num_evals
        return wanted and progress.eval_s <= EVALUATION_SHARE * self._seconds()

    def _step(self) -> None:
        began, used = time.perf_counter(), self._seconds()
        recipe, step = self.recipe, self.progress.step
        sequences = step_sequences(self.task.train, step, batch_size=recipe.batch_size, seed=recipe.seed)
        loss, norms = self._gradients(sequences, step)
        place, places = self.extent.place(step, used)
        lr = recipe.learning_rate * factor(place, num_steps=places, warmup=recipe.warmup, schedule=recipe.schedule)
        tokens = self.progress.tokens + sum(len(sequence.input_ids) for sequence in sequences)
        point = {"step": step + 1, "tokens": tokens, "loss": loss, "lr": lr, "grad_norm": float(norms.total)}
        self._whole = False
        self._optimizers.step(lr, self._scaler)
        self._scaler.update()
        if self._average:
            self._average.update(step + 1)
        self.progress.step, self.progress.tokens = step + 1, tokens
        self.progress.curve.append(point)
        self._whole = True
        self._read_clock()
        self._last_step_s = self._seconds() - used
        speed = self.monitor.step(point, sequences, norms, time.perf_counter() - began)
        self._say(round(loss, 4), speed)

    def _gradients(self, sequences: Sequence[Packed], step: int) -> tuple[float, Norms]:
        """Put the clipped gradients of a step in place; returns its mean loss in nats and the norms before clipping.

        Under fp16 a gradient that overflows is computed again with half the scale: no step and no text is left out.
        """
        while True:
            loss = self._accumulate(sequences, step)
            self._optimizers.unscale(self._scaler)
            if self.adjust:
                self.adjust(self._parameters)
            norms = Norms.of(self._parameters)
            if math.isfinite(float(norms.total)):
                clip(list(self._parameters.values()), self.recipe.clip, norms.total)
                return loss, norms
            if self._scaler.get_scale() <= LEAST_SCALE:
                self._not_finite("gradient", sequences, first_bad_gradient(self.task.trainable))
            self._optimizers.forget()
            self._scaler.update()

    def _accumulate(self, sequences: Sequence[Packed], step: int) -> float:
        """Scaled gradients of the mean loss of a step, micro-batch by micro-batch; returns the mean loss in nats."""
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
                self._not_finite("loss", batch.sequences, first_bad_output(task.trainable, batch))
            self._scaler.scale(part).backward()  # type: ignore[no-untyped-call]  # torch does not type it
            loss += part.item()
        return loss

    def _evaluate(self, ended: bool) -> None:
        """Measure the loss on the validation sample, and keep the weights when it is the lowest so far."""
        progress, used = self.progress, self._seconds()
        with self._average.in_place() if self._average else contextlib.nullcontext():
            loss = valid_loss(self.task, self._valid, micro_batch_tokens=self.recipe.micro_batch_tokens)
            better = progress.best_loss is None or loss < progress.best_loss
            file = self._checkpoints.save_best(progress.step, dict(self._parameters)) if better else progress.best_file
            self.monitor.evaluation(progress.step, loss, progress)
        self._whole = False
        progress.curve.append({"step": progress.step, "tokens": progress.tokens, "valid_loss": loss})
        progress.num_evals += 1
        if better:
            progress.best_loss, progress.best_step, progress.best_file = loss, progress.step, file
            progress.bad_evals = 0
        else:
            progress.bad_evals += 1
            progress.stopped_early = 0 < self.recipe.patience <= progress.bad_evals and not ended
        self._read_clock()
        progress.eval_s += self._seconds() - used
        self._whole = True

    def _not_finite(self, quantity: str, sequences: Sequence[Packed], module: str) -> None:
        self._optimizers.forget()
        self._save()
        rows = list(dict.fromkeys(row for sequence in sequences for row in sequence.row_ids))
        step = self.progress.step + 1
        told = {"step": step, "quantity": quantity, "module": module, "rows": rows}
        self.out.text("logs/not_finite.json", json.dumps(told) + "\n")
        shown = ", ".join(rows[:MAX_ROWS_NAMED]) + (", …" if len(rows) > MAX_ROWS_NAMED else "")
        name = _("loss") if quantity == "loss" else _("gradient")
        raise BurilError("T105", quantity=name, step=step, module=module, rows=shown)

    def _save(self) -> None:
        self._read_clock()
        self.progress.scale = self._scaler.get_scale() if self.recipe.fp16 else 0.0
        self.progress.growth = int(self._scaler.state_dict().get("_growth_tracker", 0))
        averages = named("average", self._average.values) if self._average else {}
        tensors = {**named("parameter", self._parameters), **averages, **self._optimizers.tensors()}
        self._checkpoints.save(self.progress, tensors)
        self._saved_at = time.monotonic()

    def _resume(self) -> None:
        found = self._checkpoints.load()
        if found is None:
            return
        machine = self.progress.machine
        self.progress, tensors = found
        put_back("parameter", self._parameters, tensors)
        if self._average:
            put_back("average", self._average.values, tensors)
        self._optimizers.restore(tensors)
        self._scaler = make_scaler(
            self.task.trainable.device, fp16=self.recipe.fp16, scale=self.progress.scale, growth=self.progress.growth
        )
        goes_on = _("training goes on after step {step} of {total}")
        self.out.note(goes_on.format(step=self.progress.step, total=self.num_steps or "?"))
        if self.progress.machine != machine:
            self.out.warn(_("training began on another machine or with other threads: the last bits will differ"))
            self.progress.machine = machine

    def _say(self, loss: float, speed: float) -> None:
        done, total, unit = float(self.progress.step), float(self.num_steps or 0), "steps"
        if self.extent.seconds is not None:
            done, total, unit = min(round(self._seconds(), 1), self.extent.seconds), self.extent.seconds, "s"
        self.out.progress(done, total, unit, loss=loss, tokens_per_s=speed)


class Clock:
    """Adds the time since it was last read to a training's; what an earlier attempt took is in there already."""

    def __init__(self, progress: Progress) -> None:
        self.joules_before = progress.joules
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def read(self, progress: Progress) -> None:
        """Add what passed."""
        wall, cpu = time.monotonic(), time.process_time()
        progress.wall_s += wall - self._wall
        progress.cpu_s += cpu - self._cpu
        self._wall, self._cpu = wall, cpu


def extent_of(recipe: Recipe, num_sequences: int) -> Extent:
    """How long a training is: the epochs or fewer steps, the minutes, or whichever ends first."""
    seconds = recipe.minutes * 60 if recipe.minutes else None
    if recipe.epochs is None:
        return Extent(recipe.max_steps, seconds)
    steps = num_steps(num_sequences, batch_size=recipe.batch_size, epochs=recipe.epochs, max_steps=recipe.max_steps)
    return Extent(steps, seconds)


def valid_loss(task: Task, sequences: Sequence[Packed], *, micro_batch_tokens: int) -> float:
    """The mean loss per target token of some sequences, in nats, without dropout."""
    task.trainable.train(False)
    total = weight = 0.0
    with torch.no_grad():
        for batch in micro_batches(sequences, num_tokens=micro_batch_tokens, device=str(task.trainable.device)):
            total += float(task.objective.loss_sum(task.trainable.hidden(batch), task.trainable.head(), batch))
            weight += task.objective.weight(batch)
    return total / weight


def clip(parameters: list[torch.nn.Parameter], limit: float, norm: torch.Tensor) -> None:
    """Scale all gradients, whose common norm is `norm`, so that it is `limit` at most (0: no limit)."""
    if limit:
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)


def curve_lines(curve: Sequence[dict[str, float]]) -> Iterator[str]:
    """The lines of `curve.json`: one point a line, so that two curves can be compared by eye and by diff."""
    yield "["
    for number, point in enumerate(curve):
        yield " " + json.dumps(point) + ("," if number + 1 < len(curve) else "")
    yield "]"
