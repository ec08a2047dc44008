"""The chain: the stages in order, one line each. This is the map of the product."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from buril import config
from buril.core import plan as planning
from buril.core import workers
from buril.core.errors import BurilError, nearest
from buril.core.estimate import Machine
from buril.core.plugins import PluginKind, Ref, expand
from buril.core.settings import Settings, runtime
from buril.core.stage import Stage
from buril.core.store import Store
from buril.core.text import N_, _
from buril.deploy.settings import Deploy

STAGES: dict[str, tuple[str, str]] = {
    "collect": ("buril.data.collect:Collect", N_("find the source files, with commit and licence")),
    "dedup": ("buril.data.dedup:Dedup", N_("mark exact and near duplicates")),
    "prepare": ("buril.data.prepare:Prepare", N_("clean, redact and check every file in one pass")),
    "select": ("buril.data.select:Select", N_("apply licences and thresholds; keep what was dropped with its reason")),
    "split": ("buril.data.split:Split", N_("train, validation and test parts that share nothing")),
    "dataset": ("buril.data.dataset:Dataset", N_("the split as a data set to publish: card, Croissant, mixture")),
    "augment": ("buril.data.augmentation:Augment", N_("further training texts made of the training part")),
    "synthesise": ("buril.data.synthesise:Synthesise", N_("pairs that a larger model writes, run and scanned")),
    "pairs": ("buril.data.pairs:Pairs", N_("vulnerable and secure forms of the same code, proved")),
    "base": ("buril.train.base:Base", N_("the base model as a plain checkpoint")),
    "tokenizer": ("buril.tokens.tokenizer:Tokenizer", N_("the base's tokenizer, or one trained on this code")),
    "pack": ("buril.tokens.pack:Pack", N_("fill-in-the-middle and packing; every token keeps its file")),
    "train": ("buril.train.stage:Train", N_("train the model or an adapter")),
    "align": ("buril.train.align:Align", N_("teach the model to prefer the secure text of each pair")),
    "evaluate": ("buril.evaluate.stage:Evaluate", N_("measure base against tuned on held-out code")),
    "index": ("buril.serve.provenance.stage:Index", N_("what was learnt, so that any text can be traced to its files")),
    "export": ("buril.export.stage:Export", N_("the model in the formats of several engines, each proved to be it")),
    "monitor": ("buril.monitor.reference:Monitor", N_("what was learnt from, to compare served traffic with")),
}
SECTIONS: dict[str, tuple[str, str]] = {
    "serve": ("buril.serve.settings:Serve", N_("how a model is served to editors and programs")),
}
"""Keys of the YAML that are no stage: they make no artifact, and a verb of their own reads them."""
KEYS = {**STAGES, **SECTIONS}
FROM_TRAIN = ("base", "depth", "revision")  # keys of `train:` that describe the base model
ALSO = ("augment", "synthesise")  # stages whose rows `pack` reads beside the training part
LEARNT = (*ALSO, "pairs")  # stages whose texts `index` reads beside the training part
SEEN_BY = ("train", "align")  # stages that write which rows their weights have read
BEHIND = ("split", "augment", "synthesise", "pairs", "pack", "train")  # what `export` reads of what a model came from
MARKED = "syntax"  # the objective for which `pack` marks the structure of the text
SHARED = ("seed", "watts", "price_per_kwh", "price_per_hour")  # keys of the YAML that are defaults of a stage's own
LENGTH = "max_length"  # the key of `train:` that `pack` follows, and the context of a model from scratch


class Top(Settings):
    """The keys of the YAML that are no stage."""

    name: str = Field("model", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """What the model is called; the store's references and the reports carry it. Letters, digits, `.`, `_`, `-`."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of everything drawn at random; each stage derives its own from it. Any number serves."""
    watts: float = Field(65.0, gt=0, json_schema_extra={"runtime": True})
    """Mean power of this machine while it works, in watts; only estimates of energy use it."""
    price_per_kwh: float = Field(0.15, ge=0, json_schema_extra={"runtime": True})
    """Price of a kilowatt hour in US dollars; only estimates of money use it."""
    price_per_hour: float = Field(0.0, ge=0, json_schema_extra={"runtime": True})
    """Rent of this machine in US dollars an hour; only estimates of money use it."""
    engine: Annotated[Ref, PluginKind("engine")] = runtime("processes")
    """Where the work on shards is done: `processes` of this machine, tasks on a `ray` cluster, or one part of an index
    `array`. What comes out has the same bytes with each of them."""
    deploy: Deploy | None = runtime(None)
    """How the model is served on a cluster or in containers: what `buril deploy` renders. No stage reads it."""


def stage_class(name: str) -> type[Stage]:
    """The class of a stage, imported now; of a section, the class that has its Settings."""
    module, _colon, found = KEYS[name][0].partition(":")
    stage: type[Stage] = getattr(importlib.import_module(module), found)
    return stage


