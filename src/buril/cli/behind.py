"""A model that another process runs, by URL: what a record says of it, and how `buril serve` sets it up."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from buril.cli.bundle import Bundled
from buril.cli.in_use import InUse
from buril.core.artifact import Artifact, Link, canonical

if TYPE_CHECKING:
    from buril.core.plugins import Ref
    from buril.core.store import Store
    from buril.generators._upstream import Upstream
    from buril.serve.remote import RemoteEngine


@dataclass(frozen=True)
class Behind:
    """The model behind a URL; `known` is the one of ours whose tokenizer it has, and which it is said to be."""

    url: str
    model: str
    known: InUse | Bundled | None = None

    @property
    def tuned(self) -> Artifact | None:
        """The artifact of the training, where it is known."""
        return getattr(self.known, "tuned", None)

    def links(self) -> dict[str, Link]:
        """How a record names it: by the name that its server has for it, beside what it is said to be made of."""
        digest = hashlib.sha256(canonical({"url": self.url, "model": self.model})).hexdigest()
        return {**(self.known.links() if self.known else {}), "engine": Link("engine", self.model, digest)}

    @property
    def is_elsewhere(self) -> bool:
        """Whether it is another machine's."""
        host = urlsplit(self.url).hostname or ""
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host.lower() != "localhost"


def is_behind(engine: Ref | None) -> bool:
    """Whether an engine is a server that is asked by URL."""
    return engine is not None and engine.name == "openai"


def behind(engine: Ref, config_path: Path, store_path: Path | None, ref: str | None) -> tuple[Store | None, Behind]:
    """The store, and the model behind the URL; without a reference no model of ours is looked for, nor a store asked.

    Raises:
        BurilError: as `opened`.
    """
    from buril.cli.bundle import opened
    from buril.cli.common import open_store

    told: Any = engine.settings
    if ref is not None:
        store, known = opened(config_path, store_path, ref)
        return store, Behind(told.url, told.model, known)
    return open_store(config_path, store_path, make=True), Behind(told.url, told.model)


def set_up(engine: Ref, model: Behind, *, most_waiting: int) -> tuple[Upstream, RemoteEngine]:
    """What asks the other server, once that is there; until then it waits, and says so in the log.

    Raises:
        BurilError: D310 for a key that is not there, T012, T016, V100 to V104 for a tokenizer that can't be read.
    """
    from buril.generators._upstream import Upstream
    from buril.serve.health import Health
    from buril.serve.log import line
    from buril.serve.remote import RemoteEngine

    upstream, began = Upstream(engine.settings), time.monotonic()  # type: ignore[arg-type]  # the settings of `openai`
    if model.known is not None:
        upstream.open(**_folders(model.known))
    health = Health(upstream)
    speed = health.wait()
    health.watch()
    line("engine", name="openai", url=model.url, model=model.model, way=upstream.way, window=upstream.window,
         load_s=round(time.monotonic() - began, 1), prompt_tokens_s=_round(speed.prompt),
         answer_tokens_s=_round(speed.answer))  # fmt: skip
    return upstream, RemoteEngine(upstream, health, most_waiting=most_waiting)


def _folders(known: InUse | Bundled) -> dict[str, Path]:
    """Where the tokenizer of a model is, and what it says of itself."""
    if isinstance(known, Bundled):
        from buril.generators._bundle import CONFIG

        config = known.bundle.folder / CONFIG
        return {"base_dir": config, "tokenizer_dir": config}
    told = {"base_dir": known.base.folder, "tokenizer_dir": known.tokenizer.folder}
    whole = known.tuned.path("model") if known.tuned else None
    return {**told, "model_dir": whole} if whole is not None and whole.is_dir() else told


def _round(number: float) -> float | None:
    return round(number, 1) if math.isfinite(number) else None
