"""`buril provenance FILE|-`: which training files a text is from, and whether a policy lets it pass."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from buril.cli import common, tracing
from buril.core.errors import BurilError, GateFailed
from buril.core.text import N_, _

if TYPE_CHECKING:
    from buril.serve.provenance import Judgement, Policy, ProvenanceIndex


@click.command()
@click.argument("file")
@click.option(
    "--index", "folder", type=click.Path(path_type=Path),
    help=N_("Folder of an index (default: that of the latest run that has one)."),
)  # fmt: skip
@click.option("--language", default="", help=N_("The language of the text (default: by the file's name)."))
@click.option(
    "--licenses", metavar="NAMES",
    help=N_("Licences that are allowed, with commas between them; a longer copy of others ends with exit code 3."),
)  # fmt: skip
@click.option(
    "--verbatim-tokens", type=click.IntRange(min=4), default=60, show_default=True,
    help=N_("Tokens that may be the same as in code of another licence."),
)  # fmt: skip
@click.option(
    "--min-tokens", type=click.IntRange(min=4), default=20, show_default=True,
    help=N_("Tokens of the shortest verbatim span that is told."),
)  # fmt: skip
@click.option(
    "--max-files", type=click.IntRange(min=1), default=3, show_default=True,
    help=N_("Files that are told of each span, besides one of every further licence."),
)  # fmt: skip
@click.option(
    "--near-score", type=click.FloatRange(0, 1), default=0.5, show_default=True,
    help=N_("Share of a text's fingerprints from which a file is near it."),
)  # fmt: skip
@common.config_option
@common.store_option
@common.json_option
def command(  # one parameter an option: click calls it by name
    file: str,
    *,
    folder: Path | None,
    language: str,
    licenses: str | None,
    verbatim_tokens: int,
    min_tokens: int,
    max_files: int,
    near_score: float,
    config_path: Path,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Look up the text of FILE (`-`: the standard input) in what the model was trained on."""
    from buril.serve.provenance import Query, judge

    policy = policy_of(licenses, verbatim_tokens)
    text = read(file)
    index = _index(folder, config_path, store_path)
    query = Query(min_tokens=min_tokens, max_files=max_files, near_score=near_score)
    found = index.look_up(text, language or _detected(file, text), query=query)
    verdict = judge(found.matches, policy) if policy else None
    if as_json:
        judged = {"action": verdict.action, "citations": verdict.citations} if verdict else None
        common.put({**tracing.plain(found), "policy": judged})
    else:
        tracing.tell_matches(found.matches)
        told = _("{covered:.0%} of {tokens} tokens stand verbatim in the training set; {number} matches")
        common.say(told.format(covered=found.covered, tokens=found.tokens, number=len(found.matches)))
    stop(verdict)
    common.following(f"buril why {found.matches[0].row_id}" if found.matches else "buril trace model")


def policy_of(licenses: str | None, verbatim_tokens: int) -> Policy | None:
    """The policy that the options state; None without licences.

    Raises:
        BurilError: V206 for what is no licence.
    """
    from pydantic import ValidationError

    from buril.serve.provenance import Policy

    if licenses is None:
        return None
    names = tuple(name.strip() for name in licenses.split(",") if name.strip())
    try:
        return Policy(licenses=names, verbatim_tokens=verbatim_tokens, action="block")
    except ValidationError as problem:
        raise BurilError("V206", problem=problem.errors()[0]["msg"].removeprefix("Value error, ")) from problem


def stop(verdict: Judgement | None) -> None:
    """Fail where the policy blocks.

    Raises:
        GateFailed: V204.
    """
    if verdict and verdict.action == "block":
        raise GateFailed("V204", tokens=verdict.matches[0].tokens, source=verdict.citations[0])


def read(file: str) -> str:
    """A text; bytes that are no UTF-8 are read as unknown characters.

    Raises:
        BurilError: V205 when it can't be read.
    """
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as problem:
        raise BurilError("V205", path=file, problem=problem.strerror or str(problem)) from problem
    return data.decode("utf-8", "replace")


def _index(folder: Path | None, config_path: Path, store_path: Path | None) -> ProvenanceIndex:
    if folder is not None:
        return tracing.open_folder(folder)
    return tracing.opened(tracing.latest_index(common.open_store(config_path, store_path))).reader


def _detected(file: str, text: str) -> str:
    from buril.code.language import detect

    return "" if file == "-" else detect(Path(file).name, text)