class Chain:
    """A configured chain. Made from YAML or from plain values; `set` and `small` give changed copies.

    Example:
        `Chain.from_yaml("buril.yaml").set("train.epochs", 1).run(Store(Path(".buril")))`
    """

    def __init__(self, document: config.Document) -> None:
        self.document = document
        self._bounded = False

    @classmethod
    def from_yaml(cls, path: str | Path) -> Chain:
        """The chain of a YAML file; see `buril.config.read` for the errors."""
        return cls(config.read(Path(path)))

    @classmethod
    def from_values(cls, values: dict[str, Any], folder: Path | None = None) -> Chain:
        """The chain of plain values, as the YAML would hold them; paths are relative to `folder`."""
        return cls(config.Document(copy.deepcopy(values), folder or Path.cwd()))

    def set(self, name: str, value: Any) -> Chain:
        """A copy with one setting changed, e.g. `set("train.epochs", 1)`."""
        values = copy.deepcopy(self.document.values)
        *parents, last = name.split(".")
        inner = values
        for depth, part in enumerate(parents):
            given = inner.get(part)
            if depth == 0 and part in KEYS and not isinstance(given, dict):
                given = expand(stage_class(part).Settings, given)
            inner[part] = given if isinstance(given, dict) else {}
            inner = inner[part]
        inner[last] = value
        return self._copy(values)

    def small(self) -> Chain:
        """A copy bounded to a run of minutes: each stage's own bounds, where they are lower than what is set."""
        chain = self._copy(copy.deepcopy(self.document.values))
        chain._bounded = True
        return chain

    def _copy(self, values: dict[str, Any]) -> Chain:
        chain = Chain(config.Document(values, self.document.folder, self.document.places))
        chain._bounded = self._bounded
        return chain

    @property
    def top(self) -> Top:
        """The keys that are no stage, checked; an unknown key fails here, with the nearest stage or key."""
        values = self.document.values
        known = [*Top.model_fields, *(name for name in KEYS if name != "base"), "extends"]
        if unknown := [name for name in values if name not in known]:
            raise config.together(
                [
                    BurilError("C001", name=name, suggestion=_instead(name, known), where=self.document.where((name,)))
                    for name in unknown
                ]
            )
        given = {name: value for name, value in values.items() if name in Top.model_fields}
        top = config.validate(Top, given, self.document, ())
        assert isinstance(top, Top)
        return top

    @property
    def machine(self) -> Machine:
        """What an hour on this machine costs."""
        return Machine(self.top.watts, self.top.price_per_kwh, self.top.price_per_hour)

    def stages(self, until: str | None = None) -> list[Stage]:
        """The stages that run, in order: those the YAML names and those they need, up to `until`.

        Raises:
            BurilError: C0xx for a wrong setting, C013 when what a stage needs can't be had by default, S005 for a
                stage that is not part of the chain.
        """
        top = self.top
        wanted = [name for name in STAGES if name in self.document.values]
        if not wanted:
            raise BurilError("C009", name="collect")
        built: dict[str, Stage] = {}
        problems: list[BurilError] = []
        for name in wanted:
            try:
                self._build(name, top, built, ())
            except BurilError as problem:
                problems.append(problem)
        if problems:
            raise config.together(problems)
        if until and until not in built:
            raise BurilError("S005", stage=until, suggestion=nearest(until, list(built)))
        if "base" in built and "tokenizer" in built["base"].needs() and "base" in built["tokenizer"].needs():
            raise BurilError("C014", where=self.document.where(("tokenizer",)))
        order = _order(built, until)
        return [built[name] for name in order]

    def _build(self, name: str, top: Top, built: dict[str, Stage], above: tuple[str, ...]) -> None:
        if name in built:
            return
        if name == "collect" and name not in self.document.values:
            raise BurilError("C013", stage=above[-1] if above else name, missing=name)
        stage = stage_class(name)(self.settings(name, top))
        built[name] = stage
        for need in stage.needs():
            self._build(need, top, built, (*above, name))

    def settings(self, name: str, top: Top | None = None) -> Settings:
        """The settings of a stage or section: the YAML's, the seed, what `train:` says for others, and `--small`."""
        top = top or self.top
        found = stage_class(name)
        given, place = self._given(name)
        defaults = {name: getattr(top, name) for name in SHARED if name in found.Settings.model_fields}
        settings = config.validate(found.Settings, given, self.document, place, defaults)
        return _bound(settings, self._bounds(name, found)) if self._bounded and name in STAGES else settings

    def _bounds(self, name: str, stage: type[Stage]) -> dict[str, Any]:
        """What `--small` bounds; a model from scratch is small enough to be taught longer."""
        train = self.document.values.get("train")
        from_scratch = isinstance(train, dict) and train.get("base") == "scratch"
        return getattr(stage, "small_from_scratch", stage.small) if name == "train" and from_scratch else stage.small

    def _given(self, name: str) -> tuple[Any, config.Place]:
        values = self.document.values
        train = values.get("train", values.get("align"))
        train = train if isinstance(train, dict) else {}
        if name == "base":
            keys = (*FROM_TRAIN, LENGTH) if train.get("base") == "scratch" else FROM_TRAIN
            return {key: self._base_path(train[key]) for key in keys if key in train}, ("train",)
        given = values.get(name)
        if name == "tokenizer" and name not in values and train.get("base") == "scratch":
            return {"train": "bpe"}, (name,)
        if name in ("align", "evaluate", "export"):
            return self._of_model(name, given), (name,)
        if name == "train" and isinstance(given, dict):
            fields = stage_class("train").Settings.model_fields
            others = (*FROM_TRAIN, LENGTH)
            return {key: value for key, value in given.items() if key not in others or key in fields}, (name,)
        if name == "pack" and (given is None or isinstance(given, dict)):
            also = [stage for stage in ALSO if stage in values]
            told = {**({LENGTH: train[LENGTH]} if LENGTH in train else {}), **({"also": also} if also else {})}
            if _named(train.get("objective")) == MARKED:
                told["structure"] = True
            return {**told, **(given or {})}, (name,)
        if name == "index":
            given = {**self._learnt(), **expand(stage_class(name).Settings, given)}
        return given, (name,)

    def _learnt(self) -> dict[str, Any]:
        """What `index` is told: the stages that made texts, and those that say which rows were read."""
        found = {"also": LEARNT, "models": SEEN_BY}
        return {key: [stage for stage in stages if stage in self.document.values] for key, stages in found.items()}

    def _of_model(self, name: str, given: Any) -> Any:
        """What a stage is told that goes on from a model: whose model that is."""
        if name == "evaluate":
            return _with_tuned(given) if "align" in self.document.values else given
        return self._aligned(given) if name == "align" else self._exported(given)

    def _aligned(self, given: Any) -> dict[str, Any]:
        """What `align` is told: it goes on from `train` where there is one, else from the base it may name itself."""
        told = expand(stage_class("align").Settings, given)
        if "train" in self.document.values:
            return {"start": "train", **told}
        return {key: value for key, value in told.items() if key not in FROM_TRAIN}

    def _exported(self, given: Any) -> dict[str, Any]:
        """What `export` is told: whose model it is, what that has read, and the chain's name."""
        values = self.document.values
        model = next((stage for stage in ("align", "train") if stage in values), "base")
        behind = self._behind(model)
        data = [stage for stage in BEHIND if stage in behind and stage != model]
        told = {"model": model, "data": data, **({"called": values["name"]} if "name" in values else {})}
        return {**told, **expand(stage_class("export").Settings, given)}

    def _behind(self, name: str) -> frozenset[str]:
        """The stages that one needs, and all that those need."""
        needs = stage_class(name)(self.settings(name)).needs()
        return frozenset(needs).union(*(self._behind(need) for need in needs))

    def _base_path(self, value: Any) -> Any:
        """A base model given as a path is relative to the YAML, like every path."""
        if isinstance(value, str) and (value.startswith((".", "/", "~")) or (self.document.folder / value).exists()):
            return str((self.document.folder / Path(value).expanduser()).resolve())
        return value

    def plan(self, store: Store, until: str | None = None) -> list[planning.Step]:
        """What `run` would do now."""
        return planning.plan(self.stages(until), store)

    def run(self, store: Store, until: str | None = None, **options: Any) -> planning.Run:
        """Run the chain with its engine; see `buril.core.plan.run` for the options.

        Where `torchrun` or the like has started several processes the first one runs it; the others take part in its
        training, and what they give back names no artifact.
        """
        from buril.train.parallel import world

        top, stages = self.top, self.stages(until)
        if world.follows():
            world.follow()
            return planning.Run(top.name, "", {}, frozenset(), 0.0)
        with workers.using(top.engine.make()), world.joined():
            return planning.run(stages, store, name=top.name, **options)


