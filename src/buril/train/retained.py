"""Retained: functions of ordinary code that a model is to go on writing as it did, put as the pairs are put.

What a preference spoils first is not how files begin but how functions do: a model that is taught guards puts one into
every function. So what stands beside a pair is a function of the training part, as a text or as the answer of a chat,
and what is kept is what the model would write from where its body begins: in the body as it is, or in one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from buril.code.codefile import CodeFile, read_rows
from buril.code.parse import HardParse, functions, parse

LEAST_BODY, MOST_BYTES = 40, 4000
"""Bytes of a body, and of a function, that is worth keeping: shorter ones have nothing to write."""
LEAST_TOKENS = 16
"""Tokens of a body for which there must be room."""
TRIES, STRIDE = 20, 37
"""Functions that are looked at for one that leaves room, and how far apart they are: the next pair has the next one."""
PER_FILE = 3
"""Functions of one file, at most, so that no file rules what is kept."""


class Piece(NamedTuple):
    """A piece of ordinary code.

    Attributes:
        ids: its tokens.
        row_id: of the row that it is from.
        begin: the first token that is kept as it was.
        language: of the function.
        room: tokens that the model may write behind it; 0 where nothing is to be written.
        ends: whether it is kept too that a text ends here.
    """

    ids: np.ndarray
    row_id: str
    begin: int
    language: str
    room: int = 0
    ends: bool = False


class Ordinary(NamedTuple):
    """A function: its row, its language, what a reader knows of it before its body, and the body."""

    row_id: str
    language: str
    head: str
    body: str


Asked = Callable[[Ordinary, int], tuple[list[int], list[int] | None]]
"""Puts a function into tokens: up to its body, and the body; None in its place where the model writes it."""


class Beside:
    """A function for each pair of a part; the same for the same pair each time.

    Args:
        shards: of the training part.
        languages: which are taken; all of them where none of the rows is in one of these.
        number: of different functions, at most; those that say what they do, in more than one line, come first.
        num_tokens: of a piece, at most: of a longer one the body's end is cut.
        seed: of which functions are taken.
    """

    def __init__(
        self, shards: Sequence[Path], languages: frozenset[str], *, number: int, num_tokens: int, seed: int
    ) -> None:
        found = list(_ordinary(shards, languages)) or list(_ordinary(shards, None))
        found = [one for one in found if len(one.head) <= num_tokens]  # in a chat the head stands twice
        drawn = np.random.Generator(np.random.PCG64([seed, len(found)])).permutation(len(found))
        chosen = sorted((found[int(place)] for place in drawn), key=lambda one: "\n" not in one.head.strip())
        self._functions = chosen[:number]
        self._num_tokens = num_tokens

    def __len__(self) -> int:
        return len(self._functions)

    def piece(self, index: int, put: Asked) -> Piece | None:
        """The piece beside a pair: of its function, or of the next whose head leaves room; None where there is none."""
        for step in range(min(TRIES, len(self._functions))):
            function = self._functions[(index + step * STRIDE) % len(self._functions)]
            head, body = put(function, index)
            room, least = max(0, self._num_tokens - len(head)), min(LEAST_TOKENS, self._num_tokens // 4)
            body, room = ([], room) if body is None else (body[:room], 0)
            if head and max(len(body), room) >= least:
                ids = np.array([*head, *body], dtype=np.int64)
                return Piece(ids, function.row_id, len(head), function.language, room)
        return None


def _ordinary(shards: Sequence[Path], languages: frozenset[str] | None) -> Iterator[Ordinary]:
    """The functions of some files, a few of each."""
    for shard in shards:
        for file in read_rows(shard):
            if languages is None or file.language in languages:
                yield from _of(file)


def _of(file: CodeFile) -> Iterator[Ordinary]:
    source, taken = file.content.encode("utf-8", "replace"), 0
    try:
        found = functions(parse(file.language, source, bounded=True), file.language)
    except HardParse:
        return
    for one in found:
        body = source[one.body_start_byte : one.end_byte]
        if taken == PER_FILE:
            return
        if len(body) < LEAST_BODY or one.end_byte - one.start_byte > MOST_BYTES:
            continue
        begin = source.rfind(b"\n", 0, one.start_byte) + 1
        texts = (part.decode("utf-8", "replace") for part in (source[begin : one.body_start_byte], body))
        yield Ordinary(file.row_id, file.language, next(texts), next(texts))
        taken += 1
