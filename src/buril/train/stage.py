"""Stage train: a base model learns the packed sequences; out comes a plain PEFT adapter or Hugging Face folder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from buril.core.errors import BurilError
from buril.core.estimate import Estimate, Past
from buril.core.plugins import PluginKind, Ref, plugin, require
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.train.defaults import SCRATCH_RATES, settled
from buril.train.expect import expect, resolve_layers, work_of
from buril.train.federated.settings import Federated, check_goes_with
from buril.train.fits import check_fits, check_same_output
from buril.train.machine import Precision, resolve_precision
from buril.train.parallel.settings import Parallel, check_method
from buril.train.result import count, digest_so_far, median_of, summary, write_folder, write_seen
from buril.train.schedule import Schedule


class Train(Stage):
    """Trains `base` on the sequences of `pack` with the tokens of `tokenizer`."""

    name = "train"
    version = 2
    small: ClassVar[dict[str, Any]] = {"max_steps": 20, "batch_size": 2, "eval_tokens": 2048}
    small_from_scratch: ClassVar[dict[str, Any]] = {"max_steps": 150, "batch_size": 8, "eval_tokens": 8192}
    """The bounds of `--small` for a model from scratch: it is small, and twenty steps would teach it nothing."""

    class Settings(BaseSettings):
        """How the model learns. The defaults are those of the common guide for code models, 5e-5 and adapters' 2e-4."""

        method: Annotated[Ref, PluginKind("method")] = Field("lora", validate_default=True)
        """What is trained: `lora` (adapters: quick, small, keeps what the base knows), `qlora` (the same on a base of
        4-bit weights: less memory, more time) or `full` (every weight)."""
        objective: Annotated[Ref, PluginKind("objective")] = Field("cross_entropy", validate_default=True)
        """What is minimised; `cross_entropy` is the likelihood of the next token."""
        epochs: float | None = Field(None, gt=0)
        """Passes over the data; early stopping may end it sooner. None means 3, or no limit where `minutes` is set."""
        max_steps: int | None = Field(None, ge=1)
        """Steps at most; None means as many as the epochs take."""
        minutes: float | None = Field(None, gt=0)
        """Time to train in, at most a tenth of it for evaluations: the rate has fallen to its end when it is over, and
        an interrupted training goes on with what is left. How many steps fit in differs from run to run, so the bytes
        do too."""
        clock: Literal["wall", "processor"] = "wall"
        """What `minutes` are: of the `wall` clock, or of `processor` time (of all threads together), which other
        programs on the machine do not take away."""
        batch_size: int | None = Field(None, ge=1)
        """Packed sequences of a step, split into micro-batches as memory allows without changing the step. None means
        32, and 8 from scratch."""
        optimizer: Literal["auto", "adamw", "muon"] = "auto"
        """What moves the weights: `adamw`, or `muon` for the matrices inside the layers with `adamw` for the rest.
        `auto` is `muon` from scratch, where it learns more in the same time, and `adamw` for a pretrained base."""
        learning_rate: float | None = Field(None, gt=0)
        """Peak learning rate; None means the method's own: 2e-4 for lora and qlora, 5e-5 for full, and from scratch
        5e-3 with `muon`, 1e-3 with `adamw`."""
        schedule: Schedule | Literal["auto"] = "auto"
        """How the rate goes after the warm-up: it falls all the way with `cosine` or `linear`, in the last 40 % with
        `wsd`, never with `constant`. `auto` is `cosine`, and `wsd` from scratch."""
        warmup: float | None = Field(None, ge=0, le=1)
        """Share of the training in which the rate rises. None means 0.1, and 0.02 from scratch."""
        weight_decay: float = Field(0.01, ge=0)
        """The optimizer's decay of matrices; norms and biases are never decayed."""
        ema: float = Field(0.0, ge=0, lt=1)
        """Decay of a moving average of the weights, such as 0.999; what is evaluated and written is then the average.
        0 means none."""
        clip: float = Field(1.0, ge=0)
        """Largest norm of a step's gradient; 0 for none."""
        eval_every: int | None = Field(None, ge=1)
        """Steps between evaluations; None means ten evaluations in all, five where there are less than 100 steps."""
        eval_tokens: int = Field(65_536, ge=1)
        """Validation tokens of an evaluation, spread over the validation part: enough for a loss to ±0.02 nats."""
        patience: int = Field(3, ge=0)
        """Evaluations without a lower loss after which training stops; 0 means never."""
        precision: Precision = "auto"
        """Format of multiplications: `auto` is bf16 where the hardware has it, else fp32. What is trained is fp32.
        `fp16`, for GPUs without bf16, scales the loss so that small gradients survive, and halves the scale when one
        overflows."""
        seed: int = Field(0, ge=0)
        """Seed of the order of the data, of dropout and of the adapters' first weights."""
        federated: Federated | None = None
        """Train with others whose data stay where they are; None trains here alone."""
        micro_batch_tokens: int = runtime(2048, ge=1)
        """Tokens run at once (one sequence at least): more use a GPU better and take more memory."""
        checkpoint_layers: Annotated[int, Field(ge=0)] | Literal["auto"] = runtime("auto")
        """Layers whose activations are computed twice instead of kept, for memory: `auto` takes as many as free memory
        asks for by the estimate, 0 none; more than there are means all."""
        device: str = runtime("auto")
        """`auto`, `cpu`, `cuda`, `cuda:1`, …"""
        threads: int = runtime(0, ge=0)
        """CPU threads; 0 means all cores. Another number gives other last bits: it is logged in `logs/machine.json`."""
        parallel: Parallel = runtime(Parallel())
        """Processes that train together, such as `8` or `{processes: 8, shard: weights}`. As with threads, another
        number gives other last bits."""
        checkpoint_every_s: float = runtime(30.0, ge=0)
        """Seconds between checkpoints: what a crash costs at most."""
        sample_completions: int = runtime(0, ge=0)
        """Validation texts that the model continues at every evaluation, compared by BLEU and exact match."""
        track: Annotated[tuple[Ref, ...], PluginKind("tracker")] = runtime(())
        """Where curves are sent beside the run's own events, such as `[tensorboard, {mlflow: {uri: …}}]`."""
        gpu_tflops: float = runtime(0.0, ge=0)
        """What a GPU reaches in training, in 10¹² operations a second, for the estimate where none has been measured; 0
        takes 50, a guess."""
        watts: float = runtime(65.0, gt=0)
        """Mean power of this machine in watts, where the processor's counters can't be read; the chain's."""
        price_per_kwh: float = runtime(0.15, ge=0)
        """Price of a kilowatt hour in US dollars; the chain's, unless it is set here."""
        price_per_hour: float = runtime(0.0, ge=0)
        """Rent of this machine in US dollars an hour; the chain's, unless it is set here."""

        @field_validator("track")
        @classmethod
        def _each_once(cls, track: tuple[Ref, ...]) -> tuple[Ref, ...]:
            """Refuse a tracker that is named twice: one of the two would be left out."""
            known = [item.name for item in track]
            twice = next((name for name in known if known.count(name) > 1), None)
            if twice:
                raise ValueError(_("`{name}` is named twice").format(name=twice))
            return track

        @model_validator(mode="after")
        def _federated_fits(self) -> Train.Settings:
            """Refuse what a federation can't follow."""
            if self.federated:
                check_goes_with(self)
            return self

    def needs(self) -> tuple[str, ...]:
        """Weights, tokens, sequences; to simulate clients, also which repository a row is of."""
        told = self.settings.federated
        return ("base", "tokenizer", "pack", *(("split",) if told and not told.listen and told.clients > 1 else ()))

    def observe(self) -> Any:
        """The number format that `auto` means here, and what the objective reads: they change the bytes."""
        found: dict[str, Any] = {"precision": resolve_precision(self.settings.precision, self.settings.device)}
        if self.settings.federated:
            found["federated"] = "clients" if self.settings.federated.listen else "simulated"
        seen = getattr(self.settings.objective.make(), "observe", None)
        return {**found, "objective": seen()} if seen else found

    def work(self, inputs: Inputs) -> float:
        """The operations of the whole training, a unit for about a token times a parameter of LoRA training."""
        return work_of(self.settings, inputs)

    def estimate(self, inputs: Inputs, past: Sequence[Past]) -> Estimate:
        """Memory and disk computed from the model's sizes, time from past runs or this machine's speed."""
        return expect(self.settings, inputs, past)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Train, or go on from the last checkpoint of an earlier attempt.

        Raises:
            BurilError: T103 sequences longer than the model reads, T104 an adapter on random weights, T105 numbers that
                are not finite, T106 a model that packed training does not support, T107 targets that fit no layer,
                T108 tokens that the model has not, T13x what the objective refuses, T140 layers that can't be computed
                twice, T15x a tracker that can't be used, T16x what several processes can't do together, T17x and T18x a
                federation, P002 a missing package.
        """
        from buril.train.parallel.launch import launch
        from buril.train.parallel.world import world

        name = self.settings.method.name
        for package in getattr(plugin("method", name), "packages", ("torch", "transformers")):
            require(package, kind="method", name=name)
        others = world()
        if others and self.settings.federated:
            raise BurilError("T170", setting="parallel")
        if others:
            return others.lead(self.settings, inputs, out)
        if self.settings.parallel.processes > 1:
            return launch(self.settings, inputs, out)
        return self.train(inputs, out)

    def train(self, inputs: Inputs, out: Output, stand: Any = None) -> Metrics:
        """Train in this process: alone, or as one of the team of a `Stand`, whose leader alone gives metrics."""
        from buril.train.machine import prepare_torch, quieten
        from buril.train.recipe import Stand
        from buril.train.trackers._tracker import following

        stand = stand or Stand()
        team = stand.team
        trackers = {ref.name: ref.make() for ref in self.settings.track if team.leads}
        for tracker in trackers.values():
            tracker.check()
        quieten()
        machine = prepare_torch(self.settings.threads) | {"micro_batch_tokens": self.settings.micro_batch_tokens}
        # asked before the weights take their memory
        twice = int(team.tell(str(resolve_layers(self.settings, inputs).twice)))
        task = self._task(inputs, team)
        machine |= {"device": str(task.trainable.device), "checkpoint_layers": task.trainable.recompute(twice)}
        machine |= team.machine
        stand = stand._replace(machine=machine)
        out.text("logs/machine.json", json.dumps(machine, indent=1) + "\n")
        monitor = self._monitor(task, out, team)
        loop = self._loop(task, inputs, out, stand, monitor)
        counts = count(task.trainable)
        out.note(_("{trainable:,} of {parameters:,} parameters are trained ({share:.2%})").format(**counts))
        with following(trackers, self._tracked(inputs, out, counts), out) as readers:
            progress = loop.run()
            state = team.whole(task.trainable.kept()) if team.split else None
            if not team.leads:
                return {}
            self._write(out, loop, {**counts, "num_tokens": task.train.num_tokens}, state)
            cost = {**monitor.cost(progress), "energy": monitor.meter.source if monitor.meter else ""}
            out.text("logs/cost.json", json.dumps(cost, indent=1) + "\n")
            if trackers:
                readers.end("finished", (out.path(task.trainable.folder), digest_so_far(out.folder)))
        speeds = {name: median_of(out.folder, name) for name in ("tokens_per_s", "mfu")}
        return summary(progress, counts) | speeds | {"kwh": cost["kwh"], "usd": cost["usd"]}

    def _loop(self, task: Any, inputs: Inputs, out: Output, stand: Any, monitor: Any) -> Any:
        """What trains: the loop, or a federation of clients that each run one."""
        from buril.train.loop import Loop

        recipe = self._recipe(inputs)
        if not self.settings.federated:
            return Loop(task, recipe, out=out, stand=stand, monitor=monitor)
        from buril.train.federated.adapter import Shared
        from buril.train.federated.server import Scene
        from buril.train.federated.start import federation

        shared = Shared(task.trainable, self.settings.federated.average)
        return federation(self.settings, Scene(task, shared, recipe, out, monitor), inputs, stand.machine)

    def _tracked(self, inputs: Inputs, out: Output, counts: dict[str, Any]) -> Any:
        """What trackers are told of this training: settings, size, and the digests of what it reads."""
        from buril.train.trackers._tracker import Tracked

        memory = out.scratch / "trackers"
        memory.mkdir(exist_ok=True)
        settings = {name: value.get("name") if isinstance(value, dict) else value
                    for name, value in self.settings.identity().items()}  # fmt: skip
        parameters = {**settings, **{name: counts[name] for name in ("parameters", "trainable")}}
        return Tracked(out.folder, memory, parameters, {name: item.digest for name, item in inputs.items()})

    def _monitor(self, task: Any, out: Output, team: Any = None) -> Any:
        """What tells of the steps, with the machine's fastest multiplication measured now.

        Energy is counted by one process of each machine.
        """
        import torch

        from buril.core.estimate import Machine
        from buril.train.monitor import Meter, Monitor, Work, measure_peak
        from buril.train.parallel.team import ALONE

        told, device = self.settings, task.trainable.device
        machine = Machine(told.watts, told.price_per_kwh, told.price_per_hour)
        formats = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
        team = team or ALONE
        peak = team.size * measure_peak(device, formats[resolve_precision(told.precision, told.device)])
        counts = team.size == 1 or os.environ.get("LOCAL_RANK", "0") == "0"
        meter = Meter(machine, device=device.type) if counts else None
        out.metric(step=0, gemm_tflops=round(peak / 1e12, 4), energy_source=meter.source if meter else "")
        return Monitor(out, Work(task.trainable), machine, peak, meter, sampler_of(task, told.sample_completions))

    def _recipe(self, inputs: Inputs) -> Any:
        from dataclasses import fields

        from buril.train.recipe import Recipe

        told = settled(self.settings, inputs)
        method = plugin("method", told.method.name)
        scratch = inputs["base"].json("base.json")["kind"] == "scratch"
        rate = told.learning_rate or (SCRATCH_RATES[told.optimizer] if scratch else method.learning_rate)
        found: dict[str, Any] = {
            "learning_rate": rate,
            "fp16": resolve_precision(told.precision, told.device) == "fp16",
        }
        plain = {item.name: getattr(told, item.name) for item in fields(Recipe) if item.name not in found}
        return Recipe(**plain, **found)

    def _task(self, inputs: Inputs, team: Any = None) -> Any:
        from buril.train.batch import PackedFile
        from buril.train.objectives._objective import Scene, open_objective
        from buril.train.recipe import Task

        train, valid = (PackedFile(inputs["pack"].path(f"{part}.parquet")) for part in ("train", "valid"))
        loaded, trainable, bf16 = self._model(inputs, (train, valid), team)
        objective = self.settings.objective.make()
        told = open_objective(objective, Scene(inputs, trainable, bf16))
        return Task(trainable, objective, train, valid, loaded, told)

    def _model(self, inputs: Inputs, files: Sequence[Any], team: Any = None) -> tuple[Any, Any, bool]:
        """The base as loaded, as what is trained, and whether it multiplies in bf16; `files` are what it will read."""
        from buril.generators._load import load
        from buril.train.numerics import use_fp16
        from buril.train.parallel.team import ALONE

        team = team or ALONE
        method = self.settings.method.make()
        kind = inputs["base"].json("base.json")["kind"]
        trained = self._trained(inputs)
        if kind == "scratch" and not method.trains_weights and not trained:
            raise BurilError("T104", method=self.settings.method.name)
        precision = resolve_precision(self.settings.precision, self.settings.device)
        bf16 = precision == "bf16"
        dtype = "bf16" if bf16 and not method.trains_weights else "fp32"
        convert = partial(method.convert, bf16=bf16) if hasattr(method, "convert") else None
        device = "cpu" if team.split else self.settings.device  # whole at first, then each process keeps its piece
        check_method(self.settings, method, fp16=precision == "fp16")
        folders = (inputs["base"].folder, inputs["tokenizer"].folder)
        loaded = load(*folders, model_dir=trained, dtype=dtype, device=device, convert=convert)
        check_fits(loaded.model, inputs["pack"], largest=max(file.largest_token for file in files))
        new_tokens = [] if kind == "scratch" or trained else list(loaded.fim["added"])
        trainable = method.prepare(loaded.model, bf16=bf16, new_tokens=new_tokens, seed=self.settings.seed)
        if precision == "fp16":
            use_fp16(trainable, trains_weights=method.trains_weights)
        self._ready(trainable, inputs)
        check_same_output(trainable, files[0])
        if team.split:
            from buril.train.parallel.spread import spread

            spread(trainable, team)
        return loaded, trainable, bf16

    def _trained(self, inputs: Inputs) -> Any:
        """The folder of weights that stand in the base's place; None where training begins with the base."""

    def _ready(self, trainable: Any, inputs: Inputs) -> None:
        """Change what has been prepared, before anything is done with it."""

    def _write(self, out: Output, loop: Any, counts: dict[str, Any], state: Any) -> None:
        from buril.train.loop import curve_lines

        progress, told = loop.progress, self.settings
        write_folder(out, loop.task.trainable, state)
        write_seen(out, loop)
        if told.federated:
            from buril.train.federated.start import write_contributions

            write_contributions(loop)
        out.text("curve.json", "\n".join(curve_lines(progress.curve)) + "\n")
        valid = [point["valid_loss"] for point in progress.curve if "valid_loss" in point]
        if progress.best_file and progress.best_step == 0:
            out.warn(_("training never lowered the validation loss: what is written is the base as it was"))
        content = {
            "method": told.method.name, "objective": told.objective.name,
            "precision": resolve_precision(told.precision, told.device),
            "planned_steps": loop.num_steps, "epochs": progress.tokens / max(1, counts["num_tokens"]),
            "learning_rate": loop.recipe.learning_rate, "optimizer": loop.recipe.optimizer, "ema": loop.recipe.ema,
            "reproducible": loop.recipe.minutes is None and not (told.federated and told.federated.open),
            "first_valid_loss": valid[0] if valid else None,
            "last_valid_loss": valid[-1] if valid else None, **summary(progress, counts), **loop.task.told,
        }  # fmt: skip
        out.text("train.json", json.dumps(content, indent=1, sort_keys=True) + "\n")


def sampler_of(task: Any, number: int) -> Any:
    """What makes completions at every evaluation; None where none are wanted or no validation text is long enough."""
    if not number:
        return None
    from buril.train.samples import Sampler, cuts

    special = frozenset(task.loaded.encoder.control_ids)
    found = cuts([task.valid[index] for index in range(len(task.valid))], number, special=special)
    return Sampler(task.trainable, task.loaded, found) if found else None
