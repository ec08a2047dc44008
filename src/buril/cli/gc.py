"""`buril gc`: remove what no reference reaches."""

from __future__ import annotations

from pathlib import Path

import click

from buril.cli import common
from buril.core.text import _


@click.command()
@click.option(
    "--keep",
    "keep_runs",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    help="How many finished runs to keep.",
)
@click.option("--partial", is_flag=True, help="Also remove unfinished work (a later run starts those stages anew).")
@click.option("--damaged", is_flag=True, help="Also remove damaged artifacts.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@common.config_option
@common.store_option
@common.json_option
def command(
    keep_runs: int,
    partial: bool,
    damaged: bool,
    dry_run: bool,
    config_path: Path,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Remove what nothing refers to."""
    store = common.open_store(config_path, store_path)
    garbage = store.garbage(keep_runs=keep_runs, partial=partial, damaged=damaged)
    freed = 0
    for path in garbage:
        num_bytes = sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if dry_run else store.remove(path)
        freed += num_bytes
        if not as_json:
            click.echo(f"  {'..' if dry_run else 'xx'}  {path.relative_to(store.root)}  {common.size(num_bytes)}")
    if as_json:
        common.put(
            {"removed": [str(path.relative_to(store.root)) for path in garbage], "bytes": freed, "dry_run": dry_run}
        )
        return
    click.echo(
        _("{count} removed, {size} freed").format(count=len(garbage), size=common.size(freed))
        if not dry_run
        else _("{count} would go, {size}").format(count=len(garbage), size=common.size(freed))
    )
    common.following("buril gc" if dry_run else "buril status")
