"""`buril show REF`: one artifact: its files, settings, metrics and where it came from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from buril.cli import common
from buril.cli.terminal import number
from buril.core.errors import BurilError
from buril.core.text import _

if TYPE_CHECKING:
    from buril.core.artifact import Artifact
    from buril.core.store import Store


@click.command()
@click.argument("ref")
@common.config_option
@common.store_option
@common.json_option
@click.option("--sequence", type=int, default=None, help="Of a pack: one training sequence, token by token.")
def command(ref: str, config_path: Path, store_path: Path | None, as_json: bool, sequence: int | None) -> None:
    """Show an artifact: a stage of the latest run, NAME@RUN:STAGE, a key, a digest or a folder."""
    store = common.open_store(config_path, store_path)
    artifact = common.resolve(store, ref)
    manifest = artifact.manifest
    if sequence is not None:
        show_sequence(store, artifact, sequence, as_json=as_json)
        return
    if as_json:
        common.put({"folder": artifact.folder, **asdict(manifest)})
        return
    click.echo(f"{manifest.stage} v{manifest.version}  {artifact.folder}")
    click.echo(f"  {_('key')}     {manifest.key[:12]}")
    click.echo(f"  {_('digest')}  {manifest.digest[:12]}")
    click.echo(
        f"  {_('made')}    {manifest.started}  {common.duration(manifest.seconds)}"
        + (f"  ({_('resumed')})" if manifest.resumed else "")
    )
    for title, values in ((_("settings"), manifest.settings), (_("metrics"), manifest.metrics)):
        click.echo(f"{title}:")
        for name, value in values.items():
            click.echo(f"  {name:<20} {number(name, value) if isinstance(value, int | float | str) else value}")
    click.echo(_("made from:"))
    for link in manifest.inputs.values():
        click.echo(f"  {link.stage}@{link.key[:12]}  {_('digest')} {link.digest[:12]}")
    click.echo(_("files:"))
    for entry in manifest.files:
        rows = "  " + _("{rows} rows").format(rows=f"{entry.rows:,}") if entry.rows is not None else ""
        click.echo(f"  {common.size(entry.bytes):>9}  {entry.sha256[:12]}  {entry.path}{rows}")
    common.following(f"buril trace {manifest.stage}@{manifest.key[:12]}")


def show_sequence(store: Store, pack: Artifact, number: int, *, as_json: bool) -> None:
    """One training sequence of a pack: a line a token, with its document, piece, what is learnt at it, and its text.

    Raises:
        BurilError: T121 when the artifact is no pack, has no such sequence, or its tokenizer is gone.
    """
    from buril.tokens.view import tokens

    link = pack.manifest.inputs.get("tokenizer")
    tokenizer = store.linked(link) if link else None
    packed = pack.path("train.parquet")
    if tokenizer is None or not packed.is_file():
        raise BurilError("T121", number=number, count=0)
    found = tokens(packed, tokenizer.folder, number)
    if as_json:
        common.put([token._asdict() for token in found])
        return
    click.echo(f"{_('token'):>6}  {_('document'):>9}  {_('row'):<16}  {_('piece'):<5}  {_('learnt'):<10}  {_('text')}")
    learnt = {"first": "–", "given": "–", "structure": _("structure"), "yes": _("yes")}
    for token in found:
        text = token.text if token.control else repr(token.text)
        wrong = f"   {_('never')} {', '.join(map(repr, token.illegal))}" if token.illegal else ""
        row = f"{token.position:>6}  {token.document:>9}  {token.row_id[:16]:<16}  {token.fim:<5}"
        click.echo(f"{row}  {learnt[token.loss]:<10}  {text}{wrong}")
    common.following(f"buril show pack --sequence {number + 1}")
