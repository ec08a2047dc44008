"""What `buril complete` does beside the model: the context it is given, and what becomes of what it writes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buril.cli.common import put, say
from buril.cli.guarding import let_in
from buril.core.errors import BurilError
from buril.core.text import _
from buril.generators._generator import Completion

if TYPE_CHECKING:
    from buril.generators._generator import Request
    from buril.generators._local import Local
    from buril.serve.completing import Snippet
    from buril.serve.guards import Fired, Guard

VERSION = 1
"""Of what is done to a text; a record names it."""


@dataclass(frozen=True)
class Context:
    """What a repository gave for a place, ready for a prompt."""

    path: str
    repo: str
    language: str
    snippets: tuple[Snippet, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """What a record keeps of it: where the pieces stand; no text."""
        return tuple(f"{item.path}:{item.line}" for item in self.snippets)


def context_of(
    folder: Path, file: str, texts: tuple[str, str], *, language: str, guards: Sequence[Guard]
) -> tuple[Context, list[Fired]]:
    """What the files of a folder give for a place in one of them, after the guards, and what fired.

    Raises:
        BurilError: V600 where the folder is none, W240 for a refused request, W241 where a guard failed.
    """
    from buril.serve.completing import Around, Index, context
    from buril.serve.guards import Piece

    index = Index.of(folder)
    path = _within(folder, file)
    found = context(index, Around(path, language, *texts))
    if not guards or not found:
        return Context(path, folder.resolve().name, language, tuple(found)), []
    pieces = [Piece(item.text, item.origin, item.language, item.path) for item in found]
    passed, fired = let_in(pieces, guards)
    left = [item._replace(text=text) for item, text in zip(found, passed, strict=True) if text.strip()]
    return Context(path, folder.resolve().name, language, tuple(left)), fired


def _within(folder: Path, file: str) -> str:
    """A file's path in a folder; its name alone where it is outside of it."""
    place = Path(file).resolve()
    try:
        return place.relative_to(folder.resolve()).as_posix()
    except ValueError:
        return place.name


def request_with(generator: Local, texts: tuple[str, str], given: Context, *, fim: bool, max_tokens: int) -> Request:
    """What a generator is asked where a prompt shows other files.

    Raises:
        BurilError: V601 where the model's window has no room for a prompt.
    """
    from buril.serve.completing import Around, Tokens, prompt

    loaded = generator.loaded
    window = int(getattr(loaded.model.config, "max_position_embeddings", 0) or 1 << 20)
    tokens = Tokens(loaded.encoder, loaded.fim, window, uses_fim=fim)
    around = Around(given.path, given.language, *texts)
    found = prompt(tokens, around, given.snippets, max_tokens=max_tokens, repo=given.repo)
    if found.snippets < len(given.snippets):
        say(_("{shown} of {number} pieces of context fit").format(shown=found.snippets, number=len(given.snippets)))
    return found.request(max_tokens=max_tokens)


def shown_with(
    file: str | None, texts: tuple[str, str], language: str, *, folder: Path | None, guards: Sequence[Guard]
) -> tuple[Context | None, list[Fired]]:
    """The context of a FILE where a folder was named for it, and what fired; a prompt by itself has none.

    Raises:
        BurilError: V600, W222 without a FILE, W240, W241.
    """
    if folder is None:
        return None, []
    if file is None or file == "-":
        raise BurilError("W222", problem=_("`--context` needs a FILE"))
    return context_of(folder, file, texts, language=language, guards=guards)


@dataclass(frozen=True)
class Shown(Completion):
    """A completion as it is shown, with what was done to it, by name."""

    reasons: tuple[str, ...] = field(default=())

    def record(self) -> dict[str, Any]:
        """What a record keeps of it."""
        return {"finishing": {"version": VERSION, "reasons": list(self.reasons)}}


def finished(found: Sequence[Completion], texts: tuple[str, str], language: str) -> list[Completion]:
    """The completions as they are shown, the best first; where there is nothing to show, that is said on stderr."""
    from buril.serve.completing import Candidate, Cursor, completed, rank

    cursor = Cursor(*texts, language)
    told = [completed(cursor, item.text) for item in found]
    pairs = zip(told, found, strict=True)
    order = rank(cursor, [Candidate(one.text, item.logprob, len(item.tokens)) for one, item in pairs])
    order += [number for number in range(len(found)) if number not in order]
    for one in told:
        if not one.shown:
            why = ", ".join(one.reasons)
            say(_("nothing to show ({reasons}); `--raw` shows what was written").format(reasons=why))
    return [
        Shown(**{**_held(found[number]), "text": told[number].text}, reasons=told[number].reasons) for number in order
    ]


def _held(item: Completion) -> dict[str, Any]:
    return {entry.name: getattr(item, entry.name) for entry in fields(item)}


def tell(records: Sequence[Mapping[str, Any]], texts: Sequence[str], *, as_json: bool) -> None:
    """Print completions: as JSON with their records, else the texts with a line between them, and ids on stderr."""
    if as_json:
        put([{**record, "text": text} for record, text in zip(records, texts, strict=True)])
        return
    for number, text in enumerate(texts):
        if number:
            click.echo("-" * 8)
        click.echo(text, nl=not text.endswith("\n"))
    sys.stdout.flush()
    say(_("completion {ids}").format(ids=", ".join(record["id"] for record in records)))
