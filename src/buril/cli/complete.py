"""`buril complete`: code from the trained model on stdout, and a record of it that `buril trace` can walk from."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli.common import config_option, following, json_option, open_store, put, say, store_option
from buril.cli.guarding import DEFAULT, guards_of, let_in, let_out
from buril.cli.marking import keep, mark_of
from buril.core.artifact import Artifact, Link, atomic, canonical
from buril.core.errors import BurilError
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.core.store import Store
    from buril.generators._generator import Completion, Generator
    from buril.serve.guards import Fired, Guard
    from buril.serve.watermark import Watermark

ID_CHARS = 12
SAMPLING_TEMPERATURE = 0.8
"""The temperature of several samples where none is given: at 0 they would all be the same."""
STORED = ("base", "tokenizer", "train", "align")
TUNED = ("align", "train")
"""Stages that make a tuned model, the one that goes on from the other first."""


@dataclass(frozen=True)
class Hole:
    """Where code is wanted: after `prefix` and, where there is one, before `suffix`."""

    prefix: str
    suffix: str | None = None


@dataclass(frozen=True)
class InUse:
    """The artifacts of the model that completes; `train` is None for the base as it came."""

    base: Artifact
    tokenizer: Artifact
    tuned: Artifact | None

    def links(self) -> dict[str, Link]:
        """How a record names them."""
        found = {"base": self.base.link, "tokenizer": self.tokenizer.link}
        return {**found, self.tuned.manifest.stage: self.tuned.link} if self.tuned else found


@dataclass(frozen=True)
class Parameters:
    """What the model was asked for."""

    max_tokens: int
    temperature: float
    samples: int
    seed: int
    fim: bool


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
    "--model", "ref", metavar="REF", help=N_("`base`, a name or run, or a `train` artifact (default: the latest).")
)
@click.option(
    "--guards", "guards_text", metavar="NAMES", default=DEFAULT, show_default=True,
    help=N_("Guards that look at the prompt and at what is written, in this order; `none` for none."),
)  # fmt: skip
@click.option(
    "--watermark", "watermark_text", metavar="YAML", default="off", show_default=True,
    help=N_("Mark the text so that it can be found again: `on`, or settings such as `{delta: 2}`."),
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
    max_tokens: int,
    temperature: float | None,
    samples: int,
    seed: int,
    ref: str | None,
    guards_text: str,
    watermark_text: str,
    keep_prompt: bool,
    config_path: Path,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Complete FILE (`-`: the standard input) at its end or at a cursor, or the text of --prompt."""
    hole = read_hole(file, prompt, suffix=suffix, line=line, column=column)
    guards, mark = guards_of(guards_text), mark_of(watermark_text)
    hole, seen = guarded_hole(hole, file, guards)
    store = open_store(config_path, store_path)
    model = model_in_use(store, ref)
    fim = bool(hole.suffix) and knows_fim(model, store)
    if hole.suffix and not fim:
        say(_("this model knows no fill-in-the-middle: what follows the cursor is not used"))
        hole = Hole(hole.prefix)
    told = Parameters(max_tokens, warmth(temperature, samples), samples, seed, fim)
    found, fired = let_out(complete(model, hole, told, mark), hole.prefix, language_of(hole, file), guards)
    records = [record_of(model, hole, told=told, sample=number, found=item) for number, item in enumerate(found)]
    records = [record | logged([*seen, *more], mark) for record, more in zip(records, fired, strict=True)]
    write_records(store, records, hole if keep_prompt else None)
    keep(store, records, [item.text for item in found], model.tuned)
    if as_json:
        put([{**record, "text": item.text} for record, item in zip(records, found, strict=True)])
    else:
        _print([item.text for item in found])
        say(_("completion {ids}").format(ids=", ".join(record["id"] for record in records)))
    following(f"buril trace {records[0]['id']}")


def warmth(temperature: float | None, samples: int) -> float:
    """The temperature that is used: the one given, else 0, or one at which several samples differ."""
    return temperature if temperature is not None else 0.0 if samples == 1 else SAMPLING_TEMPERATURE


def _print(texts: list[str]) -> None:
    for number, text in enumerate(texts):
        if number:
            click.echo("-" * 8)
        click.echo(text, nl=not text.endswith("\n"))
    sys.stdout.flush()


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


def logged(fired: Sequence[Fired], mark: Watermark | None = None) -> dict[str, Any]:
    """What a record keeps of the guards that fired and of the watermark: nothing where there are none."""
    guards = {"guards": [item.record() for item in fired]} if fired else {}
    return {**guards, **({"watermark": mark.record()} if mark else {})}


# --- the model


