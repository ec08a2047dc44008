"""`buril keys`: the API keys of `buril serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from buril.cli.common import json_option, put, say
from buril.core.text import N_, _

FILE = click.option(
    "--file", "path", type=click.Path(dir_okay=False, path_type=Path), default=Path("keys.json"), show_default=True,
    help=N_("The file of the keys; it holds their SHA-256s alone."),
)  # fmt: skip


@click.group()
def command() -> None:
    """Make, list and remove the API keys of `buril serve`."""


@command.command("add")
@click.argument("name")
@FILE
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(["complete", "chat", "events", "metrics"]),
    help=N_("What the key may ask for; several times for several (default: complete, chat, events)."),
)  # fmt: skip
@click.option("--models", help=N_("Names of the models that it may ask, with commas between them (default: all)."))
@click.option("--requests-per-minute", type=click.IntRange(min=1), help=N_("Requests in a minute, at most."))
@click.option("--tokens-per-day", type=click.IntRange(min=1), help=N_("Tokens in a day of UTC, at most."))
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help=N_("The last day on which it is taken."))
def add_command(
    name: str, *, path: Path, scopes: tuple[str, ...], models: str | None, expires: Any, **quotas: int | None
) -> None:
    """Make a key and show it, this once."""
    from buril.serve.keys import add

    named = [model.strip() for model in models.split(",") if model.strip()] if models is not None else None
    until = expires.date() if expires else None
    told = {**quotas, "models": named, **({"scopes": scopes} if scopes else {}), "expires": until}
    made = add(path, name, **told)
    click.echo(made)
    say(_("this key is shown once; {path} holds its SHA-256").format(path=path))


@command.command("list")
@FILE
@json_option
def list_command(path: Path, *, as_json: bool) -> None:
    """The keys of the file, with what they may ask for."""
    from buril.serve.keys import read

    rows = [key.model_dump(mode="json", exclude={"sha256"}) for key in read(path).keys]
    if as_json:
        put(rows)
        return
    for row in rows:
        limits = [f"{row[name]} {name}" for name in ("requests_per_minute", "tokens_per_day") if row[name]]
        until = [_("until {day}").format(day=row["expires"])] if row["expires"] else []
        models = [_("models {names}").format(names=", ".join(row["models"]))] if row["models"] is not None else []
        click.echo(" · ".join([row["name"], ", ".join(row["scopes"]), *models, *limits, *until]))


@command.command("remove")
@click.argument("name")
@FILE
def remove_command(name: str, *, path: Path) -> None:
    """Take a key out of the file: a server refuses it within seconds."""
    from buril.core.errors import BurilError
    from buril.serve.keys import remove

    if not remove(path, name):
        raise BurilError("V002", path=path, problem=_("there is no key of the name {name}").format(name=name))
    say(_("removed {name}").format(name=name))
