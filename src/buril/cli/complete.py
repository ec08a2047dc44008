"""`buril complete`: code from the trained model on stdout, and a record of it that `buril trace` can walk from."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from buril.cli import tracing
from buril.cli.bundle import Bundled, opened
from buril.cli.common import config_option, following, json_option, say, store_option
from buril.cli.completing import Context, finished, request_with, shown_with, tell
from buril.cli.guarding import DEFAULT, guards_of, let_in, let_out, logged
from buril.cli.in_use import knows_fim, open_model
from buril.cli.marking import keep, mark_of
from buril.cli.records import Hole, Parameters, record_of, write_records
from buril.core.errors import BurilError
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.cli.in_use import InUse
    from buril.core.store import Store
    from buril.generators._generator import Completion
    from buril.serve.guards import Fired, Guard
    from buril.serve.watermark import Watermark

SAMPLING_TEMPERATURE = 0.8
"""The temperature of several samples where none is given: at 0 they would all be the same."""


@click.command()
@click.argument("file", required=False)
@click.option("--prompt", help=N_("The text to go on from, instead of a FILE."))
@click.option("--suffix", help=N_("The text that must follow."))
@click.option("--line", type=click.IntRange(min=1), help=N_("Complete at this line of FILE (from 1)."))
@click.option(
    "--column", type=click.IntRange(min=1), help=N_("… at this column (from 1; default: the end of the line).")
)
@click.option(
    "--max-tokens", type=click.IntRange(min=1), default=128, show_default=True, help=N_("Most tokens to write.")
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=None,
    help=N_("0 takes the likeliest token (default: 0; 0.8 for several samples)."),
)
@click.option("--samples", type=click.IntRange(min=1), default=1, show_default=True, help=N_("How many completions."))
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help=N_("Seed of the samples."))
@click.option(
    "--model", "ref", metavar="REF",
    help=N_("`base`, a name or run, a `train` artifact, or a bundle (default: the latest)."),
)  # fmt: skip
@click.option(
    "--guards", "guards_text", metavar="NAMES", default=DEFAULT, show_default=True,
    help=N_("Guards that look at the prompt and at what is written, in this order; `none` for none."),
)  # fmt: skip
@click.option(
    "--provenance/--no-provenance", "wants_provenance", default=None,
    help=N_("Record which training files a completion is from (default: where there is an index of the model)."),
)  # fmt: skip
@click.option(
    "--watermark", "watermark_text", metavar="YAML", default="off", show_default=True,
    help=N_("Mark the text so that it can be found again: `on`, or settings such as `{delta: 2}`."),
)  # fmt: skip
@click.option("--raw", is_flag=True, help=N_("Show the model's own text: neither cut where it is complete nor mended."))
@click.option(
    "--context", "folder", type=click.Path(path_type=Path), metavar="FOLDER",
    help=N_("Show the model what FILE uses of the repository in FOLDER."),
)  # fmt: skip
@click.option("--keep-prompt", is_flag=True, help=N_("Keep the prompt itself in the record, not only its SHA-256."))
@config_option
@store_option
@json_option
def command(  # one parameter an option: click calls it by name
    file: str | None,
    *,
    prompt: str | None,
    suffix: str | None,
    line: int | None,
    column: int | None,
    ref: str | None,
    guards_text: str,
    wants_provenance: bool | None,
    watermark_text: str,
    raw: bool,
    folder: Path | None,
    keep_prompt: bool,
    config_path: Path,
    store_path: Path | None,
    as_json: bool,
    **sampling: Any,
) -> None:
    """Complete FILE (`-`: the standard input) at its end or at a cursor, or the text of --prompt."""
    hole = read_hole(file, prompt, suffix=suffix, line=line, column=column)
    guards, mark = guards_of(guards_text), mark_of(watermark_text)
    hole, seen = guarded_hole(hole, file, guards)
    language, texts = language_of(hole, file), hole.texts
    given, more_seen = shown_with(file, texts, language, folder=folder, guards=guards)
    store, model = opened(config_path, store_path, ref)
    tuned = None if isinstance(model, Bundled) else model.tuned
    looked = tracing.index_of_model(store, tuned, wanted=wants_provenance) if store else None
    hole, fim = fillable(hole, model, store)
    finish, places = file is not None and not raw, given.places if given else ()
    told = Parameters(**warm(**sampling), fim=fim, finish=finish, context=places)
    written = complete(model, hole, told, Beside(given, mark))
    found, fired = let_out(finished(written, texts, language) if finish else written, hole.prefix, language, guards)
    logs = [logged([*seen, *more_seen, *more], mark) for more in fired]
    records = _records(Writing(model, hole, told, looked, language), found, logs)
    if store:
        write_records(store, records, hole if keep_prompt else None)
        keep(store, records, [item.text for item in found], tuned)
    _show(records, found, as_json=as_json)
    following(f"buril trace {records[0]['id'] if store else ref}")


class Writing(NamedTuple):
    """What completions were written of, with what, and the index of what the model has learnt."""

    model: InUse | Bundled
    hole: Hole
    told: Parameters
    looked: tracing.Looked | None
    language: str


def _records(of: Writing, found: Sequence[Completion], logs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A record for each completion: who wrote it, what guards did, where it is from."""
    return [
        record_of(of.model, of.hole, told=of.told, sample=number, found=item) | log
        | tracing.record_of(of.looked, item.text, of.language, of.hole.prefix)
        for number, (item, log) in enumerate(zip(found, logs, strict=True))
    ]  # fmt: skip


