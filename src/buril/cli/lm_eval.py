"""`buril lm-eval`: our suites as tasks of lm-evaluation-harness, its tasks on our model, its results read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli import common
from buril.core.errors import BurilError
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.core.plugins import Ref
    from buril.core.store import Store
    from buril.evaluate.harness._export import Sentinels
    from buril.evaluate.stage import Evaluate
    from buril.evaluate.suite import SuiteContext

ROW = "{name:<44} {base:>24} {tuned:>24} {difference:>24}"


@click.group()
def command() -> None:
    """Exchange tasks and results with EleutherAI's lm-evaluation-harness."""


# --- export


@command.command("export")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--suite", "suites", multiple=True, required=True, help=N_("A suite, as in the YAML; may be repeated."))
@common.config_option
@common.store_option
@common.set_option
@common.json_option
def export_command(
    folder: Path, suites: tuple[str, ...], config_path: Path, store_path: Path | None, changes: tuple[str, ...],
    as_json: bool,
) -> None:  # fmt: skip
    """Write suites into FOLDER as tasks that `lm_eval --include_path FOLDER` runs; buril's sandbox judges them."""
    from buril.core.plugins import normal
    from buril.evaluate.harness._export import export

    told = _evaluate(config_path, changes)
    _made(folder)
    known: dict[str, Ref] = {ref.name: ref for ref in told.suites}
    refs = [known.get(normal(name)) or _ref(name) for name in suites]
    with told.sandbox.make() as sandbox:
        names: list[str] = []
        for ref in refs:
            context, sentinels = _context(ref, told, sandbox, lambda: common.open_store(config_path, store_path))
            names += export(ref, context, folder, sentinels)
    if as_json:
        common.put({"folder": str(folder), "tasks": names})
    else:
        for name in names:
            click.echo(name)
    common.following(f"buril lm-eval run --include-path {folder} --tasks {names[0]}")


def _evaluate(config_path: Path, changes: tuple[str, ...]) -> Evaluate.Settings:
    """The settings of `evaluate`: the YAML's, or the defaults where there is none."""
    from buril.chain import Chain

    chain = Chain.from_yaml(config_path) if config_path.is_file() else Chain.from_values({})
    found: Any = common.changed(chain, changes).settings("evaluate")
    settings: Evaluate.Settings = found
    return settings


def _made(folder: Path) -> None:
    """Make a folder before there is anything to write.

    Raises:
        BurilError: W203 when that can't be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise BurilError("W203", path=folder, problem=problem.strerror or str(problem)) from problem


def _ref(name: str) -> Ref:
    """A suite by its name alone, with its own defaults."""
    from buril.core.plugins import PluginKind

    found: Ref = PluginKind("suite").parse(name)
    return found


def _context(ref: Ref, told: Evaluate.Settings, sandbox: Any, store: Any) -> tuple[SuiteContext, Sentinels | None]:
    """What a suite needs to say its tasks; the store is opened for those that ask for its tokenizer alone."""
    from buril.cli.in_use import latest
    from buril.evaluate.suite import SuiteContext

    generator: Any = None
    split: Any = None
    sentinels = None
    if ref.name in ("perplexity", "humaneval_infilling"):
        generator, sentinels = _tokenizer(store())
    if ref.name == "perplexity":
        split = latest(store(), "split")
    context = SuiteContext(
        generator, split, lambda: sandbox, told.seed, told.max_items, told.max_tokens, told.max_file_tokens,
        told.max_prompt_bytes,
    )  # fmt: skip
    return context, sentinels


def _tokenizer(store: Store) -> tuple[Any, Sentinels | None]:
    """What encodes text as the latest run's model does, and how that spells a hole."""
    from buril.cli.in_use import latest
    from buril.evaluate.harness._export import Sentinels
    from buril.generators._encoder import Encoder, read_fim

    folder = latest(store, "tokenizer").folder
    encoder, fim = Encoder(folder), read_fim(folder)
    ids = (fim["prefix"], fim["suffix"], fim["middle"])
    spelt = [encoder.decode([token], special=True) for token in ids if token is not None]
    return encoder, Sentinels(*spelt) if len(spelt) == len(ids) else None


# --- run


