"""`buril watermark`: was this code written by a model of this store? The ledger is asked first, then the watermark."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from buril.cli import common
from buril.cli.looking import added_pieces, committed, heading, looked, named, root, row
from buril.cli.marking import ledger_of, watermark_asked
from buril.core.errors import BurilError
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.cli.bundle import Bundled
    from buril.cli.in_use import InUse
    from buril.cli.looking import Seen, Text
    from buril.core.store import Store
    from buril.serve.ledger import Ledger, Match
    from buril.serve.watermark import Settings, Verdict

IDS = 3
"""Completions that a trailer names."""
TRAILER = "AI-Generated-By"


@click.group()
def command() -> None:
    """Find written code again, and name it in commits."""


@command.command("check")
@click.argument("files", nargs=-1)
@click.option("--commit", "commits", multiple=True, metavar="REV", help=N_("What a commit or a range (A..B) added."))
@click.option(
    "--watermark", "watermark_text", metavar="YAML",
    help=N_("The settings that the texts were marked with: `on`, `off`, or `{delta: 2}` (default: `serve.watermark` of "
            "the configuration, else `on`)."),
)  # fmt: skip
@click.option(
    "--entropies", is_flag=True, help=N_("Load the model and score only where it was unsure: finds far more.")
)
@click.option(
    "--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.01, show_default=True,
    help=N_("Chance of calling an unmarked text marked."),
)  # fmt: skip
@click.option("--model", "ref", metavar="REF", help=N_("Whose tokens to read the texts in, as in `buril complete`."))
@common.config_option
@common.store_option
@common.json_option
def check_command(
    files: tuple[str, ...], commits: tuple[str, ...], watermark_text: str | None, entropies: bool, alpha: float,
    ref: str | None, config_path: Path, store_path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Look at FILES (folders too; `-`: the standard input), or at what a commit added.

    The ledger is asked about each; the watermark is looked for in all of them together.
    """
    if not files and not commits:
        raise BurilError("W222", problem=_("give files, `-`, or `--commit REV`"))
    texts = [*(item for name in files for item in named(name)), *(item for name in commits for item in committed(name))]
    store = common.open_store(config_path, store_path)
    ledger = ledger_of(store)
    seen = [looked(ledger, text) for text in texts]
    settings = watermark_asked(watermark_text, config_path)
    verdict, why = _tested(store, texts, settings, _How(entropies, alpha, ref)) if settings else (None, _("it is off"))
    if as_json:
        told = verdict.record() if verdict else None
        lines = {
            "lines": sum(item.lines.lines for item in seen),
            "generated": sum(item.lines.generated for item in seen),
        }
        common.put({"texts": [item.record() for item in seen], **lines, "watermark": told, "not_tested": why})
    else:
        _tell(seen, verdict, why)
    common.following("buril ledger verify")


# --- the watermark


@dataclass(frozen=True)
class _How:
    """How the watermark is looked for."""

    entropies: bool
    alpha: float
    ref: str | None


def _tested(store: Store, texts: Sequence[Text], settings: Settings, how: _How) -> tuple[Verdict | None, str]:
    """What the test says of all texts together, or why it was not made."""
    from buril.cli.in_use import open_model
    from buril.generators._encoder import Encoder
    from buril.serve.watermark import pooled
    from buril.serve.watermark.detect import encoded

    try:
        green = settings.green()
        model = _model_of(store, how.ref)
        generator = open_model(model) if how.entropies else None
        encode = generator.encode if generator else Encoder(_tokenizer_of(model)).encode
    except BurilError as problem:
        if problem.code not in ("V310", "S007", "P002"):
            raise
        return None, problem.cause
    parts = [part for text in texts for part in text.parts]
    scored = encoded(parts, encode, getattr(generator, "entropies", None))
    threshold = settings.entropy if how.entropies else 0.0
    return pooled(scored, green, threshold=threshold, alpha=how.alpha), ""


def _model_of(store: Store, ref: str | None) -> InUse | Bundled:
    """The model of a reference, or of a bundle's folder.

    Raises:
        BurilError: as `model_in_use`, V100 to V103 for a damaged bundle.
    """
    from buril.cli.bundle import Bundled, bundle_at
    from buril.cli.in_use import model_in_use

    if folder := bundle_at(ref):
        from buril.generators._bundle import read_bundle

        return Bundled(read_bundle(folder))
    return model_in_use(store, ref)


def _tokenizer_of(model: InUse | Bundled) -> Path:
    """The folder of a model's tokenizer."""
    from buril.cli.bundle import Bundled

    if not isinstance(model, Bundled):
        return model.tokenizer.folder
    bundle = model.bundle
    folders = [told.folders["tokenizer_dir"] for name in bundle.engines() if (told := bundle.opening(name))]
    return folders[0]  # a bundle that nothing can open is none


