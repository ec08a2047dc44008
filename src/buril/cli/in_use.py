"""Which model a reference names: the artifacts that make it, or a bundle, and how it is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from buril.cli.bundle import Bundled
from buril.core.artifact import Artifact, Link
from buril.core.errors import BurilError

if TYPE_CHECKING:
    from buril.core.store import Store
    from buril.generators._generator import Generator

STORED = ("base", "tokenizer", "train", "align")
TUNED = ("align", "train")
"""Stages that make a tuned model, the one that goes on from the other first."""


@dataclass(frozen=True)
class InUse:
    """The artifacts of the model that completes; `train` is None for the base as it came."""

    base: Artifact
    tokenizer: Artifact
    tuned: Artifact | None
    given: Link | None = None
    """An adapter on it that is not in the store."""
    strength: float = 1.0
    """Of the adapter."""

    def links(self) -> dict[str, Link]:
        """How a record names them."""
        found = {"base": self.base.link, "tokenizer": self.tokenizer.link}
        over = self.tuned.link if self.tuned else self.given
        return {**found, over.stage: over} if over else found


def model_in_use(store: Store, ref: str | None) -> InUse:
    """The model of a reference: `base`, a name or run, a `train` artifact; without one the latest that was trained.

    Raises:
        BurilError: S007 when nothing was trained yet, S001 when the store does not hold what the reference needs.
    """
    if ref == "base":
        base, tokenizer = (latest(store, stage) for stage in ("base", "tokenizer"))
        return InUse(base, tokenizer, None)
    tuned = latest(store, *TUNED) if ref is None else _trained(store, ref)
    found = {name: store.linked(link) for name, link in tuned.manifest.inputs.items() if name in STORED}
    base_or_none, tokenizer_or_none = found.get("base"), found.get("tokenizer")
    if base_or_none is None or tokenizer_or_none is None:  # removed from the store since
        raise BurilError("S007", stage="tokenizer" if base_or_none else "base")
    return InUse(base_or_none, tokenizer_or_none, tuned)


def latest(store: Store, *stages: str) -> Artifact:
    """The artifact of a stage, or of the first of several, in the latest run that has one."""
    for links in store.refs().values():
        found = (store.linked(links[stage]) for stage in stages if stage in links)
        artifact = next((item for item in found if item), None)
        if artifact:
            return artifact
    raise BurilError("S007", stage=stages[-1])


def _trained(store: Store, ref: str) -> Artifact:
    try:
        chain = store.chain(ref)
    except BurilError as problem:
        if problem.code != "S001":
            raise
        artifact = store.resolve(ref)
        if artifact.manifest.stage not in TUNED:
            raise BurilError("S001", ref=ref) from problem
        return artifact
    found = next((chain[stage] for stage in TUNED if stage in chain), None)
    if found is None:
        raise BurilError("S007", stage="train")
    return found


def knows_fim(model: InUse | Bundled, store: Store | None) -> bool:
    """Whether the model was taught to fill in the middle: it has the sentinels, and has seen them used."""
    if store is None or isinstance(model, Bundled):
        return isinstance(model, Bundled) and model.knows_fim()
    if model.tokenizer.json("fim.json").get("prefix") is None:
        return False
    if model.base.json("base.json").get("fim") and model.base.json("base.json").get("kind") != "scratch":
        return True
    link = model.tuned.manifest.inputs.get("pack") if model.tuned else None
    pack = store.linked(link) if link else None
    return bool(pack and pack.manifest.settings.get("fim_rate"))


def open_model(model: InUse | Bundled) -> Generator:
    """Load a model.

    Raises:
        BurilError: P002 when the packages for it are missing, T0xx when it can't be loaded.
    """
    from buril.core.plugins import plugin

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # stderr is for what concerns the user
    if isinstance(model, Bundled):
        return model.open()
    found = plugin("generator", "transformers")
    generator: Generator = found(found.Settings())
    open_on(generator, model)
    return generator


def open_on(generator: Generator, model: InUse) -> None:
    """Open a generator on the artifacts of a model.

    Raises:
        BurilError: T0xx when it can't be loaded.
    """
    folders = {name: model.tuned.path(name) for name in ("adapter", "model")} if model.tuned else {}
    there = {f"{name}_dir": path for name, path in folders.items() if path.is_dir()}
    generator.open(model.base.folder, model.tokenizer.folder, **there)
