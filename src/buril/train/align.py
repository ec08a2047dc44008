"""Stage align: a model learns to prefer the secure text of each pair, and to write ordinary code as before.

It goes on from what `train` made, an adapter with that adapter, or from the base where there is no `train`; what comes
out takes the place of `train`'s: a plain PEFT adapter or Hugging Face folder, which can be merged, or left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.estimate import Estimate, Past
from buril.core.plugins import PluginKind, Ref, plugin
from buril.core.settings import Settings as BaseSettings
from buril.core.stage import Inputs, Metrics, Output
from buril.core.text import _
from buril.train.expect import expect, work_of
from buril.train.machine import resolve_precision
from buril.train.result import summary, write_folder, write_seen
from buril.train.stage import Train

PARTS = ("train", "valid", "test")
BYTES_PER_TOKEN = 3.2
"""Of code in the usual vocabularies; only estimates use it."""
MARGINS = "margins.parquet"
COLUMNS = ("pair_id", "cwe", "language", "secure", "vulnerable")


class Retain(BaseSettings):
    """What of the model is to stay as it is."""

    weight: float = Field(3.0, ge=0)
    """What a nat of divergence from the model before costs beside the mean loss of a pair; 0 retains nothing."""
    tokens: int = Field(256, ge=16)
    """Tokens of what stands beside each pair, at most: a function of ordinary code with what is asked before it."""
    source: Literal["own", "code", "none"] = "own"
    """What stands beside the pairs, as text or as chat as the pair is. `own`: beginnings of functions of the training
    part, and what the model itself writes after them before any step; it costs the time of the writing, and keeps best
    what a user sees. `code`: those functions as they are. `none`: nothing, only what both texts of a pair begin with is
    kept."""
    top_k: int = Field(32, ge=1)
    """Words of the model before that are compared one by one; all others count as one."""

    @model_validator(mode="before")
    @classmethod
    def _by_number(cls, given: Any) -> Any:
        """`retain: 0.5` names the weight."""
        return {"weight": given} if isinstance(given, (int, float)) and not isinstance(given, bool) else given

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
        """The number by itself, for editors too."""
        return {"anyOf": [{"type": "number", "minimum": 0}, handler(core_schema)]}


class Align(Train):
    """Teaches a preference by pairs of `pairs`, on top of `train` or of the base."""

    name = "align"
    version = 3
    small: ClassVar[dict[str, Any]] = {"max_steps": 4, "batch_size": 4, "eval_tokens": 2048}
    small_from_scratch: ClassVar[dict[str, Any]] = small

    class Settings(Train.Settings):
        """What is preferred, how strongly, and what must not be lost; the rest is as in `train`."""

        shorthand: ClassVar[str | None] = "objective"

        objective: Annotated[Ref, PluginKind("preference")] = Field("sven", validate_default=True)
        """What the preference is learnt by: `sven`, `contrastive`, `dpo`, `orpo` or `simpo`."""
        method: Annotated[Ref | None, PluginKind("method")] = None  # type: ignore[assignment]  # settled before it is used
        """What is trained. None goes on with the adapter that `train` made, and is `lora` where it made none."""
        start: Literal["base", "train"] = "base"
        """Whose model it begins with; the chain says `train` where there is one."""
        retain: Retain = Field({}, validate_default=True)
        """What is to stay as it is: how surely skill is kept."""
        strength: float = Field(0.65, gt=0, le=1)
        """Share of what was learnt that is kept: the weights that are written lie so far on the way from those at the
        start to those at the end. Part of the way keeps most of a preference and loses much less of all else."""
        form: Literal["auto", "text", "chat", "mixed"] = "auto"
        """How pairs are put: as a `text`, as the answer of a `chat` that asks to complete it, or `mixed`, every second
        one a chat. `auto` is mixed where the model has a chat template, else text."""
        max_length: int = Field(1024, ge=32)
        """Tokens of one text of a pair, at most what the model reads; of a longer one the beginning is cut."""
        batch_size: int | None = Field(16, ge=1)
        """Pairs of a step."""
        learning_rate: float | None = Field(None, gt=0)
        """Peak learning rate; None means half the method's own: a preference is a nudge, not a lesson."""

        @model_validator(mode="after")
        def _here_alone(self) -> Align.Settings:
            """Refuse what a preference can't be learnt with."""
            if self.federated:
                raise BurilError("T200", setting="federated")
            if self.parallel.processes > 1:
                raise BurilError("T200", setting="parallel")
            return self

    def needs(self) -> tuple[str, ...]:
        """The model, the pairs, and ordinary code to retain."""
        told: Align.Settings = self.settings
        retained = ("split",) if told.retain.weight and told.retain.source != "none" else ()
        return ("base", "tokenizer", "pairs", *(("train",) if told.start == "train" else ()), *retained)

    def parts(self) -> dict[str, int]:
        """The version of the preference's code."""
        name = self.settings.objective.name
        return {f"preference:{name}": plugin("preference", name).version}

    def work(self, inputs: Inputs) -> float:
        """The operations of the whole training."""
        told, seen = self._settled(inputs)
        return work_of(told, seen)

    def estimate(self, inputs: Inputs, past: Sequence[Past]) -> Estimate:
        """As of a training on as many tokens, and the reading of the pairs before."""
        told, seen = self._settled(inputs)
        return expect(told, seen, past)

    def run(self, inputs: Inputs, out: Output) -> Metrics:
        """Read the pairs with the model as it is, then train.

        Raises:
            BurilError: T201 without a pair that fits, T202 where `train` made an adapter of another kind, T203 for a
                chat that the model has no template for, and what `train` raises.
        """
        from buril.train.parallel.world import world

        if world():
            raise BurilError("T200", setting="torchrun")
        told, seen = self._settled(inputs)
        stage = Align(told)
        return stage.train(seen, out)

    def _settled(self, inputs: Inputs) -> tuple[Any, Inputs]:
        """The settings with the method in force, and inputs whose `pack` is what will be read of the pairs."""
        told: Align.Settings = self.settings
        method = told.method or method_of(inputs.get("train"))
        rate = told.learning_rate or plugin("method", method.name).learning_rate / 2
        reads = inputs["base"].json("model/config.json").get("max_position_embeddings") or told.max_length
        changes = {"method": method, "learning_rate": rate, "max_length": min(told.max_length, reads)}
        settled = told.model_copy(update=changes)
        laid: Any = Laid(settled, inputs)
        return settled, {**inputs, "pack": laid}

    # --- what `train` asks

    def _trained(self, inputs: Inputs) -> Any:
        """The model that `train` made, where it made a whole one."""
        train = inputs.get("train")
        return train.path("model") if train and train.path("model").is_dir() else None

    def _ready(self, trainable: Any, inputs: Inputs) -> None:
        """Go on with the adapter that `train` made.

        Raises:
            BurilError: T202.
        """
        train = inputs.get("train")
        if train is None or not train.path("adapter").is_dir():
            return
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        state = load_file(train.path("adapter/adapter_model.safetensors"))
        if not hasattr(trainable.holder, "peft_config"):
            raise BurilError("T202", method=self.settings.method.name)
        try:
            found = set_peft_model_state_dict(trainable.holder, state)
        except RuntimeError as problem:
            raise BurilError("T202", method=self.settings.method.name) from problem
        if found.unexpected_keys:
            raise BurilError("T202", method=self.settings.method.name)

    def _task(self, inputs: Inputs, team: Any = None) -> Any:
        from buril.train.aligning import Aligning
        from buril.train.recipe import Task

        files, told = self._files(inputs)
        loaded, trainable, _bf16 = self._model(inputs, [files["train"]], team)
        retain = self.settings.retain
        objective = Aligning(self.settings.objective.make(), retain=retain.weight, top_k=retain.top_k)
        return Task(trainable, objective, files["train"], files["valid"], loaded, {**told, "files": files})

    def _loop(self, task: Any, inputs: Inputs, out: Output, stand: Any, monitor: Any) -> Any:
        """The loop, after the model has written its own answers and every pair has been read once."""
        from buril.train.answers import Answerer
        from buril.train.strength import copied

        if self.settings.strength < 1:
            task.told["start_weights"] = copied(task.trainable)
        files = list(task.told["files"].values())
        total = sum(map(len, files))
        answerer = Answerer(task.trainable, task.loaded, out.scratch / "answers")
        task.told.update(answerer.lay(files, lambda done, of: out.progress(done, of, _("answers written"))))
        task.objective.refer(
            task.trainable, files, out.scratch / "references",
            lambda done: out.progress(done, total, _("pairs read")),
        )  # fmt: skip
        return super()._loop(task, inputs, out, stand, monitor)

    def _files(self, inputs: Inputs) -> tuple[dict[str, Any], dict[str, Any]]:
        """The pairs of each part as sequences, and what `align.json` says of them.

        Raises:
            BurilError: T201, T203.
        """
        from buril.train.paired import PairFile, Writer, written

        told: Align.Settings = self.settings
        writer = Writer(inputs["tokenizer"].folder, told.form)
        rows = {part: read_pairs(inputs["pairs"].path(f"{part}.parquet")) for part in PARTS}
        beside, put = self._beside(inputs, rows), writer.begun if told.retain.source == "own" else writer.ordinary
        files, left_out, begin = {}, {}, 0
        for part in PARTS:
            pairs, left_out[part] = written(rows[part], writer.both, told.max_length)
            places = range(begin, begin + len(pairs))
            files[part] = PairFile(part, pairs, [beside.piece(place, put) for place in places])
            begin += len(pairs)
        if not len(files["train"]):
            raise BurilError("T201", length=told.max_length)
        return files, {
            "form": writer.form, "pairs": {part: len(file) for part, file in files.items()}, "left_out": left_out,
            "functions": len(beside),
        }  # fmt: skip

    def _beside(self, inputs: Inputs, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Any:
        """The functions that stand beside the pairs: of the languages that the pairs are in."""
        from buril.train.retained import Beside

        told: Align.Settings = self.settings
        every = [row for part in rows.values() for row in part]
        shards = inputs["split"].files("train/*.parquet") if "split" in inputs else []
        return Beside(
            shards, frozenset(str(row["language"]) for row in every), number=len(every),
            num_tokens=told.retain.tokens, seed=told.seed,
        )  # fmt: skip

    def _write(self, out: Output, loop: Any, counts: dict[str, Any], state: Any) -> None:
        """The model, the rows it has seen, the margins of every pair before and after, `align.json`."""
        import pyarrow as pa

        from buril.code.codefile import write_table
        from buril.train.loop import curve_lines
        from buril.train.strength import lessen

        told, task = self.settings, loop.task
        files, start = task.told.pop("files"), task.told.pop("start_weights", None)
        if start is not None:
            lessen(task.trainable, start, told.strength)
        write_folder(out, task.trainable, state)
        write_seen(out, loop)
        out.text("curve.json", "\n".join(curve_lines(loop.progress.curve)) + "\n")
        total = sum(map(len, files.values()))
        rows = margins(task, files, lambda done: out.progress(done, total, _("pairs read again")))
        write_table(out.path(MARGINS), pa.Table.from_pylist(rows))
        out.rows[MARGINS] = len(rows)
        if loop.progress.best_file and loop.progress.best_step == 0:
            out.warn(_("training never lowered the validation loss: what is written is the model as it was"))
        content = {
            "method": told.method.name, "objective": told.objective.name,
            "start": told.start, "strength": told.strength,
            "precision": resolve_precision(told.precision, told.device), "learning_rate": loop.recipe.learning_rate,
            "reproducible": loop.recipe.minutes is None, "planned_steps": loop.num_steps,
            "margins": {part: told_margins([row for row in rows if row["part"] == part]) for part in PARTS},
            **summary(loop.progress, counts), **task.told,
        }  # fmt: skip
        out.text("align.json", json.dumps(content, indent=1, sort_keys=True) + "\n")


class Laid:
    """What will be read of the pairs, told as `pack` tells of its sequences.

    Counts are estimates: nothing is put into tokens for a plan.
    """

    def __init__(self, told: Align.Settings, inputs: Inputs) -> None:
        self._told, self._pairs = told, inputs["pairs"]
        self._beside = told.retain.tokens if "split" in inputs and told.retain.source != "none" else 0

    @property
    def digest(self) -> str:
        """Of the pairs."""
        return self._pairs.digest

    def json(self, name: str) -> dict[str, Any]:
        """The summary."""
        del name
        sizes = {part: self._sizes(part) for part in PARTS}
        train, valid = (self._tokens(sizes[part]) for part in PARTS[:2])
        return {
            "max_length": self._told.max_length, "sequences": len(sizes["train"]), "tokens": train,
            "valid": {"tokens": valid},
        }  # fmt: skip

    def _tokens(self, sizes: Sequence[int]) -> int:
        return int(sum(sizes) / BYTES_PER_TOKEN) + len(sizes) * self._beside

    def _sizes(self, part: str) -> list[int]:
        """Bytes of both texts of each pair."""
        rows = read_pairs(self._pairs.path(f"{part}.parquet"), ("secure", "vulnerable"))
        return [len(row["secure"]) + len(row["vulnerable"]) for row in rows]


def margins(task: Any, files: Mapping[str, Any], tell: Callable[[int], None]) -> list[dict[str, Any]]:
    """A row for each pair: how much likelier its secure text is, before and after, in nats a token."""
    rows: list[dict[str, Any]] = []
    for part, file in files.items():
        done = len(rows)
        after = task.objective.read(
            task.trainable, file, near=False, tell=lambda number, done=done: tell(done + number)
        )
        before = task.objective.margins(part)
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            rows.append({
                "pair_id": file.pair_id(index), "part": part, "cwe": file.cwe(index), "before": old.changed,
                "after": new.margin.changed, "answer_before": old.answer, "answer_after": new.margin.answer,
            })  # fmt: skip
    return rows


def told_margins(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What margins come to: the share of pairs whose secure text is the likelier one, and the mean."""
    if not rows:
        return {"pairs": 0}
    return {
        "pairs": len(rows),
        **{f"preferred_{when}": sum(row[when] > 0 for row in rows) / len(rows) for when in ("before", "after")},
        **{f"mean_{when}": sum(row[when] for row in rows) / len(rows) for when in ("before", "after")},
    }


def read_pairs(path: Path, columns: Sequence[str] = COLUMNS) -> list[dict[str, Any]]:
    """The rows of a file of pairs, as the stage `pairs` writes them."""
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = pq.read_table(path, columns=list(columns)).to_pylist()
    return found


def method_of(train: Artifact | None) -> Ref:
    """The method that goes on with what `train` made; `lora` where it made no adapter."""
    refs: tuple[Ref, ...]
    if train is None or not train.path("adapter").is_dir():
        refs = PluginKind("method").parse(["lora"])
        return refs[0]
    told = train.json("adapter/adapter_config.json")
    settings = {
        "rank": told["r"], "alpha": told["lora_alpha"], "dropout": told["lora_dropout"], "rslora": told["use_rslora"],
        "dora": told["use_dora"], "targets": told["target_modules"],
    }  # fmt: skip
    refs = PluginKind("method").parse([{train.json("train.json")["method"]: settings}])
    return refs[0]