def model_in_use(store: Store, ref: str | None) -> InUse:
    """The model of a reference: `base`, a name or run, a `train` artifact; without one the latest that was trained.

    Raises:
        BurilError: S007 when nothing was trained yet, S001 when the store does not hold what the reference needs.
    """
    if ref == "base":
        base, tokenizer = (latest(store, stage) for stage in ("base", "tokenizer"))
        return InUse(base, tokenizer, None)
    tuned = latest(store, *TUNED) if ref is None else _trained(store, ref)
    found = {name: store.linked(link) for name, link in tuned.manifest.inputs.items() if name in STORED}
    base_or_none, tokenizer_or_none = found.get("base"), found.get("tokenizer")
    if base_or_none is None or tokenizer_or_none is None:  # removed from the store since
        raise BurilError("S007", stage="tokenizer" if base_or_none else "base")
    return InUse(base_or_none, tokenizer_or_none, tuned)


def latest(store: Store, *stages: str) -> Artifact:
    """The artifact of a stage, or of the first of several, in the latest run that has one."""
    for links in store.refs().values():
        found = (store.linked(links[stage]) for stage in stages if stage in links)
        artifact = next((item for item in found if item), None)
        if artifact:
            return artifact
    raise BurilError("S007", stage=stages[-1])


def _trained(store: Store, ref: str) -> Artifact:
    try:
        chain = store.chain(ref)
    except BurilError as problem:
        if problem.code != "S001":
            raise
        artifact = store.resolve(ref)
        if artifact.manifest.stage not in TUNED:
            raise BurilError("S001", ref=ref) from problem
        return artifact
    found = next((chain[stage] for stage in TUNED if stage in chain), None)
    if found is None:
        raise BurilError("S007", stage="train")
    return found


def knows_fim(model: InUse, store: Store) -> bool:
    """Whether the model was taught to fill in the middle: it has the sentinels, and has seen them used."""
    if model.tokenizer.json("fim.json").get("prefix") is None:
        return False
    if model.base.json("base.json").get("fim") and model.base.json("base.json").get("kind") != "scratch":
        return True
    link = model.tuned.manifest.inputs.get("pack") if model.tuned else None
    pack = store.linked(link) if link else None
    return bool(pack and pack.manifest.settings.get("fim_rate"))


def open_model(model: InUse) -> Generator:
    """Load a model.

    Raises:
        BurilError: P002 when the packages for it are missing, T0xx when it can't be loaded.
    """
    from buril.core.plugins import plugin

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # stderr is for what concerns the user
    found = plugin("generator", "transformers")
    generator: Generator = found(found.Settings())
    folders = {name: model.tuned.path(name) for name in ("adapter", "model")} if model.tuned else {}
    there = {f"{name}_dir": path for name, path in folders.items() if path.is_dir()}
    generator.open(model.base.folder, model.tokenizer.folder, **there)
    return generator


def complete(model: InUse, hole: Hole, told: Parameters, mark: Watermark | None = None) -> list[Completion]:
    """Load the model and write.

    Raises:
        BurilError: P002 when the packages for it are missing, T0xx when it can't be loaded, V311.
    """
    from buril.generators._generator import Request

    generator = open_model(model)
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
    completions: list[Completion] = next(generator.complete([request]))
    return completions


# --- the record


def record_of(model: InUse, hole: Hole, *, told: Parameters, sample: int, found: Completion) -> dict[str, Any]:
    """What is kept of a completion: which model wrote it and how, and of the texts their SHA-256s alone.

    The id is a hash of all that but the time, so the same completion has the same id.
    """
    content: dict[str, Any] = {
        "model": {name: asdict(link) for name, link in model.links().items()},
        "parameters": {**asdict(told), "sample": sample},
        "prompt_sha256": _sha256(hole.prefix),
        "suffix_sha256": _sha256(hole.suffix) if hole.suffix else None,
        "text_sha256": _sha256(found.text),
        "num_tokens": len(found.tokens),
        "finish_reason": found.finish_reason,
    }
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"id": hashlib.sha256(canonical(content)).hexdigest()[:ID_CHARS], "created": now, **content}


def write_records(store: Store, records: Sequence[dict[str, Any]], asked: Hole | None) -> None:
    """Write some records, with the text around the hole where that is to be kept.

    Raises:
        BurilError: S003 when the store can't be written.
    """
    kept = {"prompt": asked.prefix, "suffix": asked.suffix} if asked else {}
    for record in records:
        write_record(store, {**record, **kept})


def write_record(store: Store, record: dict[str, Any]) -> None:
    """Write `completions/<id>.json`.

    Raises:
        BurilError: S003 when the store can't be written.
    """
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    try:
        with atomic(store.root / "completions" / f"{record['id']}.json") as path:
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
    except OSError as problem:
        raise BurilError("S003", path=store.root, problem=problem.strerror or str(problem)) from problem


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