@command.command("run")
@click.option("--tasks", required=True, help=N_("Tasks, groups or tags of the harness, with commas between them."))
@click.option("--include-path", type=click.Path(path_type=Path, exists=True), help=N_("A folder with further tasks."))
@click.option(
    "--model", "ref", metavar="REF", help=N_("`base`, a name or run, or a `train` artifact (default: the latest).")
)
@click.option("--limit", type=click.IntRange(1), default=200, show_default=True, help=N_("Most documents of a task."))
@click.option(
    "--max-tokens", type=click.IntRange(1), default=1024, show_default=True, help=N_("Tokens of an answer, at most.")
)
@click.option("--num-fewshot", type=click.IntRange(0), default=None, help=N_("Solved examples before each question."))
@click.option("--apply-chat-template", is_flag=True, help=N_("Put prompts as chats."))
@click.option("--download", is_flag=True, help=N_("Data sets may be fetched from the hub."))
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help=N_("Write results and samples into a folder, as the harness does."),
)
@common.config_option
@common.store_option
@common.json_option
def run_command(
    *, tasks: str, include_path: Path | None, ref: str | None, limit: int, max_tokens: int, num_fewshot: int | None,
    apply_chat_template: bool, download: bool, to: Path | None, config_path: Path, store_path: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Run tasks of lm-evaluation-harness on the trained model; what it writes never runs in this process."""
    from buril.cli.in_use import model_in_use, open_model
    from buril.core.plugins import plugin
    from buril.evaluate._table import table
    from buril.evaluate.harness._files import write
    from buril.evaluate.harness._results import measures_of
    from buril.evaluate.suite import SuiteContext

    found = plugin("suite", "lm_eval")
    told = found.Settings(
        tasks=tuple(name.strip() for name in tasks.split(",") if name.strip()), include_path=include_path,
        num_fewshot=num_fewshot, apply_chat_template=apply_chat_template, download=download,
    )  # fmt: skip
    suite = found(told)
    if to:
        _made(to)
    nothing: Any = None  # no task that runs code is asked, and none reads the split
    context = SuiteContext(nothing, nothing, nothing, max_items=limit, max_tokens=max_tokens)
    suite.check(context)
    context.generator = open_model(model_in_use(common.open_store(config_path, store_path), ref))
    raw, _finished = suite.ask(context)
    measures, left = measures_of(raw, raw["samples"])
    rows = table({"base": {}, "tuned": measures}, 0)
    if to:
        common.say(str(write(to, raw)))
    _show(rows, as_json, left)
    common.following("buril complete --help" if not to else f"buril lm-eval import {to}")


# --- import


@command.command("import")
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--base", type=click.Path(path_type=Path), help=N_("Results of the base model, to compare with."))
@click.option("--to", type=click.Path(path_type=Path, dir_okay=False), help=N_("Write a `results.json` as buril does."))
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help=N_("Seed of the intervals."))
@common.json_option
def import_command(results: Path, base: Path | None, to: Path | None, seed: int, as_json: bool) -> None:
    """Read RESULTS of lm-evaluation-harness, a file or a folder, with intervals over its logged documents."""
    import json

    from buril.evaluate.harness._files import imported, read

    found = imported(read(results), read(base) if base else None, seed)
    if to:
        text = json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True)
        _made(to.parent)
        to.write_text(f"{text}\n", encoding="utf-8")
    if as_json:
        common.put(found)
    else:
        _show(found["suites"]["lm_eval"]["metrics"], as_json, [])
    common.following("buril report")


def _show(rows: Mapping[str, Mapping[str, Any]], as_json: bool, left: list[str]) -> None:
    """The measures, one on a line."""
    if as_json:
        common.put({"metrics": rows, "left_out": left})
        return
    paired = any(row["base"] for row in rows.values())
    for name, row in rows.items():
        shown = {model: _shown(row[model]) for model in ("base", "tuned", "difference")}
        text = ROW.format(name=name, **shown) if paired else f"{name:<44} {shown['tuned']:>24}"
        click.echo(text.rstrip())
    if left:
        common.say(_("left out, as no document has a part of it: {names}").format(names=", ".join(left)))


def _shown(found: Mapping[str, Any] | None) -> str:
    """A value with the ends of its interval."""
    if not found:
        return "–"
    ends = "" if found["low"] is None else f" [{found['low']:.4g}, {found['high']:.4g}]"
    return f"{found['value']:.4g}{ends}"
