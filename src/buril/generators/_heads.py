"""Heads: what stands before a file of a repository, in training and where a prompt shows files of one alike.

    <|repo_name|>acme/shop<|file_sep|>src/money.py⏎…<|file_sep|>src/cart.py⏎…

is what the base models that know these tokens were trained on (StarCoder2, Qwen2.5-Coder, DeepSeek-Coder). Where a
vocabulary has none of them a comment line names the path.
"""

from __future__ import annotations

from typing import NamedTuple

from buril.code.language import language_of, languages
from buril.generators._encoder import Encoder

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
