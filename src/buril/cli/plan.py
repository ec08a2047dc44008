"""`buril plan`: what would run, what is reused, and what it costs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli import common
from buril.core.text import _

if TYPE_CHECKING:
    from buril.chain import Chain
    from buril.core.estimate import Estimate, Machine
    from buril.core.plan import Step
    from buril.core.store import Store
    from buril.train.probe import Probe

MARKS = {"reuse": "ok", "run": ">", "wait": ".."}


@click.command()
@common.config_option
@common.store_option
@common.set_option
@common.small_option
@click.option("--until", metavar="STAGE", help="Stop after this stage.")
@click.option(
    "--probe",
    "probe_steps",
    type=click.IntRange(2, 1000),
    is_flag=False,
    flag_value=20,
    default=None,
    metavar="[STEPS]",
    help="Train a few steps (20) and throw them away: time and memory are then measured, here and from now on.",
)
@common.json_option
def command(
    config_path: Path,
    store_path: Path | None,
    changes: tuple[str, ...],
    small: bool,
    until: str | None,
    probe_steps: int | None,
    as_json: bool,
) -> None:
    """Show the plan."""
    from buril.core.store import Store

    chain = common.load_chain(config_path, changes, small=small)
    store = Store(common.store_folder(config_path, store_path), make=probe_steps is not None)
    found = _probe(chain, store, probe_steps) if probe_steps else None
    steps = chain.plan(store, until)
    if as_json:
        plain = {"name": chain.top.name, "stages": [_plain(step, chain.machine) for step in steps]}
        common.put(plain | ({"probe": asdict(found)} if found else {}))
        return
    if found:
        for line in _probed(found, chain):
            click.echo(line)
    counts = {action: sum(step.action == action for step in steps) for action in MARKS}
    click.echo(
        _("{name}  {total} stages: {reuse} reuse, {run} run, {wait} wait").format(
            name=chain.top.name, total=len(steps), **counts
        )
    )
    for step in steps:
        click.echo(_line(step))
        if step.action != "reuse" and step.estimate and step.estimate.note:
            click.echo(f"{'':<6}{step.estimate.note}")
    click.echo(_total(steps, chain.machine))
    click.echo(_("nothing was changed"))
    common.following("buril run" + (" --small" if small else "") if counts["run"] else "buril report")


def _probe(chain: Chain, store: Store, steps: int) -> Probe:
    """Train a few steps, remember what they took, and tell it.

    Raises:
        BurilError: S005 when the chain does not train; T141, T142 and those of the stages.
    """
    from buril.train.probe import probe, probe_inputs

    stages = {stage.name: stage for stage in chain.stages("train")}
    there = {step.stage.name: step.artifact for step in chain.plan(store, "train") if step.artifact}
    with tempfile.TemporaryDirectory(prefix="buril-probe-") as name:
        folder = Path(name)
        inputs = probe_inputs(stages, there, folder)
        common.say(_("training {steps} short steps, which are thrown away").format(steps=steps))
        found = probe(stages["train"].settings, inputs, folder / "train", steps=steps)
    store.remember("train", found.past())
    return found


def _probed(found: Probe, chain: Chain) -> Iterator[str]:
    """What a probe measured, in lines."""
    text = _("measured over {steps} short steps: {speed:,.0f} tokens/s, {seconds} for a whole step of {tokens:,}")
    yield text.format(
        steps=found.steps,
        speed=found.tokens_per_s,
        seconds=common.duration(found.step_tokens / found.tokens_per_s),
        tokens=found.step_tokens,
    )
    yield _("memory at most {measured}, {expected} were expected").format(
        measured=common.size(found.ram_mb * 1e6), expected=common.size(found.expected_mb * 1e6)
    )
    if found.watts:
        yield _("power of the processors: {watts:.0f} W; the plan counts `watts: {told:.0f}`").format(
            watts=found.watts, told=chain.machine.watts
        )


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
    gpu = f"  {common.size(estimate.gpu_mb * 1e6)} GPU" if estimate.gpu_mb else ""
    return f"{about}{common.duration(estimate.seconds)}  {common.size(estimate.ram_mb * 1e6)} RAM{gpu}"


def _total(steps: list[Step], machine: Machine) -> str:
    costs = [step.estimate for step in steps if step.action != "reuse" and step.estimate]
    if not costs:
        return _("everything is there")
    total = costs[0]
    for cost in costs[1:]:
        total = total + cost
    text = _("about {time}, {ram} RAM, {disk} of disk, {kwh:.3f} kWh at {watts:.0f} W, {usd:.2f} USD").format(
        time=common.duration(total.seconds),
        ram=common.size(total.ram_mb * 1e6),
        disk=common.size(total.disk_mb * 1e6),
        kwh=total.kwh(machine),
        watts=machine.watts,
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
            "note": cost.note,
        },
    }
