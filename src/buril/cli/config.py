"""`buril config`: check the YAML, explain a key of it, describe all of it to an editor."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli.common import config_option, following, json_option, load_chain, put, say, set_option
from buril.core.errors import EXIT_USAGE, BurilError
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.chain import Chain

WIDTH = 110


@click.group()
def command() -> None:
    """Check, explain or describe the configuration."""


# --- check


@command.command(help=N_("Check every setting of the configuration; each mistake with its place."))
@config_option
@set_option
@json_option
@click.pass_context
def check(ctx: click.Context, config_path: Path, changes: tuple[str, ...], as_json: bool) -> None:
    """Check every setting; exit code 2 when something is wrong."""
    chain, errors = None, []
    try:
        chain = load_chain(config_path, changes)
        errors = list(problems(chain))
        stages = [] if errors else [stage.name for stage in chain.stages()]
    except BurilError as problem:
        errors, stages = [problem], []
    if as_json:
        put({"ok": not errors, "errors": [as_data(error) for error in errors], "stages": stages})
    elif errors:
        for error in errors:
            say(str(error))
    else:
        assert chain is not None
        number = sum(1 for leaf in _leaves(chain.document.values))
        template = _("ok  {path}: {stages} stages, {settings} settings")
        click.echo(template.format(path=config_path, stages=len(stages), settings=number))
    if errors:
        ctx.exit(max(EXIT_USAGE, errors[0].exit_code))
    if not as_json:
        following("buril plan" if config_path == Path("buril.yaml") else f"buril plan -c {config_path}")


def problems(chain: Chain) -> Iterator[BurilError]:
    """The first mistake of every stage and of the top, in the order of the chain."""
    from buril.chain import KEYS

    try:
        top = chain.top
    except BurilError as problem:
        yield problem
        top = None
    for name in KEYS:
        if name in chain.document.values:
            try:
                chain.settings(name, top or _default_top())
            except BurilError as problem:
                yield problem


def _default_top() -> Any:
    from buril.chain import Top

    return Top.model_validate({})


def as_data(error: BurilError) -> dict[str, Any]:
    """An error for another program."""
    found: dict[str, Any] = {"code": error.code, "cause": error.cause, "hint": error.hint}
    if error.where:
        found |= {"file": error.where.file, "line": error.where.line, "column": error.where.column}
    return found


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and value:
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list) and value:
        for item in value:
            yield from _leaves(item)
    else:
        yield value


# --- explain


@command.command(help=N_("Explain a key: what it does, its type, default and limits, and its value here."))
@click.argument("key")
@config_option
@json_option
def explain(key: str, config_path: Path, as_json: bool) -> None:
    """Explain one key of the YAML."""
    from buril.cli.explain import explained

    found = explained(key, _chain_if_any(config_path))
    if as_json:
        put(found)
        return
    click.echo("\n".join(textwrap.wrap(f"{found['key']}  {found['about']}", WIDTH, subsequent_indent="  ")))
    rows = [
        (_("type"), found["type"]),
        (_("default"), found["default"]),
        (_("limits"), ", ".join(found["limits"])),
        (_("effect"), found["effect"]),
        *((_("now"), f"{item['value']}  ({item['where']})") for item in found["now"]),
    ]
    width = max(len(name) for name, _value in rows)
    for name, value in rows:
        if value not in ("", None):
            click.echo(f"  {name:<{width}}  {value}")
    names = max((len(name) for name in found["keys"]), default=0)
    for name, about in found["keys"].items():
        click.echo(f"  {name:<{names}}  {about}".rstrip())
    following(
        f"buril config explain {found['key']}.{next(iter(found['keys']))}" if found["keys"] else "buril config check"
    )


def _chain_if_any(config_path: Path) -> Chain | None:
    """The chain of the configuration, or None where it can't be had: a key is explained all the same."""
    if not config_path.exists():
        return None
    try:
        return load_chain(config_path)
    except BurilError as problem:
        say(str(problem))
        return None


# --- schema


@command.command(help=N_("Print the JSON Schema of the configuration, for editors."))
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of the whole YAML."""
    from buril.cli.schema import json_schema

    put(json_schema())
    say(
        _("an editor completes the YAML with it when its first line is: {line}").format(
            line="# yaml-language-server: $schema=buril.schema.json"
        )
    )
    following("buril config schema > buril.schema.json")
