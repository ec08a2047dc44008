"""What several verbs share: the options for the YAML, the store and JSON, and how numbers are written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from buril.core.errors import BurilError
from buril.core.text import _

if TYPE_CHECKING:
    from buril.chain import Chain
    from buril.core.artifact import Artifact
    from buril.core.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])
YAML_NAME = "buril.yaml"

config_option = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path(YAML_NAME),
    show_default=True,
    help="The configuration.",
)
store_option = click.option(
    "--store",
    "store_path",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder of the store (default: BURIL_STORE, else .buril beside the configuration).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
set_option = click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting, e.g. train.epochs=1."
)
small_option = click.option("--small", is_flag=True, help="Bound the run to a few minutes.")


def store_folder(config_path: Path, store_path: Path | None) -> Path:
    """Where the store is: the option, else BURIL_STORE, else `.buril` beside the configuration."""
    if store_path:
        return store_path
    return Path(os.environ["BURIL_STORE"]) if os.environ.get("BURIL_STORE") else config_path.resolve().parent / ".buril"


def open_store(config_path: Path, store_path: Path | None, *, make: bool = False) -> Store:
    """The store; unless `make`, it must be there.

    Raises:
        BurilError: S010 when there is none yet.
    """
    from buril.core.store import Store

    folder = store_folder(config_path, store_path)
    if not make and not (folder / "refs").is_dir():
        raise BurilError("S010", path=folder)
    return Store(folder)


def resolve(store: Store, ref: str) -> Artifact:
    """The artifact of a reference; `model` is the tuned model of the latest run: that of `align`, else of `train`.

    Raises:
        BurilError: as `Store.resolve`.
    """
    latest = next(iter(store.refs().values()), {})
    return store.resolve({"model": "align" if "align" in latest else "train"}.get(ref, ref))


def load_chain(config_path: Path, changes: tuple[str, ...] = (), *, small: bool = False) -> Chain:
    """The chain of the YAML with `--set` and `--small` applied."""
    from buril.chain import Chain

    chain = changed(Chain.from_yaml(config_path), changes)
    return chain.small() if small else chain


def changed(chain: Chain, changes: tuple[str, ...]) -> Chain:
    """A chain with `--set` applied.

    Raises:
        BurilError: C011 for what is no KEY=VALUE.
    """
    import yaml

    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not name:
            raise BurilError("C011", text=change)
        chain = chain.set(name.strip(), yaml.safe_load(value))
    return chain


def put(value: Any) -> None:
    """Data for another program: one JSON document on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=1, default=str))


def say(text: str = "") -> None:
    """Talk for a person: a line on stderr."""
    click.echo(text, err=True)


def following(command: str) -> None:
    """The last line of every command: what to do next."""
    say(_("next: {command}").format(command=command))


def size(num_bytes: float) -> str:
    """Bytes as a person writes them, in powers of 1000: `1.2 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(num_bytes) < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds as a person writes them: `0.4 s`, `38 s`, `3:52`, `2 h 05 m`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // 60} h {minutes % 60:02d} m"
