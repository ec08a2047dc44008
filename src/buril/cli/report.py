"""`buril report`: write the report of the latest run as one static HTML file, or as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from buril.cli import common
from buril.core.text import _

if TYPE_CHECKING:
    from buril.core.artifact import Artifact
    from buril.core.estimate import Machine
    from buril.core.store import Store
    from buril.web.report import ReportData


@click.command()
@click.option("--run", "run_name", help="A run (NAME@RUN) instead of the latest.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=None, help="Where to write (default: report.html)."
)
@click.option("--html", "kind", flag_value="html", default=True, help="Write HTML (the default).")
@common.config_option
@common.store_option
@common.json_option
def command(
    run_name: str | None, out: Path | None, kind: str, config_path: Path, store_path: Path | None, as_json: bool
) -> None:
    """Write the report."""
    from buril.core.errors import BurilError
    from buril.core.estimate import Machine

    store = common.open_store(config_path, store_path)
    ref = run_name or next(iter(store.refs()), None)
    if ref is None:
        raise BurilError("S007", stage="collect")
    artifacts = store.chain(ref)
    name, _at, identifier = ref.partition("@")
    machine = common.load_chain(config_path).machine if config_path.exists() else Machine()
    target = out or config_path.resolve().parent / "report.html"
    if as_json:
        from buril.web.report import to_json

        common.put(to_json(_gather(store, artifacts, name, identifier, machine)))
        return
    common.say(_("report: {path}").format(path=write(store, artifacts, (name, identifier), target, machine)))
    common.following("buril trace model")


def _gather(
    store: Store, artifacts: Mapping[str, Artifact], name: str, identifier: str, machine: Machine
) -> ReportData:
    from buril.core.events import read_events
    from buril.web.report import gather

    logs = sorted((store.root / "runs").glob("*/events.jsonl"))
    path = store.root / "runs" / identifier / "events.jsonl"
    if not path.exists() and logs:
        path = logs[-1]
    events = read_events(path)
    command_line = events[0].get("command", "") if events else ""
    return gather(artifacts, name=name, events=events, command=command_line, machine=machine)


def write(
    store: Store, artifacts: Mapping[str, Artifact], run: tuple[str, str], target: Path, machine: Machine
) -> Path:
    """Write the HTML report of a run (its name and identifier) and give its path."""
    from buril.web.report import write_report

    write_report(target, _gather(store, artifacts, *run, machine))
    return target
