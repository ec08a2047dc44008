"""`buril run`: run the chain, show it while it runs, and end with what came out and where the report is."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli import common
from buril.core.errors import BurilError
from buril.core.plugins import normal
from buril.core.text import _

if TYPE_CHECKING:
    from buril.chain import Chain
    from buril.core.estimate import Machine
    from buril.core.plan import Run
    from buril.core.store import Store


@click.command()
@click.argument("stages", nargs=-1, metavar="[STAGE]...")
@common.config_option
@common.store_option
@common.set_option
@common.small_option
@click.option("--until", metavar="STAGE", help="Stop after this stage.")
@click.option("--no-report", is_flag=True, help="Write no report.")
@click.option("--engine", metavar="NAME", help="Where shards are worked on: processes, ray or array.")
@click.option(
    "--shard", metavar="I/N", help="Be part I of N of an array: 0/8 … 7/8, auto for Slurm's or Kubernetes', or merge."
)
@common.json_option
def command(
    stages: tuple[str, ...],
    config_path: Path,
    store_path: Path | None,
    changes: tuple[str, ...],
    small: bool,
    until: str | None,
    no_report: bool,
    engine: str | None,
    shard: str | None,
    as_json: bool,
) -> None:
    """Run the chain."""
    from buril.cli.terminal import watch
    from buril.train.parallel.world import follows

    if len(stages) > 1 or (stages and until):
        raise BurilError("W102", stages=", ".join([*stages, *([until] if until else [])]))
    until = stages[0] if stages else until
    chain = _with_engine(common.load_chain(config_path, changes, small=small), engine, shard)
    chain.stages(until)  # every mistake in the YAML is said before anything is touched
    store = common.open_store(config_path, store_path, make=True)
    done = chain.run(store, until, command=_command_line(), watch=watch)
    if follows():  # `torchrun` started this beside the process that runs the chain, and tells of it
        return
    # parts of an array end at the same time, and would write one report between them
    report = None if no_report or done.unfinished or _part(chain) else _report(store, done, config_path, chain.machine)
    if as_json:
        common.put(_plain(done, report))
    else:
        _tell(done, report)
    _gates(done)


def _with_engine(chain: Chain, engine: str | None, shard: str | None) -> Chain:
    """The chain with the engine that the options name; its settings in the YAML hold where they are of that engine."""
    if shard and engine not in (None, "array"):
        raise BurilError("S029", engine=engine)
    name = engine or ("array" if shard else None)
    given = chain.top.engine
    if name and normal(name) != given.name:
        chain = chain.set("engine", name)
    if shard:
        kept = dict(given.settings) if given.name == "array" else {}
        chain = chain.set("engine", {"array": {**kept, "shard": shard}})
    return chain


def _part(chain: Chain) -> bool:
    engine = chain.top.engine
    return engine.name == "array" and getattr(engine.settings, "shard", "") != "merge"


def _command_line() -> str:
    return "buril " + shlex.join(sys.argv[1:])


def _report(store: Store, done: Run, config_path: Path, machine: Machine) -> Path:
    from buril.cli.report import write

    target = config_path.resolve().parent / "report.html"
    return write(store, done.artifacts, (done.name, done.identifier), target, machine)


def _tell(done: Run, report: Path | None) -> None:
    if done.unfinished:
        stage = done.unfinished.stage
        text = _("this part of `{stage}` is done; {number} of its shards are left to other parts")
        common.say(text.format(stage=stage, number=done.unfinished.num_left))
        common.following(f"buril run {stage} --shard merge")
        return
    total, reused = len(done.artifacts), len(done.reused)
    common.say(
        _("done in {time}: {total} stages, {reused} reused").format(
            time=common.duration(done.seconds), total=total, reused=reused
        )
    )
    for line in headline(done):
        common.say(line)
    if report:
        common.say(_("report: {path}").format(path=report))
    if {"train", "align"} & set(done.artifacts):
        common.following("buril complete --prompt 'def fibonacci(n):' · buril trace model · buril plan")
    else:
        common.following("buril plan")


def headline(done: Run) -> list[str]:
    """What the evaluation found, base against tuned, one line a suite; empty when nothing was evaluated."""
    if "evaluate" not in done.artifacts:
        return []
    lines = []
    suites = done.artifacts["evaluate"].json("results.json")["suites"]
    width = max((len(name) for name in suites), default=0)
    for name, suite in suites.items():
        shown = []
        # those of parts and of other forms (`pass@1 comments`, `pass@1 chat`) come after those of the whole
        for metric, values in sorted(suite["metrics"].items(), key=lambda item: " " in item[0]):
            base, tuned = values.get("base"), values.get("tuned")
            if base and tuned:
                shown.append(f"{metric} {base['value']:.4g} → {tuned['value']:.4g}{_sure(values.get('difference'))}")
        lines.append(f"      {name:<{width}} " + " · ".join(shown[:4]))
    return lines


def _sure(difference: dict[str, Any] | None) -> str:
    if not difference:
        return ""
    low, high = difference["low"], difference["high"]
    return f" [{low:+.3g}, {high:+.3g}]" + ("" if low > 0 or high < 0 else " " + _("(no measurable difference)"))


def _gates(done: Run) -> None:
    if "evaluate" in done.artifacts:
        from buril.evaluate.gates import check

        check(done.artifacts["evaluate"].json("results.json"))


def _plain(done: Run, report: Path | None) -> dict[str, Any]:
    return {
        "name": done.name,
        "run": done.identifier,
        "seconds": done.seconds,
        "report": report,
        "unfinished": done.unfinished and {"stage": done.unfinished.stage, "shards_left": done.unfinished.num_left},
        "stages": {
            name: {
                "key": artifact.key,
                "digest": artifact.digest,
                "reused": name in done.reused,
                "seconds": artifact.manifest.seconds,
                "metrics": artifact.manifest.metrics,
            }
            for name, artifact in done.artifacts.items()
        },
    }
