"""`buril join HOST:PORT`: be a client of a federated training; the data named in the YAML never leave this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli import common
from buril.core.errors import BurilError
from buril.core.text import _

if TYPE_CHECKING:
    from collections.abc import Mapping

    from buril.chain import Chain
    from buril.core.artifact import Artifact
    from buril.core.store import Store
    from buril.train.federated.wire import Hello

VARIABLE = "BURIL_FEDERATION"


@click.command()
@click.argument("address", metavar="HOST:PORT")
@common.config_option
@common.store_option
@common.set_option
@common.small_option
@click.option("--name", metavar="NAME", help="What this client is called (default: the YAML's name).")
@click.option("--ca", type=click.Path(path_type=Path), help="Certificate (PEM) of who signed the server's.")
@click.option("--secret", default=f"env:{VARIABLE}", show_default=True, help="Where the federation's secret is.")
@click.option("--wait", "wait_s", type=float, default=600.0, show_default=True, help="Seconds to try to connect.")
@click.option("--secure-only", is_flag=True, help="Leave rather than send an update that is not masked.")
@common.json_option
def command(
    address: str,
    config_path: Path,
    store_path: Path | None,
    changes: tuple[str, ...],
    small: bool,
    name: str | None,
    ca: Path | None,
    secret: str,
    wait_s: float,
    secure_only: bool,
    as_json: bool,
) -> None:
    """Join a federated training."""
    from buril.train.federated.join import Connection, Guest
    from buril.train.federated.remote import read_pem
    from buril.train.federated.settings import LOOPBACK
    from buril.train.federated.start import open_client
    from buril.train.federated.wire import prepare_flower

    host = _host(address)
    prepare_flower()
    certificate = read_pem(ca) if ca else None
    chain = common.load_chain(config_path, changes, small=small)
    name = name or chain.top.name
    store = common.open_store(config_path, store_path, make=True)
    inputs = _data(chain, store)
    hello = _hello(name, secret, inputs)
    folder = store.root / "federated" / f"{name}-{hello.dataset[:12]}"
    settings = chain.settings("train")
    guest = Guest(
        hello, lambda terms: open_client(settings, inputs, terms, name, folder), common.say, secure_only=secure_only
    )
    common.say(_("connecting to {address}").format(address=address))
    guest.stay(Connection(address, certificate, plain=not ca and host in LOOPBACK, wait_s=wait_s))
    common.say(_("the federation has ended; {rounds} rounds were trained here").format(rounds=guest.rounds))
    if as_json:
        common.put({"name": name, "rounds": guest.rounds, "dataset": hello.dataset, "tokens": hello.tokens})
    common.following("buril status")


def _hello(name: str, secret: str, inputs: Mapping[str, Artifact]) -> Hello:
    """How this client introduces itself."""
    from buril.train.federated.wire import Hello

    summary = inputs["pack"].json("summary.json")
    known = os.environ.get(secret.removeprefix("env:"), "")
    base, tokenizer, pack = (inputs[stage].digest for stage in ("base", "tokenizer", "pack"))
    return Hello(name, known, base, tokenizer, pack, summary["sequences"], summary["tokens"])


def _host(address: str) -> str:
    host, _colon, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise BurilError("T183", address=address, problem=_("an address is HOST:PORT"))
    return host


def _data(chain: Chain, store: Store) -> Mapping[str, Artifact]:
    """This machine's own base, tokenizer and sequences; what is there is reused."""
    from buril.cli.terminal import watch

    made: dict[str, Any] = {}
    for stage in ("pack", "base"):
        if stage not in made:
            chain = chain if "train" in chain.document.values else chain.set("train", {})
            made |= chain.run(store, stage, command=f"buril join ({stage})", watch=watch).artifacts
    return made
