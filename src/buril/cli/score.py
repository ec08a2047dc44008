"""`buril score FILE [OTHER]`: suites on completions that somebody else wrote, or on a server, without a chain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli.common import following, json_option, put, say
from buril.core.errors import BurilError
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.core.plugins import Ref
    from buril.evaluate.score import Scored


@click.command()
@click.argument("file", required=False)
@click.argument("other", required=False)
@click.option(
    "--suite",
    "suites",
    multiple=True,
    required=True,
    metavar="YAML",
    help=N_("A suite as in `evaluate.suites`: `humaneval`, or `humaneval: {path: FILE}`; several may be given."),
)
@click.option(
    "--generator",
    "generators",
    multiple=True,
    metavar="YAML",
    help=N_(
        "What writes, instead of a file: `openai: {url: http://127.0.0.1:8000/v1, model: M, api: completions}`. "
        "A second one is compared with the first."
    ),
)
@click.option("--max-items", type=click.IntRange(min=1), default=10_000, help=N_("Most tasks of a suite."))
@click.option(
    "--max-tokens", type=click.IntRange(min=1), default=512, show_default=True, help=N_("Most tokens of a completion.")
)
@click.option("--sandbox", default="namespaces", show_default=True, metavar="YAML", help=N_("What runs programs."))
@click.option("--seed", default=0, help=N_("Chooses tasks, samples and resamplings."))
@click.option("--out", type=click.Path(path_type=Path), help=N_("Folder for `results.json` and `samples/*.jsonl`."))
@json_option
def command(
    file: str | None, other: str | None, suites: tuple[str, ...], generators: tuple[str, ...], max_items: int,
    max_tokens: int, sandbox: str, seed: int, out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """FILE has JSON lines with `task_id` and `completion`; OTHER is compared with it."""
    from buril.evaluate.score import Bounds, score

    makers = [_parsed("generator", {"file": {"path": path}}) for path in (file, other) if path]
    makers += [_parsed("generator", _read(text)) for text in generators]
    if not 1 <= len(makers) <= 2:
        raise BurilError("W002", problem=_("name one or two files or generators"), command="buril score")
    chosen = [_parsed("suite", _read(text)) for text in suites]
    jail = _parsed("sandbox", _read(sandbox))
    scored = score(chosen, makers, Bounds(max_items, max_tokens, seed), sandbox=jail)
    told = scored.to_json()
    if out:
        _write(out, told, scored)
    if as_json:
        put(told)
        return
    for suite, found in told["suites"].items():
        click.echo(suite)
        for metric, row in found["metrics"].items():
            click.echo(f"  {metric:<18} {_told(row)}")
    following("buril plugins suite" if out else "buril score … --out FOLDER")


def _read(text: str) -> Any:
    """A plugin as the YAML names it.

    Raises:
        BurilError: W002 for what is no YAML.
    """
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as problem:
        raise BurilError("W002", problem=_("`{text}` is no YAML").format(text=text), command="buril score") from problem


def _parsed(kind: str, given: Any) -> Ref:
    """One plugin with its settings.

    Raises:
        BurilError: P001 for a name that there is none of, W002 for settings that it does not have.
    """
    from pydantic import ValidationError

    from buril.core.plugins import PluginKind, Ref

    try:
        found = PluginKind(kind).parse(given)
    except ValidationError as problem:
        first = problem.errors()[0]
        told = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise BurilError("W002", problem=told, command="buril score") from problem
    if not isinstance(found, Ref):
        raise BurilError("W002", problem=_("`{text}` names no plugin").format(text=given), command="buril score")
    return found


def _told(row: Mapping[str, Any]) -> str:
    """A row in a line: the scores with their intervals, and the difference with what it is worth."""
    sides = [side for name, side in row.items() if isinstance(side, dict) and name != "difference"]
    parts = [f"{side['value']:.4g} [{side['low']:.4g}, {side['high']:.4g}] n={side['n']:g}" for side in sides]
    difference = row.get("difference")
    if difference:
        sure = difference["low"] > 0 or difference["high"] < 0
        worth = "" if sure else " " + _("(no measurable difference)")
        parts.append(f"{difference['value']:+.3g} [{difference['low']:+.3g}, {difference['high']:+.3g}]{worth}")
    return "  ·  ".join(parts)


def _write(out: Path, told: Mapping[str, Any], scored: Scored) -> None:
    """The results, and every sample."""
    from buril.core.artifact import atomic

    files = {"results.json": json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True) + "\n"}
    for suite, results in scored.found.items():
        for name, result in results.items():
            rows = (json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in result.samples)
            files[f"samples/{suite}.{name}.jsonl"] = "".join(rows)
    for name, text in files.items():
        with atomic(out / name) as path:
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
    say(_("written: {path}").format(path=out))
