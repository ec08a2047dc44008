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
from typing import NamedTuple

import torch

from buril.core.errors import BurilError
from buril.core.stage import Output
from buril.core.text import _
from buril.train.batch import Batch, Packed, micro_batches, sample, seen_rows, step_sequences
from buril.train.monitor import Monitor, Norms
from buril.train.numerics import LEAST_SCALE, Average, first_bad_gradient, first_bad_output, make_scaler
from buril.train.optimizers import Optimizers
from buril.train.parallel.team import ALONE, Pulse, Team, local
from buril.train.recipe import Clock, Recipe, Stand, Task, extent_of
from buril.train.schedule import EVALUATIONS, factor, interval
from buril.train.state import Checkpoints, Progress, named, put_back

MAX_ROWS_NAMED = 5
EVALUATION_SHARE = 0.1
"""Share of a training by time that evaluations may take, its first and last aside."""


class Loop:
    """One training.

    Args:
        task: the model, the objective and the data.
        recipe: the numbers.
        out: events go there.
        stand: the machine, the processes that train together, and where the checkpoints lie.
        monitor: what tells of the steps; by default it tells what needs no measuring.
    """

    def __init__(
        self,
        task: Task,
        recipe: Recipe,
        *,
        out: Output,
        stand: Stand | None = None,
        monitor: Monitor | None = None,
    ) -> None:
        self.task, self.recipe, self.out = task, recipe, out
        self.monitor = monitor or Monitor(out)
        stand = stand or Stand()
        self.team = stand.team
        self.extent = extent_of(recipe, len(task.train))
        by_steps = self.num_steps if recipe.minutes is None else None
        self._eval_every = recipe.eval_every or (interval(by_steps) if by_steps else None)
        self.progress = Progress(machine=stand.machine)
        self._parameters = task.trainable.parameters
        self._optimizers = Optimizers(self._parameters, choice=recipe.optimizer, weight_decay=recipe.weight_decay)
        self._average = Average(self._parameters, recipe.ema) if recipe.ema else None
        self._scaler = make_scaler(task.trainable.device, fp16=recipe.fp16, scale=0.0, growth=0)
        self._checkpoints = Checkpoints(stand.checkpoints or out.scratch / "checkpoints", stand.team)
        self._valid = sample(task.valid, num_tokens=recipe.eval_tokens, seed=recipe.seed)
        self._whole = True
        """False while an update is under way: nothing may be saved then."""
        self._saved_at = time.monotonic()
        self._clock = Clock(self.progress)
        self._last_step_s = 0.0
        self._pulse = Pulse(0.0, 0.0, 0.0)
        self.adjust: Callable[[Mapping[str, torch.nn.Parameter]], None] | None = None
        """What changes the gradients of a step before they are measured and clipped; None changes nothing."""

    @property
    def num_steps(self) -> int | None:
        """Steps of the whole training; None where time ends it."""
        return self.extent.num_steps

    def seen(self) -> dict[str, int]:
        """Tokens of every row that the weights which are kept have read."""
        steps = self.progress.kept_step
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
            if self._pulse.stop:
                raise KeyboardInterrupt
            if self._pulse.save:
                self._save()
            if ended or self.progress.stopped_early:
                return
            self._step()

    def _read_clock(self) -> None:
        """Add the time that passed, the same on all processes, and hear what is asked of them."""
        wall_s, cpu_s = self._clock.passed()
        due = time.monotonic() - self._saved_at >= self.recipe.checkpoint_every_s
        self._pulse = self.team.pulse(Pulse(wall_s, cpu_s, self.monitor.spent(), due))
        self._clock.add(self.progress, self._pulse)

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
            norms = Norms.of(self._parameters, self.team)
            if math.isfinite(float(norms.total)):
                clip(list(self._parameters.values()), self.recipe.clip, norms.total)
                return loss, norms
            if self._scaler.get_scale() <= LEAST_SCALE:
                module = self.team.first(first_bad_gradient(self.task.trainable))
                self._not_finite("gradient", Bad(module, rows_of(sequences)))
            self._optimizers.forget()
            self._scaler.update()

    def _accumulate(self, sequences: Sequence[Packed], step: int) -> float:
        """Scaled gradients of the mean loss of a step, micro-batch by micro-batch; returns the mean loss in nats."""
        task, recipe = self.task, self.recipe
        task.trainable.train(True)
        torch.manual_seed(recipe.seed * 1_000_003 + step)  # for layers with randomness of their own: no state to resume
        batches = list(micro_batches(sequences, num_tokens=self._row_tokens(sequences)))
        total = sum(task.objective.weight(batch) for batch in batches)
        loss, last, bad = 0.0, batches[0], None
        shares = self.team.share(batches)
        for number, (batch, counts) in enumerate(shares, 1):
            last = batch.to(str(task.trainable.device))
            task.trainable.begin(last, seed=recipe.seed, step=step)
            part = loss_sum(task, last) / total
            part = part if counts else 0 * part
            bad = bad or (None if math.isfinite(part.item()) else last)
            if bad and self.team.size == 1:
                break
            with self.team.adding(self._parameters) if number == len(shares) else contextlib.nullcontext():
                self._scaler.scale(part * self.team.gain).backward()  # type: ignore[no-untyped-call]  # torch does not type it
            loss += part.item()
        loss, num_bad = self.team.add([loss, float(bad is not None)])
        if num_bad:  # all look, as the layers may have to be put together by all
            module = first_bad_output(task.trainable, bad or last)
            self._not_finite("loss", Bad(module, rows_of(bad.sequences)) if bad else None)
        return loss

    def _row_tokens(self, sequences: Sequence[Packed]) -> int:
        """Tokens run at once: as the settings say, or fewer where some process would have nothing to do."""
        given = self.recipe.micro_batch_tokens
        if self.team.readers == 1:
            return given
        return min(given, -(-sum(len(sequence.input_ids) for sequence in sequences) // self.team.readers))

    def _evaluate(self, ended: bool) -> None:
        """Measure the loss on the validation sample, and keep the weights when it is the lowest so far."""
        progress, used = self.progress, self._seconds()
        with self._average.in_place() if self._average else contextlib.nullcontext():
            loss = valid_loss(self.task, self._valid, num_tokens=self._row_tokens(self._valid), team=self.team)
            better = progress.improves(loss)
            file = self._checkpoints.save_best(progress.step, dict(self._parameters)) if better else None
            self.monitor.evaluation(progress.step, loss, progress)
            self.task.trainable.rest()
        self._whole = False
        progress.evaluated(loss, file, patience=self.recipe.patience, ended=ended)
        self._read_clock()
        progress.eval_s += self._seconds() - used
        self._whole = True

    def _not_finite(self, quantity: str, bad: Bad | None) -> None:
        """Save, say where, and end; `bad` is None on a process that saw nothing wrong."""
        bad = Bad(*json.loads(self.team.first(json.dumps(bad) if bad else "")))
        self._optimizers.forget()
        self._save()
        step = self.progress.step + 1
        told = {"step": step, "quantity": quantity, "module": bad.module, "rows": bad.rows}
        self.out.text("logs/not_finite.json", json.dumps(told) + "\n")
        shown = ", ".join(bad.rows[:MAX_ROWS_NAMED]) + (", …" if len(bad.rows) > MAX_ROWS_NAMED else "")
        name = _("loss") if quantity == "loss" else _("gradient")
        raise BurilError("T105", quantity=name, step=step, module=bad.module, rows=shown)

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


class Bad(NamedTuple):
    """Where numbers went wrong, and which rows they came from."""

    module: str
    rows: list[str]


def valid_loss(task: Task, sequences: Sequence[Packed], *, num_tokens: int, team: Team = ALONE) -> float:
    """The mean loss per target token of some sequences, in nats, without dropout; a row has about `num_tokens`."""
    task.trainable.train(False)
    total = weight = 0.0
    with torch.no_grad():
        for batch, counts in team.share(list(micro_batches(sequences, num_tokens=num_tokens))):
            loss = float(loss_sum(task, batch.to(str(task.trainable.device))))
            if counts:
                total += loss
                weight += task.objective.weight(batch)
    total, weight = team.add([total, weight])
    return total / weight


def loss_sum(task: Task, batch: Batch) -> torch.Tensor:
    """The sum of the losses of a batch on its device, not divided by anything."""
    trainable, objective = task.trainable, task.objective
    return trainable.run(lambda: objective.loss_sum(trainable.hidden(batch), trainable.head(), batch))


def rows_of(sequences: Sequence[Packed]) -> list[str]:
    """The rows that sequences come from, each once, in order."""
    return list(dict.fromkeys(row for sequence in sequences for row in sequence.row_ids))


def clip(parameters: list[torch.nn.Parameter], limit: float, norm: torch.Tensor) -> None:
    """Scale all gradients, whose common norm is `norm`, so that it is `limit` at most (0: no limit)."""
    if limit:
        share = torch.clamp(limit / (norm + 1e-6), max=1.0)
        grads = [local(parameter.grad) for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(grads, share.to(grads[0].device))


def curve_lines(curve: Sequence[dict[str, float]]) -> Iterator[str]:
    """The lines of `curve.json`: one point a line, so that two curves can be compared by eye and by diff."""
    yield "["
    for number, point in enumerate(curve):
        yield " " + json.dumps(point) + ("," if number + 1 < len(curve) else "")
    yield "]"
