"""Repositories as documents: files in the order in which they build on one another, each after the others' text.

    <|repo_name|>acme/shop<|file_sep|>src/money.py⏎…<|file_sep|>src/cart.py⏎…

is what the base models that know these tokens were trained on (StarCoder2, Qwen2.5-Coder, DeepSeek-Coder). Where a
vocabulary has none of them a comment line names the path. A document holds as many files as fit a sequence; the next
one goes on with the files after them. Each token still belongs to the row of its file; the name of the repository
belongs to the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from buril.code.imports import Repository, in_order
from buril.generators._heads import HEAD_TOKENS, Heads, Place
from buril.tokens.bins import Unit, size_of
from buril.tokens.fim import Sentinels
from buril.tokens.pieces import Piece

__all__ = ["HEAD_TOKENS", "Heads", "Place", "repositories"]


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
