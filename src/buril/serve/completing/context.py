"""Context: what of an open repository a prompt shows beside the edited file.

Definitions of the names that are used near the cursor come first, then lines elsewhere that share its words. They are
ordered by what they are and by path, not by score: so a prompt begins alike from one key to the next, and the engine
need not read it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from buril.code.imports import Repository, imports
from buril.code.language import languages
from buril.code.parse import HardParse, parse
from buril.serve.completing._words import identifiers, own
from buril.serve.completing.index import Index
from buril.serve.completing.snippet import Snippet
from buril.serve.completing.symbols import Symbol, symbols

STEADY_LINES = 4
"""Lines that are typed before context is looked for anew."""
NEAR_LINES, AFTER_LINES = 20, 8
"""Lines before and after the cursor whose words are looked for."""
MOST_NAMES, MOST_FILES_A_NAME, MOST_PARSED = 24, 4, 4
"""Names looked up, files that may define one, and files that a query parses at most (their symbols are remembered)."""
MOST_SIGNATURES = 12
LEAST_MATCHED = 3
"""Terms that a window must share: fewer are chance."""
_SAME_SHARE = 0.6
_IMPORT_CHARS = 8_000


@dataclass(frozen=True)
class Around:
    """The edited file: its path in the repository, its language, what stands before and after the cursor."""

    path: str
    language: str
    prefix: str
    suffix: str = ""

    @property
    def near(self) -> str:
        """The lines around the cursor."""
        before = self.prefix.rsplit("\n", NEAR_LINES)[-NEAR_LINES:]
        return "\n".join([*before, *self.suffix.split("\n", AFTER_LINES)[:AFTER_LINES]])


def steady(around: Around, step: int = STEADY_LINES) -> Around:
    """The same file with the cursor moved back to a line that is a multiple of `step` from its beginning.

    What is looked for there stays what it is while these lines are typed, and with it the beginning of the prompt. A
    `step` of 0 leaves the cursor where it is.
    """
    if not step:
        return around
    lines = around.prefix.split("\n")
    kept = lines[: len(lines) - 1 - (len(lines) - 1) % step]
    return replace(around, prefix="".join(f"{line}\n" for line in kept))


def context(index: Index, around: Around, *, most: int = 6) -> list[Snippet]:
    """At most `most` snippets for a cursor, in the order in which a prompt should show them.

    The edited file itself gives none, and nothing is shown twice: lines around a definition that is shown are left out.
    """
    found = _definitions(index, around)[: max(1, most // 2)]
    known = _lines(around.prefix) | _lines(around.suffix)
    known |= {line for snippet in found for line in _lines(snippet.text)}
    similar: list[Snippet] = []
    for hit in index.search(around.near, most=2 * most, without=(around.path,)):
        text = index.text_of(hit.window).strip("\n")
        lines = _lines(text)
        if len(found) + len(similar) >= most or hit.matched < LEAST_MATCHED:
            break
        told = any(item.path == hit.window.path and _lines(item.text) <= lines for item in found)
        if told or not lines or len(lines & known) > _SAME_SHARE * len(lines):
            continue
        known |= lines
        language = index.files[hit.window.path].language
        similar.append(Snippet(hit.window.path, text, language, "similar", hit.window.start + 1))
    return [*found, *sorted(similar, key=lambda item: (item.path, item.line))]


def _lines(text: str) -> set[str]:
    """The lines of a text that say something."""
    return {line for line in map(str.strip, text.split("\n")) if len(line) > 3}


def _definitions(index: Index, around: Around) -> list[Snippet]:
    """The signatures of what is used near the cursor, a snippet a file, by path."""
    names = own(identifiers(around.near)[::-1], around.language)
    here = index.files.get(around.path)
    wanted = [name for name in names if here is None or name not in here.defines][:MOST_NAMES]
    imported = _imported(index, around)
    places: dict[str, list[str]] = {}
    for name in wanted:
        paths = [path for path in index.defining(name) if path != around.path]
        near = [path for path in paths if path in imported] or paths
        for path in near if len(near) <= MOST_FILES_A_NAME else []:
            places.setdefault(path, []).append(name)
    ordered = sorted(places, key=lambda path: (path not in imported, -len(places[path]), path))[:MOST_PARSED]
    found = [_signatures(index, path, places[path]) for path in ordered]
    return sorted(filter(None, found), key=lambda item: item.path)


def _signatures(index: Index, path: str, names: Iterable[str]) -> Snippet | None:
    held, wanted = index.files[path], frozenset(names)
    kept: list[Symbol] = [item for item in symbols(held.text, held.language) if item.name in wanted][:MOST_SIGNATURES]
    if not kept:
        return None
    text = "\n".join(dict.fromkeys(item.signature for item in kept))
    return Snippet(path, text, held.language, "definitions", kept[0].line + 1)


def _imported(index: Index, around: Around) -> frozenset[str]:
    """The files of the repository that the edited one imports, as far as its head says."""
    found = set()
    repository = _repository(tuple(index.files))
    for name in _imports(around.prefix[:_IMPORT_CHARS], around.language):
        found.update(repository.targets(around.language, around.path, name))
    return frozenset(found)


@lru_cache(maxsize=4)
def _repository(paths: Sequence[str]) -> Repository:
    return Repository(paths)


@lru_cache(maxsize=64)
def _imports(head: str, language: str) -> tuple[str, ...]:
    if language not in languages():
        return ()
    try:
        return tuple(imports(language, parse(language, head.encode("utf-8", "replace"))))
    except HardParse:
        return ()
