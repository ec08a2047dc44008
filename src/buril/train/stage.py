"""Stage train: a base model learns the packed sequences; out comes a plain PEFT adapter or Hugging Face folder."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from buril.core.artifact import Artifact, atomic, sync_folder
from buril.core.errors import BurilError
from buril.core.estimate import Estimate, Past
from buril.core.plugins import PluginKind, Ref, plugin, require
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Inputs, Metrics, Output, Stage
from buril.core.text import _
from buril.train.expect import expect, resolve_layers, work_of
from buril.train.machine import Precision, resolve_precision
from buril.train.schedule import Schedule

SCRATCH_LEARNING_RATE = 1e-3
"""Peak learning rate for random weights where none is given: they bear twenty times that of tuning."""
CHECKED_TOKENS = 48


class Train(Stage):
    """Trains `base` on the sequences of `pack` with the tokens of `tokenizer`."""

    name = "train"
    version = 1
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
        epochs: float = Field(3, gt=0)
        """Passes over the data; early stopping may end it sooner. Small code corpora gain up to about four."""
        max_steps: int | None = Field(None, ge=1)
        """Steps at most; None means as many as the epochs take."""
        batch_size: int = Field(32, ge=1)
        """Packed sequences of a step. It is split into micro-batches as memory allows, without changing the step."""
        learning_rate: float | None = Field(None, gt=0)
        """Peak learning rate; None means the method's own: 2e-4 for lora, qlora, 5e-5 for full, 1e-3 from scratch."""
        schedule: Schedule = "cosine"
        """How the rate falls after the warm-up: `cosine`, `linear` or `constant`."""
        warmup: float = Field(0.1, ge=0, le=1)
        """Share of the steps in which the rate rises."""
        weight_decay: float = Field(0.01, ge=0)
        """AdamW's decay of matrices; norms and biases are never decayed."""
        clip: float = Field(1.0, ge=0)
        """Largest norm of a step's gradient; 0 for none."""
        eval_every: int | None = Field(None, ge=1)
        """Steps between evaluations; None means ten evaluations in all, five where there are less than 100 steps."""
        eval_tokens: int = Field(65_536, ge=1)
        """Validation tokens of an evaluation, spread over the validation part: enough for a loss to ±0.02 nats."""
        patience: int = Field(3, ge=0)
        """Evaluations without a lower loss after which training stops; 0 means never."""
        precision: Precision = "auto"
        """Format of multiplications: `auto` is bf16 where the hardware has it, else fp32. What is trained is fp32."""
        seed: int = Field(0, ge=0)
        """Seed of the order of the data, of dropout and of the adapters' first weights."""
        micro_batch_tokens: int = runtime(2048, ge=1)
        """Tokens run at once (one sequence at least): more use a GPU better and take more memory."""
        checkpoint_layers: Annotated[int, Field(ge=0)] | Literal["auto"] = runtime("auto")
        """Layers whose activations are computed twice instead of kept, for memory: `auto` takes as many as free memory
        asks for by the estimate, 0 none; more than there are means all."""
        device: str = runtime("auto")
        """`auto`, `cpu`, `cuda`, `cuda:1`, …"""
        threads: int = runtime(0, ge=0)
        """CPU threads; 0 means all cores. Another number gives other last bits: it is logged in `logs/machine.json`."""
        checkpoint_every_s: float = runtime(30.0, ge=0)
        """Seconds between checkpoints: what a crash costs at most."""

    def needs(self) -> tuple[str, ...]:
        """Weights, tokens, sequences."""
        return ("base", "tokenizer", "pack")

    def observe(self) -> Any:
        """The number format that `auto` means here, and what the objective reads: they change the bytes."""
        found = {"precision": resolve_precision(self.settings.precision, self.settings.device)}
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
                T108 tokens that the model has not, T130 to T132 what the objective refuses, P002 a missing package.
        """
        name = self.settings.method.name
        for package in getattr(plugin("method", name), "packages", ("torch", "transformers")):
            require(package, kind="method", name=name)
        from buril.train.loop import Loop
        from buril.train.machine import prepare_torch, quieten

        quieten()
        machine = prepare_torch(self.settings.threads) | {"micro_batch_tokens": self.settings.micro_batch_tokens}
        twice = resolve_layers(self.settings, inputs).twice  # asked before the weights take their memory
        task = self._task(inputs)
        machine |= {"device": str(task.trainable.device), "checkpoint_layers": task.trainable.recompute(twice)}
        out.text("logs/machine.json", json.dumps(machine, indent=1) + "\n")
        counts = count(task.trainable)
        out.note(_("{trainable:,} of {parameters:,} parameters are trained ({share:.2%})").format(**counts))
        loop = Loop(task, self._recipe(inputs["base"].json("base.json")["kind"]), out=out, machine=machine)
        progress = loop.run()
        self._write(out, loop, {**counts, "num_tokens": task.train.num_tokens})
        return summary(progress, counts) | {"tokens_per_s": speed(out.folder)}

    def _recipe(self, kind: str) -> Any:
        from dataclasses import fields

        from buril.train.loop import Recipe

        told = {item.name: getattr(self.settings, item.name) for item in fields(Recipe)}
        method = plugin("method", self.settings.method.name)
        default = SCRATCH_LEARNING_RATE if kind == "scratch" else method.learning_rate
        return Recipe(**{**told, "learning_rate": told["learning_rate"] or default})

    def _task(self, inputs: Inputs) -> Any:
        from buril.generators._load import load
        from buril.train.batch import PackedFile
        from buril.train.loop import Task
        from buril.train.objectives._objective import Scene, open_objective

        method = self.settings.method.make()
        kind = inputs["base"].json("base.json")["kind"]
        if kind == "scratch" and not method.trains_weights:
            raise BurilError("T104", method=self.settings.method.name)
        bf16 = resolve_precision(self.settings.precision, self.settings.device) == "bf16"
        dtype = "bf16" if bf16 and not method.trains_weights else "fp32"
        convert = partial(method.convert, bf16=bf16) if hasattr(method, "convert") else None
        loaded = load(
            inputs["base"].folder, inputs["tokenizer"].folder, dtype=dtype, device=self.settings.device, convert=convert
        )
        train, valid = (PackedFile(inputs["pack"].path(f"{part}.parquet")) for part in ("train", "valid"))
        check_fits(loaded.model, inputs["pack"], largest=max(train.largest_token, valid.largest_token))
        new_tokens = [] if kind == "scratch" else list(loaded.fim["added"])
        trainable = method.prepare(loaded.model, bf16=bf16, new_tokens=new_tokens, seed=self.settings.seed)
        check_same_output(trainable, train)
        objective = self.settings.objective.make()
        self._objective_told = open_objective(objective, Scene(inputs, trainable, bf16))
        return Task(trainable, objective, train, valid)

    def _write(self, out: Output, loop: Any, counts: dict[str, Any]) -> None:
        from buril.train.loop import curve_lines

        progress, told = loop.progress, self.settings
        write_folder(out, loop.task.trainable)
        _write_seen(out, loop)
        out.text("curve.json", "\n".join(curve_lines(progress.curve)) + "\n")
        valid = [point["valid_loss"] for point in progress.curve if "valid_loss" in point]
        if progress.best_file and progress.best_step == 0:
            out.warn(_("training never lowered the validation loss: what is written is the base as it was"))
        content = {
            "method": told.method.name, "objective": told.objective.name,
            "precision": resolve_precision(told.precision, told.device),
            "planned_steps": loop.num_steps, "epochs": progress.tokens / max(1, counts["num_tokens"]),
            "learning_rate": loop.recipe.learning_rate, "first_valid_loss": valid[0] if valid else None,
            "last_valid_loss": valid[-1] if valid else None, **summary(progress, counts), **self._objective_told,
        }  # fmt: skip
        out.text("train.json", json.dumps(content, indent=1, sort_keys=True) + "\n")


def _write_seen(out: Output, loop: Any) -> None:
    """`seen.parquet`: the rows, and how many tokens of each, that the weights which were kept had read."""
    import pyarrow as pa

    from buril.code.codefile import write_table
    from buril.train.batch import seen_rows

    progress, recipe = loop.progress, loop.recipe
    steps = progress.best_step if progress.best_file is not None else progress.step
    seen = seen_rows(loop.task.train, steps, batch_size=recipe.batch_size, seed=recipe.seed)
    table = pa.table({"row_id": pa.array(list(seen), pa.string()), "tokens": pa.array(list(seen.values()), pa.int64())})
    write_table(out.path("seen.parquet"), table)
    out.rows["seen.parquet"] = len(seen)


def check_fits(model: Any, pack: Artifact, *, largest: int) -> None:
    """Refuse sequences and tokens that the model can't read.

    Raises:
        BurilError: T103, T108.
    """
    limit = getattr(model.config, "max_position_embeddings", None)
    length = pack.json("summary.json")["max_length"]
    if limit and length > limit:
        raise BurilError("T103", length=length, limit=limit)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    if largest >= vocabulary:
        raise BurilError("T108", token=largest, vocabulary=vocabulary)


def check_same_output(trainable: Any, train: Any) -> None:
    """Compare the loss's own output layer with the model's on a few tokens: a scaled or capped output would be missed.

    Raises:
        BurilError: T106 when they differ by more than rounding.
    """
    import torch

    from buril.train.batch import Packed, lay_out

    few = train[0].input_ids[:CHECKED_TOKENS]
    batch = lay_out([Packed(0, few, (len(few),), ("",))], device=str(trainable.device))
    trainable.train(False)
    with torch.no_grad():
        hidden_td, head = trainable.hidden(batch), trainable.head()
        ours_tv = (hidden_td @ head.weight_VD.to(hidden_td.dtype).T).float()
        with torch.autocast(trainable.device.type, dtype=trainable.autocast, enabled=trainable.autocast is not None):
            theirs_tv = trainable.base(
                input_ids=batch.input_ids_T[None], position_ids=batch.position_ids_T[None], lengths=batch.lengths
            ).logits[0].float()  # fmt: skip
    if (ours_tv - theirs_tv).norm() > 0.02 * theirs_tv.norm():
        raise BurilError("T106", model=type(trainable.base).__name__, feature="an output layer of its own kind")


def count(trainable: Any) -> dict[str, Any]:
    """Parameters in all (tied ones once), those that are trained, and their share."""
    from buril.train.methods._quantised import num_weights

    known = {id(parameter): num_weights(parameter) for parameter in trainable.base.parameters()}
    known |= {id(parameter): parameter.numel() for parameter in trainable.parameters.values()}
    trained = sum(parameter.numel() for parameter in trainable.parameters.values())
    total = sum(known.values())
    return {"parameters": total, "trainable": trained, "share": trained / total}


def summary(progress: Any, counts: dict[str, Any]) -> dict[str, Any]:
    """What a training came to, for `train.json` and the manifest."""
    losses = [point["loss"] for point in progress.curve if "loss" in point]
    return {
        "steps": progress.step, "tokens": progress.tokens, "best_valid_loss": progress.best_loss,
        "best_step": progress.best_step, "final_loss": losses[-1] if losses else None,
        "stopped_early": progress.stopped_early, "parameters": counts["parameters"],
        "trainable_parameters": counts["trainable"], "trainable_share": counts["share"],
    }  # fmt: skip


def speed(folder: Path) -> float:
    """Median tokens per second of the steps in the speed log; 0 without any."""
    from statistics import median

    path, found = folder / "logs/speed.jsonl", []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):  # a line that a crash cut short
            found.append(float(json.loads(line)["tokens_per_s"]))
    return median(found) if found else 0.0


def write_folder(out: Output, trainable: Any) -> None:
    """Write the finished model into its folder of the artifact, file by file, each whole or not at all."""
    staging = out.scratch / "finished"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    trainable.save(staging)
    for source in sorted(staging.iterdir()):
        with atomic(out.path(f"{trainable.folder}/{source.name}")) as temporary:
            shutil.move(source, temporary)
    sync_folder(out.path(trainable.folder))