def _tell(seen: Sequence[Seen], verdict: Verdict | None, why: str) -> None:
    """A row for each text, of folders for those alone of which something is known; then what the test says."""
    shown = [item for item in seen if item.matches or item.lines.pieces or not item.text.of_folder]
    if shown:
        click.echo(heading())
    for item in shown:
        click.echo(row(item))
    lines, generated = (sum(getattr(item.lines, name) for item in seen) for name in ("lines", "generated"))
    told = _("lines that a model wrote: {generated} of {lines}, in {known} of {texts} texts")
    click.echo(told.format(generated=generated, lines=lines, known=sum(item.known for item in seen), texts=len(seen)))
    if verdict is None:
        click.echo(_("watermark: not tested: {why}").format(why=why))
    else:
        told = _("watermark: {answer}: {green} of {scored} scored tokens are green, z {z:.2f}, p {p:.2g}")
        answer = _("found") if verdict.found else _("not found")
        click.echo(told.format(answer=answer, **{n: getattr(verdict, n) for n in ("green", "scored", "z", "p")}))
        click.echo(_("a mark would be found in {power:.0%} of texts of this length").format(power=verdict.power))
    if not any(item.known for item in seen) and not (verdict and verdict.found):
        click.echo(_("unknown: that is no proof that a person wrote it"))


# --- trailers


@command.command("trailer")
@click.option("--since", default="HEAD", show_default=True, metavar="REV", help=N_("What the index adds to REV."))
@click.option(
    "--message", type=click.Path(path_type=Path), help=N_("Add the lines to this commit message; it never fails.")
)
@click.option("--install", is_flag=True, help=N_("Make git do so at every commit: a prepare-commit-msg hook."))
@common.config_option
@common.store_option
@common.json_option
def trailer_command(
    since: str, message: Path | None, install: bool, config_path: Path, store_path: Path | None, as_json: bool
) -> None:
    """Print the trailers of what is staged: a line for each model that wrote some of it; nothing where none did."""
    folder = common.store_folder(config_path, store_path)
    if install:
        click.echo(_install(folder))
        common.following("git commit")
        return
    try:
        store = common.open_store(config_path, store_path)
        found = _trailers(ledger_of(store), since)
        if message:
            from buril.gate import git

            git.add_trailers(root(), message, found)
    except (BurilError, OSError) as problem:
        if message is None:
            raise
        common.say(_("no trailer: {problem}").format(problem=getattr(problem, "cause", problem)))
        return
    if as_json:
        common.put(found)
    elif not message:
        for line in found:
            click.echo(line)


def _trailers(ledger: Ledger, since: str) -> list[str]:
    """One line for each model, with the completions of which most was staged."""
    from buril.gate import git
    from buril.serve._ledger.lines import model_name

    top = root()
    matches: dict[str, Match] = {}
    for path, file in git.staged(top, since).items():
        text = git.staged_content(top, path).decode("utf-8", "replace")
        for item in added_pieces(path, text, file.lines):
            for match in looked(ledger, item).matches:
                matches.setdefault(match.id, match)
    models: dict[str, list[Match]] = {}
    for match in sorted(matches.values(), key=lambda match: (-match.share, match.id)):
        models.setdefault(model_name(match.model), []).append(match)
    return [
        f"{TRAILER}: buril model={model} ledger={','.join(match.id for match in found[:IDS])}"
        for model, found in sorted(models.items())
    ]


HOOK = """#!/bin/sh
# Written by `buril watermark trailer --install`: names generated code in the message. It never stops a commit.
[ "$2" = merge ] && exit 0
"{python}" -m buril watermark trailer --store "{store}" --message "$1" || true
exit 0
"""


def _install(store: Path) -> Path:
    """Write the hook.

    Raises:
        BurilError: V312 where there is another, W236 where it can't be written.
    """
    import subprocess

    told = ["git", "-C", str(root()), "rev-parse", "--git-path", "hooks"]
    said = subprocess.run(told, capture_output=True, text=True, check=True)  # noqa: S603  fixed words
    path = root() / said.stdout.strip() / "prepare-commit-msg"
    text = HOOK.format(python=sys.executable, store=store.resolve())
    try:
        if path.exists() and "buril watermark trailer" not in path.read_text("utf-8", "replace"):
            raise BurilError("V312", path=path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(path.stat().st_mode | 0o111 & ~os.umask(os.umask(0o022)))
    except OSError as problem:
        raise BurilError("W236", path=path, problem=problem.strerror or str(problem)) from problem
    return path
