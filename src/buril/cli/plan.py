"""`buril plan`: what would run, what is reused, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli import common
from buril.core.text import _

if TYPE_CHECKING:
    from buril.core.estimate import Estimate, Machine
    from buril.core.plan import Step

MARKS = {"reuse": "ok", "run": ">", "wait": ".."}


@click.command()
@common.config_option
@common.store_option
@common.set_option
@common.small_option
@click.option("--until", metavar="STAGE", help="Stop after this stage.")
@common.json_option
def command(
    config_path: Path, store_path: Path | None, changes: tuple[str, ...], small: bool, until: str | None, as_json: bool
) -> None:
    """Show the plan."""
    from buril.core.store import Store

    chain = common.load_chain(config_path, changes, small=small)
    store = Store(common.store_folder(config_path, store_path), make=False)
    steps = chain.plan(store, until)
    if as_json:
        common.put({"name": chain.top.name, "stages": [_plain(step, chain.machine) for step in steps]})
        return
    counts = {action: sum(step.action == action for step in steps) for action in MARKS}
    click.echo(
        _("{name}  {total} stages: {reuse} reuse, {run} run, {wait} wait").format(
            name=chain.top.name, total=len(steps), **counts
        )
    )
    for step in steps:
        click.echo(_line(step))
    click.echo(_total(steps, chain.machine))
    click.echo(_("nothing was changed"))
    common.following("buril run" + (" --small" if small else "") if counts["run"] else "buril report")


def _line(step: Step) -> str:
    action = {"reuse": _("reuse"), "run": _("run"), "wait": _("wait")}[step.action]
    head = f"  {MARKS[step.action]:<3} {step.stage.name:<10} {action:<10}"
    if step.action == "reuse" and step.artifact:
        manifest = step.artifact.manifest
        total = common.size(sum(entry.bytes for entry in manifest.files))
        return f"{head} {total:>9}  " + _("made {when}").format(when=manifest.started[:16].replace("T", " "))
    cost = _cost(step.estimate) if step.estimate else ""
    return f"{head} {step.reason}" + (f"   {cost}" if cost else "")


def _cost(estimate: Estimate) -> str:
    about = "~" if estimate.basis == "measured" else "?~"
    return f"{about}{common.duration(estimate.seconds)}  {common.size(estimate.ram_mb * 1e6)} RAM"


def _total(steps: list[Step], machine: Machine) -> str:
    costs = [step.estimate for step in steps if step.action != "reuse" and step.estimate]
    if not costs:
        return _("everything is there")
    total = costs[0]
    for cost in costs[1:]:
        total = total + cost
    text = _("about {time}, {ram} RAM, {disk} of disk, {kwh:.3f} kWh, {usd:.2f} USD").format(
        time=common.duration(total.seconds),
        ram=common.size(total.ram_mb * 1e6),
        disk=common.size(total.disk_mb * 1e6),
        kwh=total.kwh(machine),
        usd=total.usd(machine),
    )
    basis = (
        _("scaled from runs on this machine") if total.basis == "measured" else _("?~ marks a guess: not yet run here")
    )
    return f"{text} · {basis}"


def _plain(step: Step, machine: Machine) -> dict[str, Any]:
    cost = step.estimate
    return {
        "stage": step.stage.name,
        "action": step.action,
        "reason": step.reason,
        "key": step.artifact.key if step.artifact else None,
        "estimate": None
        if cost is None
        else {
            "seconds": cost.seconds,
            "ram_mb": cost.ram_mb,
            "disk_mb": cost.disk_mb,
            "gpu_mb": cost.gpu_mb,
            "kwh": cost.kwh(machine),
            "usd": cost.usd(machine),
            "basis": cost.basis,
        },
    }
