"""Repositories as documents: files in the order in which they build on one another, each after the others' text.

    <|repo_name|>acme/shop<|file_sep|>src/money.py⏎…<|file_sep|>src/cart.py⏎…

is what the base models that know these tokens were trained on (StarCoder2, Qwen2.5-Coder, DeepSeek-Coder). Where a
vocabulary has none of them a comment line names the path. A document holds as many files as fit a sequence; the next
one goes on with the files after them. Each token still belongs to the row of its file; the name of the repository
belongs to the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from buril.code.imports import Repository, in_order
from buril.code.language import language_of, languages
from buril.generators._encoder import Encoder
from buril.tokens.bins import Unit, size_of
from buril.tokens.fim import Sentinels
from buril.tokens.pieces import Piece

HEAD_TOKENS = 64
"""Tokens that the names of repository and file may take together; of longer ones the end is kept."""
_PAIRS = (("<|repo_name|>", "<|file_sep|>"), ("<repo_name>", "<file_sep>"), ("<reponame>", "<filename>"))


class Place(NamedTuple):
    """Where a piece's row stands, and what it imports."""

    repo: str
    path: str
    language: str
    imports: tuple[str, ...]


class Heads:
    """Writes what stands before a file in its repository.

    Args:
        encoder: the tokenizer; `kind` says whether it has tokens for this (`tokens`) or not (`comments`).
        room: tokens that a head may have at most.
    """

    def __init__(self, encoder: Encoder, room: int = HEAD_TOKENS) -> None:
        self._encoder, self._room = encoder, max(8, room)
        known = encoder.vocabulary
        found = next((pair for pair in _PAIRS if pair[0] in known and pair[1] in known), None)
        self._ids = (known[found[0]], known[found[1]]) if found else None
        self.kind = "tokens" if found else "comments"

    def of(self, place: Place, *, first: bool) -> list[int]:
        """The tokens before a file; before the `first` of a document also the repository's name."""
        room = self._room // 2 - 1
        if self._ids is None:
            opening, closing = _comment(place.language)
            told = f"{place.repo}: {place.path}" if first else place.path
            begin, end = self._encoder.encode_batch([opening, f"{closing}\n"])
            body = self._encoder.encode(told)
            return [*begin, *body[-max(1, self._room - len(begin) - len(end)) :], *end]
        repo, path = self._encoder.encode_batch([place.repo, f"{place.path}\n"])
        head = [self._ids[0], *repo[-room:]] if first else []
        return [*head, self._ids[1], *path[-room:]]


def _comment(language: str) -> tuple[str, str]:
    """What opens and closes a comment line of a language; `# ` where it has none or is not known."""
    facts = language_of(language) if language in languages() else None
    if facts is None or facts.line_comments:
        return (f"{facts.line_comments[0]} " if facts else "# "), ""
    opening, closing = facts.block_comments[0] if facts.block_comments else ("#", "")
    return f"{opening} ", f" {closing}" if closing else ""


def repositories(
    pieces: Iterable[tuple[Piece, Place]], heads: Heads, sentinels: Sentinels, max_length: int
) -> Iterator[Unit]:
    """The pieces of all repositories as documents of at most `max_length` tokens, repository by repository.

    They are held in memory, as training holds the packed file.
    """
    found: dict[str, dict[str, list[tuple[Piece, Place]]]] = {}
    for piece, place in pieces:
        found.setdefault(place.repo, {}).setdefault(place.path, []).append((piece, place))
    for repo in sorted(found):
        files = found[repo]
        known = Repository(files)
        needs = {path: _needs(known, held[0][1]) for path, held in files.items()}
        ordered = [item for path in in_order(sorted(files), needs) for item in files[path]]
        yield from _documents(ordered, heads, sentinels, max_length)


def _needs(known: Repository, place: Place) -> list[str]:
    return [path for name in place.imports for path in known.targets(place.language, place.path, name)]


def _documents(
    pieces: Sequence[tuple[Piece, Place]], heads: Heads, sentinels: Sentinels, max_length: int
) -> Iterator[Unit]:
    """Fill documents in the order of the files. A file's own text ends with EOS only where the document does."""
    bos = [] if sentinels.bos is None else [sentinels.bos]
    unit: list[Piece] = []
    for whole, place in pieces:
        bare = whole.part(len(bos), len(whole.input_ids))
        added = bare.after(heads.of(place, first=False))
        if unit and size_of(tuple(unit)) + len(added.input_ids) > max_length:
            yield tuple(unit)
            unit = []
        if unit:
            unit[-1] = _open(unit[-1], sentinels.eos)
        else:
            added = bare.after([*bos, *heads.of(place, first=True)])
        assert len(added.input_ids) <= max_length
        unit.append(added)
    if unit:
        yield tuple(unit)


def _open(piece: Piece, eos: int) -> Piece:
    """A piece that another follows: no EOS, but after a hole, which is where a model stops."""
    ends = piece.fim == "none" and piece.input_ids[-1] == eos
    return piece.part(0, len(piece.input_ids) - 1) if ends else piece
