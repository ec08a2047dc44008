"""`buril serve`: the model behind OpenAI's API, on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli.adapting import Again
from buril.cli.common import config_option, say, store_option
from buril.cli.marking import watermark_settings
from buril.cli.serving import model_of, served
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.serve.settings import ServeSettings


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
    "--watermark", metavar="YAML",
    help=N_("Mark all that is written: `on`, `off`, or settings such as `{delta: 2}` (default: `serve.watermark`)."),
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
    from buril.cli.keeping import store_at
    from buril.serve.marking import check_mark
    from buril.serve.run import Serving, check, listen
    from buril.serve.supervise import inherited
    from buril.serve.supervise import supervise as watch
    from buril.serve.usage import FILE

    options = _given(**given)
    told = settings(config_path, options)
    keys, listening = check(told), inherited()
    check_mark(told)  # fails now, not in the worker, as does this
    store, model = model_of(told, config_path, store_path, str(bundle) if bundle else ref)
    if listening is None:
        listening = listen(told)
        host, port = listening.getsockname()[:2]
        say(_("http://{host}:{port}/v1 · Ctrl-C ends it").format(host=f"[{host}]" if ":" in host else host, port=port))
        if supervise:
            sys.exit(watch(listening, sys.argv[1:]))
    keys.keep_at(store_at(store, told.state).root / FILE)
    again = Again(config_path, lambda: settings(config_path, options))
    Serving(told, keys, lambda: served(told, store, model, again)).run(listening)


def _given(*, watermark: str | None, **others: Any) -> dict[str, Any]:
    """The options that are given, as the YAML would have them.

    Raises:
        BurilError: W002 for a `--watermark` that is none.
    """
    found = {name: value for name, value in others.items() if value is not None}
    if watermark is not None:
        marked = watermark_settings(watermark, command="buril serve")
        found["watermark"] = marked.model_dump(mode="json", exclude_unset=True) if marked else None
    return found


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