def _instead(name: str, known: list[str]) -> str:
    """A sentence on what a top key should have been: a base model stands in `train`."""
    return nearest("train.base", ["train.base"]) if name == "base" else nearest(name, known)


def _with_tuned(given: Any) -> dict[str, Any]:
    """What `evaluate` is told where the tuned model is that of `align`."""
    return {"tuned": "align", **expand(stage_class("evaluate").Settings, given)}


def _named(given: Any) -> str | None:
    """The name of a plugin as the YAML gives it: by itself, or with its settings."""
    return next(iter(given), None) if isinstance(given, dict) else given


def _order(built: dict[str, Stage], until: str | None) -> list[str]:
    """Stages after all they need; among equals, the order of `STAGES`. With `until`, only what that one needs."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for need in built[name].needs():
                visit(need)
            order.append(name)

    for name in [until] if until else sorted(built, key=list(STAGES).index):
        visit(name)
    return order


def _bound(settings: Settings, bounds: dict[str, Any]) -> Settings:
    changes = {}
    for name, bound in bounds.items():
        value = getattr(settings, name)
        if value is None or value > bound:
            changes[name] = bound
    return settings.model_copy(update=changes)


def describe(name: str) -> str:
    """What a stage or a section does, in the language in force."""
    return _(KEYS[name][1])
