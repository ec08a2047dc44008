"""`buril status`: what the store holds, and what is running or was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from buril.cli import common
from buril.cli.terminal import progress_line
from buril.core.events import read_events
from buril.core.text import _


@click.command()
@common.config_option
@common.store_option
@common.json_option
def command(config_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Show the state of the store."""
    store = common.open_store(config_path, store_path)
    refs = store.refs()
    runs = [_run(path) for path in sorted((store.root / "runs").glob("*/events.jsonl"), reverse=True)[:5]]
    stages: dict[str, Any] = {}
    for artifact in store.artifacts():
        manifest = artifact.manifest
        entry = stages.setdefault(manifest.stage, {"artifacts": 0, "bytes": 0, "latest": manifest.started})
        entry["artifacts"] += 1
        entry["bytes"] += sum(item.bytes for item in manifest.files)
    partial = sorted(str(path.relative_to(store.root)) for path in store.root.glob("*/.*.partial"))
    if as_json:
        names = {name: {stage: link.key for stage, link in links.items()} for name, links in refs.items()}
        common.put({"store": store.root, "stages": stages, "refs": names, "runs": runs, "unfinished": partial})
        return
    total = common.size(sum(entry["bytes"] for entry in stages.values()))
    click.echo(_("store {path}: {size}").format(path=store.root, size=total))
    for name, entry in stages.items():
        click.echo(
            f"      {name:<10} {entry['artifacts']:>3}  {common.size(entry['bytes']):>9}  "
            + entry["latest"][:16].replace("T", " ")
        )
    for path in partial:
        click.echo(_("  ..  {path} is unfinished; `buril run` goes on from there").format(path=path))
    for run in runs:
        click.echo(f"      {run['run']}  {run['name']:<16} {run['state']}")
    common.following("buril show " + next(reversed(next(iter(refs.values()), {"collect": None}))))


def _run(path: Path) -> dict[str, Any]:
    events = read_events(path)
    start = events[0] if events else {}
    last = events[-1] if events else {}
    if last.get("kind") == "run_end":
        state = _("{outcome} after {time}").format(
            outcome={"ok": _("finished"), "failed": _("failed"), "interrupted": _("interrupted")}[last["outcome"]],
            time=common.duration(last["seconds"]),
        )
    else:
        progress = next((event for event in reversed(events) if event["kind"] == "progress"), None)
        at = next((event["stage"] for event in reversed(events) if event.get("stage")), "")
        state = _("running or killed at {stage}").format(stage=at) + (
            f" · {progress_line(progress)}" if progress else ""
        )
    return {"run": path.parent.name, "name": start.get("name", ""), "command": start.get("command", ""), "state": state}
