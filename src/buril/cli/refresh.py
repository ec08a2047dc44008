"""`buril refresh`: a scheduled run that promotes its model if the gate passes, and the way back."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from buril.cli import common
from buril.core.errors import BurilError, GateFailed
from buril.core.text import _

if TYPE_CHECKING:
    from buril.chain import Chain
    from buril.core.store import Store
    from buril.monitor.champion import Served
    from buril.monitor.refresh import Change

CHAMPION, PREVIOUS = "champion", "previous"


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would run.")
@click.option("--rollback", is_flag=True, help="Serve again what was served before; run nothing.")
@common.config_option
@common.store_option
@common.set_option
@common.small_option
@common.json_option
def command(
    dry_run: bool,
    rollback: bool,
    config_path: Path,
    store_path: Path | None,
    changes: tuple[str, ...],
    small: bool,
    as_json: bool,
) -> None:
    """Collect, train, evaluate, and promote if the gate passes."""
    chain = common.load_chain(config_path, changes, small=small)
    chain.stages()  # every mistake in the YAML is said before anything is touched
    if rollback:
        _back(chain, common.open_store(config_path, store_path), as_json=as_json)
        return
    if not getattr(chain.settings("evaluate"), "gate", None):
        raise BurilError("V405")
    if dry_run:
        _plan(chain, config_path, store_path, as_json=as_json)
        return
    change = _refresh(chain, common.open_store(config_path, store_path, make=True))
    if as_json:
        common.put(change.plain())
    else:
        _tell(change)
    if not change.promoted:
        raise GateFailed("V404", problem=change.reason, champion=f"{change.name}@{CHAMPION}")


def _refresh(chain: Chain, store: Store) -> Change:
    from buril.cli.terminal import watch
    from buril.monitor.champion import champion
    from buril.monitor.refresh import refresh

    line = "buril " + shlex.join(sys.argv[1:])
    change = refresh(store, chain.top.name, lambda: chain.run(store, command=line, watch=watch))
    if change.promoted:
        _mirror(chain, *champion(store, change.name))
    return change


def _mirror(chain: Chain, now: Served | None, before: Served | None) -> None:
    """Tell the registries that the YAML names; the store is what counts, so what they miss is a warning."""
    from buril.core.plugins import plugin

    if "train" not in chain.document.values:
        return
    for ref in getattr(chain.settings("train"), "track", ()):
        if not hasattr(plugin("tracker", ref.name), "point"):
            continue
        tracker = ref.make()
        for alias, served in ((CHAMPION, now), (PREVIOUS, before)):
            link = served.stages.get("train") if served else None
            problem = tracker.point(alias, link.digest) if link else ""
            if problem:
                common.say(_("{tracker}: the alias {alias} was not set: {problem}").format(
                    tracker=ref.name, alias=alias, problem=problem
                ))  # fmt: skip


def _back(chain: Chain, store: Store, *, as_json: bool) -> None:
    from buril.monitor.champion import champion, roll_back
    from buril.monitor.refresh import alone

    with alone(store):
        back = roll_back(store, chain.top.name)
    _mirror(chain, *champion(store, chain.top.name))
    if as_json:
        common.put({"name": chain.top.name, "run": back.run, "stages": back.stages})
        return
    common.say(_("{name}@champion is the model of run {run} again").format(name=chain.top.name, run=back.run))
    common.following("buril status")


def _plan(chain: Chain, config_path: Path, store_path: Path | None, *, as_json: bool) -> None:
    from buril.core.store import Store

    store = Store(common.store_folder(config_path, store_path), make=False)
    steps = chain.plan(store)
    if as_json:
        common.put({"name": chain.top.name, "stages": {step.stage.name: step.action for step in steps}})
        return
    for step in steps:
        click.echo(f"  {step.stage.name:<10} {step.action:<6} {step.reason}")
    click.echo(_("nothing was changed"))
    common.following("buril refresh")


def _tell(change: Change) -> None:
    files = change.files
    text = _("{name}: {added} files added, {removed} removed, {same} the same; {reused} stages reused; {time}")
    common.say(text.format(name=change.name, reused=len(change.reused), time=common.duration(change.seconds), **files))
    for metric, (before, now) in change.metrics.items():
        if now:
            common.say(f"      {metric:<28} {_score(before)} → {_score(now)}")
    if not change.same_test and change.before:
        common.say(_("the held-out files are others than before: only scores on fixed tasks compare"))
    if change.model[0] == change.model[1]:
        common.say(_("nothing new: the model is the one that is served"))
    elif change.promoted:
        common.say(_("promoted: {name}@champion is the model of run {run}").format(name=change.name, run=change.run))
    if change.promoted:
        common.following("buril refresh --rollback" if change.before else "buril status")


def _score(score: dict[str, float] | None) -> str:
    if not score:
        return "–"
    known = score.get("low") is not None and score.get("high") is not None
    return f"{score['value']:.4g}" + (f" [{score['low']:.4g}, {score['high']:.4g}]" if known else "")
