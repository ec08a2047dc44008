"""`buril show REF`: one artifact: its files, settings, metrics and where it came from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from buril.cli import common
from buril.cli.terminal import number
from buril.core.text import _


@click.command()
@click.argument("ref")
@common.config_option
@common.store_option
@common.json_option
def command(ref: str, config_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Show an artifact: a stage of the latest run, NAME@RUN:STAGE, a key, a digest or a folder."""
    store = common.open_store(config_path, store_path)
    artifact = store.resolve({"model": "train"}.get(ref, ref))
    manifest = artifact.manifest
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
