"""`buril why FILE`: why a file was kept or dropped, step by step."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from buril.cli import common
from buril.core.text import N_, _

OUTCOMES = {"kept": N_("kept"), "dropped": N_("dropped"), "changed": N_("changed"), "noted": N_("noted")}
MARKS = {"kept": "ok", "dropped": "xx", "changed": "~~", "noted": "··"}


@click.command()
@click.argument("file")
@click.option("--run", "run_name", help="A run (NAME@RUN) instead of the latest.")
@common.config_option
@common.store_option
@common.json_option
def command(file: str, run_name: str | None, config_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Tell the story of FILE: a path, its end, repo/path, or a row id."""
    from buril.audit.lineage import stories

    store = common.open_store(config_path, store_path)
    found = stories(store.chain(run_name), file)
    if as_json:
        common.put([{**asdict(story), "kept": story.kept} for story in found])
        return
    for story in found:
        click.echo(f"{story.repo}/{story.path}")
        licence = story.license or _("licence unknown")
        click.echo(
            f"      {story.language or '?'} · {licence} · {common.size(story.bytes)} · "
            f"{story.commit[:12] or '—'} · row {story.row_id}"
        )
        for moment in story.moments:
            detail = f"  {moment.detail}" if moment.detail else ""
            click.echo(
                f"  {MARKS[moment.outcome]}  {moment.stage:<9} "
                f"{_(OUTCOMES[moment.outcome]):<11} {moment.reason}{detail}"
            )
        verdict = (
            _("in the {part} part").format(part=story.part)
            if story.part
            else _("kept so far")
            if story.kept
            else _("left out")
        )
        click.echo(f"  =>  {verdict}")
    common.following(f"buril trace {found[0].repo}/{found[0].path}")