def _show(records: Sequence[dict[str, Any]], found: Sequence[Completion], *, as_json: bool) -> None:
    """Print completions, and where they are from."""
    tell(records, [item.text for item in found], as_json=as_json)
    if not as_json:
        tracing.tell_records(records)


class Beside(NamedTuple):
    """What a model is given beside the hole: pieces of other files, and what marks its tokens."""

    context: Context | None = None
    mark: Watermark | None = None


def warm(*, temperature: float | None, samples: int, **others: int) -> dict[str, Any]:
    """How it is sampled: at the temperature that is given, else 0, or one at which several samples differ."""
    usual = 0.0 if samples == 1 else SAMPLING_TEMPERATURE
    return {"temperature": usual if temperature is None else temperature, "samples": samples, **others}


# --- what to complete


def read_hole(
    file: str | None,
    prompt: str | None,
    *,
    suffix: str | None = None,
    line: int | None = None,
    column: int | None = None,
) -> Hole:
    """The place to complete, from what the command line says.

    Raises:
        BurilError: W220 for a file that can't be read, W221 for a cursor outside of it, W222 for other options.
    """
    if (file is None) == (prompt is None):
        raise BurilError("W222", problem=_("give either a FILE (`-` for the standard input) or `--prompt TEXT`"))
    if prompt is not None and (line or column):
        raise BurilError("W222", problem=_("`--line` and `--column` are places in a FILE"))
    if column and not line:
        raise BurilError("W222", problem=_("`--column` needs `--line`"))
    if line and suffix is not None:
        raise BurilError("W222", problem=_("either `--line` or `--suffix`: what follows the cursor is the suffix"))
    text = prompt if prompt is not None else _read(str(file))
    if line is None:
        return Hole(text, suffix)
    place = offset(text, line, column)
    return Hole(text[:place], text[place:])


def _read(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.buffer.read().decode("utf-8")
        return Path(file).read_bytes().decode("utf-8")
    except UnicodeDecodeError as problem:
        raise BurilError("W220", path=file, problem=_("it is not UTF-8")) from problem
    except OSError as problem:
        raise BurilError("W220", path=file, problem=problem.strerror or str(problem)) from problem


def offset(text: str, line: int, column: int | None) -> int:
    r"""The place of a cursor in a text, in characters; without a column the end of the line.

    Example:
        `offset("ab\ncd\n", 2, 2)` → 4

    Raises:
        BurilError: W221 when the text has no such place.
    """
    lines = text.split("\n")
    width = len(lines[line - 1].removesuffix("\r")) if line <= len(lines) else -1
    at = width if column is None else column - 1
    if not 0 <= at <= width:
        raise BurilError("W221", line=line, column=column or 1, lines=len(lines))
    return sum(len(item) + 1 for item in lines[: line - 1]) + at


# --- the guards


def guarded_hole(hole: Hole, file: str | None, guards: Sequence[Guard]) -> tuple[Hole, list[Fired]]:
    """The hole after the guards, and what fired: a FILE is the user's own, a prompt is what they say.

    Raises:
        BurilError: W240 for a refused request, W241 where a guard failed.
    """
    if not guards:
        return hole, []
    from buril.serve.guards import Piece

    language = language_of(hole, file)
    texts = [hole.prefix] if hole.suffix is None else [hole.prefix, hole.suffix]
    pieces = [Piece(text, "trusted" if file else "user", language, file or "") for text in texts]
    passed, fired = let_in(pieces, guards)
    return Hole(passed[0], passed[1] if hole.suffix is not None else None), fired


def language_of(hole: Hole, file: str | None) -> str:
    """The language of a file by its name and text, "" where it is unknown or there is none."""
    from buril.code.language import detect

    return detect(Path(file).name, hole.prefix) if file and file != "-" else ""


# --- the model


def fillable(hole: Hole, model: InUse | Bundled, store: Store | None) -> tuple[Hole, bool]:
    """The hole as the model can be asked to fill it, and whether it is told what follows."""
    fim = bool(hole.suffix) and knows_fim(model, store)
    if hole.suffix and not fim:
        say(_("this model knows no fill-in-the-middle: what follows the cursor is not used"))
        return Hole(hole.prefix), False
    return hole, fim


def complete(model: InUse | Bundled, hole: Hole, told: Parameters, beside: Beside | None = None) -> list[Completion]:
    """Load the model and write, with the context and the mark where there are any.

    Raises:
        BurilError: P002 when the packages for it are missing, T0xx when it can't be loaded, V311.
    """
    from buril.generators._generator import Request
    from buril.generators._local import Local

    generator, (given, mark) = open_model(model), beside or Beside()
    if mark:
        from buril.serve.watermark import marked

        marked(generator, mark)
    request = Request(
        hole.prefix,
        hole.suffix if told.fim else None,
        max_tokens=told.max_tokens,
        temperature=told.temperature,
        seed=told.seed,
        num_samples=told.samples,
    )
    if given is not None:
        assert isinstance(generator, Local)
        asked = request_with(generator, hole.texts, given, fim=told.fim, max_tokens=told.max_tokens)
        request = replace(request, prompt=asked.prompt, suffix=None, prefill=asked.prefill)
    completions: list[Completion] = next(generator.complete([request]))
    return completions
