"""`buril serve`: the model behind OpenAI's API, on this machine."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli.bundle import Bundled, opened
from buril.cli.common import config_option, say, store_option
from buril.cli.guarding import tested
from buril.cli.in_use import InUse, open_on
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.cli.keeping import Keeper
    from buril.core.plugins import Ref
    from buril.core.store import Store
    from buril.generators._generator import Generator
    from buril.serve.answer import Served
    from buril.serve.settings import ServeSettings

OPTIONS = ("engine", "host", "port", "keys", "name", "grace_s")


@click.command()
@click.argument("ref", required=False)
@click.option(
    "--bundle", type=click.Path(file_okay=False, path_type=Path),
    help=N_("Folder of a bundle (`buril export`) to serve, instead of a model of the store."),
)  # fmt: skip
@click.option(
    "--state", type=click.Path(file_okay=False, path_type=Path),
    help=N_("Folder for records, ledger and counts (default: the store)."),
)  # fmt: skip
@click.option("--host", help=N_("Address to listen at (default: 127.0.0.1)."))
@click.option(
    "--port", type=click.IntRange(0, 65535), help=N_("Port to listen at; 0 takes a free one (default: 8080).")
)
@click.option("--keys", type=click.Path(dir_okay=False, path_type=Path), help=N_("File of API keys; see `buril keys`."))
@click.option("--engine", help=N_("What computes: `auto`, `openvino`, `llamacpp`, `onnx`, `transformers`."))
@click.option("--name", help=N_("What clients call the model."))
@click.option(
    "--grace", "grace_s", type=click.FloatRange(min=0),
    help=N_("Seconds that answers on their way are given at the end (default: 30)."),
)  # fmt: skip
@click.option(
    "--supervise/--no-supervise", default=True, help=N_("Start another worker where one dies (default: yes).")
)
@config_option
@store_option
def command(
    ref: str | None,
    *,
    bundle: Path | None,
    supervise: bool,
    config_path: Path,
    store_path: Path | None,
    **given: Any,
) -> None:
    """Serve a model: `base`, a name or run, an artifact, the folder of a bundle (default: the latest that was trained).

    It speaks OpenAI's API (`/v1/completions` with `suffix`, `/v1/chat/completions`, `/v1/models`) and llama.cpp's
    `/infill`; `/healthz`, `/readyz` and `/metrics` are for whoever looks after it.
    """
    from buril.core.plugins import require

    for package in ("fastapi", "uvicorn", "prometheus_client"):
        require(package, kind="verb", name="serve")
    from buril.serve.run import Serving, check, listen
    from buril.serve.supervise import inherited
    from buril.serve.supervise import supervise as watch

    told = settings(config_path, {name: value for name, value in given.items() if value is not None})
    keys, listening = check(told), inherited()
    store, model = opened(config_path, store_path, str(bundle) if bundle else ref)  # fails now, not in the worker
    if listening is None:
        listening = listen(told)
        host, port = listening.getsockname()[:2]
        say(_("http://{host}:{port}/v1 · Ctrl-C ends it").format(host=f"[{host}]" if ":" in host else host, port=port))
        if supervise:
            sys.exit(watch(listening, sys.argv[1:]))
    Serving(told, keys, lambda: served(told, store, model)).run(listening)


def settings(config_path: Path, given: dict[str, Any]) -> ServeSettings:
    """The key `serve:` of the YAML, where there is one, and the options before it.

    Raises:
        BurilError: C0xx for a wrong setting.
    """
    from buril.chain import Chain
    from buril.serve.settings import ServeSettings

    chain = Chain.from_yaml(config_path) if config_path.exists() else Chain.from_values({})
    for name, value in {"name": chain.top.name, **given}.items():
        told = chain.document.values.get("serve")
        if name in given or not (isinstance(told, dict) and "name" in told):
            chain = chain.set(f"serve.{name}", value)
    found = chain.settings("serve")
    assert isinstance(found, ServeSettings)
    return found


def served(told: ServeSettings, store: Store | None, model: InUse | Bundled) -> Served:
    """Load the model, choose what runs it, warm it up.

    Raises:
        BurilError: V008, W244, T0xx, V104 for a bundle without a file for the engine.
    """
    from buril.serve.answer import Served
    from buril.serve.choice import choose, measure
    from buril.serve.engine import Engine
    from buril.serve.log import line
    from buril.serve.metrics import Metrics

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    guards, began = tested([ref.make() for ref in told.guards]), time.monotonic()
    chosen = choose(told.engine, lambda name, given: opened_on(model, name, given))
    session = chosen.generator.session()  # type: ignore[attr-defined]  # `choose` gives only those that have it
    speed = measure(session)
    line("engine", name=chosen.name, passed_over=list(chosen.passed_over), load_s=round(time.monotonic() - began, 1),
         prompt_tokens_s=round(speed.prompt), answer_tokens_s=round(speed.answer, 1))  # fmt: skip
    keeper = _keeper(told, store, model, chosen.name)
    digests = sorted((name, link.digest) for name, link in model.links().items())
    fingerprint = hashlib.sha256(repr(digests).encode()).hexdigest()[:12]
    links = {name: dataclasses.asdict(link) for name, link in model.links().items()}
    name = told.name or "model"
    return Served(
        name, Engine(session, most_waiting=told.queue), chosen.generator, guards, Metrics(name, fingerprint),
        {**links, "fingerprint": fingerprint}, keeper, created=int(time.time()),
    )  # fmt: skip


def _keeper(told: ServeSettings, store: Store | None, model: InUse | Bundled, engine: str) -> Keeper:
    """What keeps answers; where the store has an index of the model's data, it says where they are from."""
    from buril.cli import tracing
    from buril.cli.keeping import Keeper, store_at
    from buril.serve.log import line

    tuned = None if isinstance(model, Bundled) else model.tuned
    looked = tracing.index_of_model(store, tuned, wanted=None) if store else None
    if looked:
        looked.reader.self_test()  # its kernels are loaded before the first request
    line("keeping", ledger=bool(find_spec("cryptography")), provenance=looked.artifact.digest[:12] if looked else None)
    return Keeper(store_at(store, told.state), model, engine=engine, looked=looked)


def opened_on(model: InUse | Bundled, name: str, given: Ref | None) -> Generator:
    """A generator, open on a model.

    Raises:
        BurilError: P002, T0xx, V104.
    """
    from buril.core.plugins import plugin

    if isinstance(model, Bundled):
        settings = {key: getattr(given.settings, key) for key in given.settings.model_fields_set} if given else {}
        return model.bundle.open(name, **settings)
    found = plugin("generator", name)
    generator: Generator = given.make() if given else found(found.Settings())
    open_on(generator, model)
    return generator
