"""What `buril serve` does before it is ready: the model is loaded, and what stands around it is put together."""

from __future__ import annotations

import os
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from buril.cli.adapting import Again, Shared, links_of
from buril.cli.behind import Behind, behind, is_behind, set_up
from buril.cli.bundle import Bundled, opened
from buril.cli.guarding import tested
from buril.cli.in_use import InUse, open_on
from buril.core.errors import BurilError

if TYPE_CHECKING:
    from pathlib import Path

    from buril.cli.keeping import Keeper
    from buril.core.plugins import Ref
    from buril.core.store import Store
    from buril.generators._generator import Generator
    from buril.serve.answer import Served
    from buril.serve.settings import ServeSettings
    from buril.serve.watermark import Watermark
    from buril.serve.writing import AnyEngine

Model = InUse | Bundled | Behind


class Up(NamedTuple):
    """What writes: its name, the generator, and the engine that lets many ask it."""

    name: str
    generator: Generator
    engine: AnyEngine


def served(told: ServeSettings, store: Store | None, model: Model, again: Again | None = None) -> Served:
    """Load the model, choose what runs it, warm it up; or wait for the server that does. Put adapters beside it.

    Args:
        told: how it is served.
        store: where artifacts are, and records go.
        model: the main one.
        again: the settings as they are later, for the adapters.

    Raises:
        BurilError: V008, V030, V031, V050, V310, W244, T0xx, V104 for a bundle without a file for the engine.
    """
    from buril.serve.answer import Served
    from buril.serve.editing import Editing
    from buril.serve.marking import watermark_of
    from buril.serve.metrics import Metrics

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    guards, mark = tested([ref.make() for ref in told.guards]), watermark_of(told)
    shared = _shared(told, store, model)
    up = _elsewhere(told, model) if isinstance(model, Behind) else _here(told, model, mark, shared)
    keeper = _keeper(told, store, model, engine=up.name, mark=mark)
    links, name, editing = links_of(model), told.name or "model", Editing(told, up.generator, guards)
    editing.start()
    found = Served(
        name, up.engine, up.generator, guards, Metrics(name, links["fingerprint"]), links, keeper,
        created=int(time.time()), remote=isinstance(model, Behind) and model.is_elsewhere,
        watermark=mark.record() if mark else None, editing=editing,
    )  # fmt: skip
    return shared.beside(found, again) if shared else found


def model_of(
    told: ServeSettings, config_path: Path, store_path: Path | None, ref: str | None
) -> tuple[Store | None, Model]:
    """The store and the model that a reference means; with an engine by URL, the model that is there.

    Raises:
        BurilError: as `opened`.
    """
    if told.engine is not None and is_behind(told.engine):
        return behind(told.engine, config_path, store_path, ref)
    return opened(config_path, store_path, ref)


def _shared(told: ServeSettings, store: Store | None, model: Model) -> Shared | None:
    """What the adapters share; None where there are none.

    Raises:
        BurilError: V030, V031 for an engine that is another server's.
    """
    if told.adapters is None:
        return None
    if isinstance(model, Behind):
        raise BurilError("V031", engine="openai")
    return Shared(told, store, model)


def _elsewhere(told: ServeSettings, model: Behind) -> Up:
    assert told.engine is not None, "what is behind a URL is named"
    return Up(told.engine.name, *set_up(told.engine, model, most_waiting=told.queue))


def _here(told: ServeSettings, model: InUse | Bundled, mark: Watermark | None, shared: Shared | None) -> Up:
    """The engine of this process, warm."""
    from buril.core.allocator import give_back
    from buril.serve.choice import choose, measure
    from buril.serve.engine import Engine
    from buril.serve.log import line
    from buril.serve.marking import marked_by

    began = time.monotonic()

    def ready(name: str, given: Ref | None) -> Generator:
        return marked_by(opened_on(model, name, given, shared), mark, name=name)

    chosen = choose(told.engine, ready)
    session = chosen.generator.session()  # type: ignore[attr-defined]  # `choose` gives only those that have it
    speed = measure(session)
    give_back()
    line("engine", name=chosen.name, passed_over=list(chosen.passed_over), load_s=round(time.monotonic() - began, 1),
         prompt_tokens_s=round(speed.prompt), answer_tokens_s=round(speed.answer, 1))  # fmt: skip
    return Up(chosen.name, chosen.generator, Engine(session, most_waiting=told.queue))


def _keeper(told: ServeSettings, store: Store | None, model: Model, *, engine: str, mark: Watermark | None) -> Keeper:
    """What keeps answers; where the store has an index of the model's data, it says where they are from."""
    from buril.cli import tracing
    from buril.cli.keeping import Keeper, store_at
    from buril.serve.log import line

    tuned = getattr(model, "tuned", None)
    unknown = isinstance(model, Behind) and model.known is None  # what it has learnt is not in the store
    looked = tracing.index_of_model(store, tuned, wanted=None) if store and not unknown else None
    if looked:
        looked.reader.self_test()  # its kernels are loaded before the first request
    line("keeping", ledger=bool(find_spec("cryptography")), watermark=mark.green.key_id if mark else None,
         provenance=looked.artifact.digest[:12] if looked else None)  # fmt: skip
    return Keeper(store_at(store, told.state), model, engine=engine, looked=looked, mark=mark)


def opened_on(model: InUse | Bundled, name: str, given: Ref | None, shared: Shared | None = None) -> Generator:
    """A generator, open on a model, or on its base with room for adapters.

    Raises:
        BurilError: P002, T0xx, V030, V031, V104.
    """
    from buril.core.plugins import plugin

    if isinstance(model, Bundled):
        settings = {key: getattr(given.settings, key) for key in given.settings.model_fields_set} if given else {}
        return model.bundle.open(name, **settings)
    found = plugin("generator", name)
    generator: Generator = given.make() if given else found(found.Settings())
    if shared is not None:
        shared.make_room(generator, name)
    open_on(generator, shared.base if shared else model)
    return generator
