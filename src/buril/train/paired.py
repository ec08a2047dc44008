"""Pairs as the loop reads them: both texts of a pair one after the other in one sequence, with ordinary code behind.

A sequence holds two documents that do not see each other, the secure text and the vulnerable one, and a function of
ordinary code that the model is to go on writing as before. So each sequence is a whole of its own, and a step is the
same however it is split into micro-batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from buril.core.errors import BurilError
from buril.generators._changed import changed_places, shared_length
from buril.train.batch import Packed, PackedFile
from buril.train.retained import Ordinary, Piece

ASKED = (
    "Finish this {language} code:\n\n{code}", "Write the rest.\n\n{code}", "Termina esta función.\n\n{code}",
    "{code}\n\nThe body is missing. Please write it in {language}.", "Implement what is described here.\n{code}",
)  # fmt: skip
"""How a user may ask for the rest of a text; several, so that no wording is what is learnt."""


class Written(NamedTuple):
    """Both texts of a pair as tokens."""

    pair_id: str
    cwe: str
    secure: list[int]
    vulnerable: list[int]


@dataclass(frozen=True)
class PairSequence(Packed):
    """A pair, and what is kept beside it.

    All places are of the sequence, and of the token *before* the one that is scored: hidden states, not targets.

    Attributes:
        part: the part of the pairs that it is of, `train` say: with `index` its name.
        changed: places of the tokens of each side that the other has not.
        answer: places of all tokens of each side from where the two part.
        near: places of what is to stay as it was: what the texts begin with, and the ordinary code.
    """

    part: str = ""
    changed: tuple[np.ndarray, np.ndarray] = field(default=(np.zeros(0, np.int64),) * 2)
    answer: tuple[np.ndarray, np.ndarray] = field(default=(np.zeros(0, np.int64),) * 2)
    near: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


class PairFile(PackedFile):
    """Pairs of one part in memory, read as packed sequences are."""

    def __init__(self, part: str, pairs: Sequence[Written], pieces: Sequence[Piece | None]) -> None:
        # nothing of a packed file is read: these are made
        self.part = part
        self._pairs = pairs
        self.lay(pieces)

    def lay(self, pieces: Sequence[Piece | None]) -> None:
        """Put ordinary code beside the pairs, a piece each."""
        self.pieces = pieces
        self._sequences = [
            sequence_of(index, self.part, pair, piece)
            for index, (pair, piece) in enumerate(zip(self._pairs, pieces, strict=True))
        ]
        self.num_tokens = sum(len(sequence.input_ids) for sequence in self._sequences)
        self.largest_token = max((int(sequence.input_ids.max()) for sequence in self._sequences), default=0)

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> PairSequence:
        return self._sequences[index]

    def cwe(self, index: int) -> str:
        """The weakness of a pair."""
        return self._pairs[index].cwe

    def pair_id(self, index: int) -> str:
        """The name of a pair."""
        return self._pairs[index].pair_id


def sequence_of(index: int, part: str, pair: Written, piece: Piece | None) -> PairSequence:
    """The sequence of a pair."""
    secure, vulnerable = changed_places(pair.secure, pair.vulnerable)
    shift = len(pair.secure)
    ids = [np.array(pair.secure), np.array(pair.vulnerable)]
    lengths, row_ids, row_lengths = [shift, len(pair.vulnerable)], [pair.pair_id] * 2, [shift, len(pair.vulnerable)]
    first = min(secure[0], vulnerable[0])
    near = [np.arange(first - 1)]
    if piece is not None:
        near.append(shift + len(pair.vulnerable) + np.arange(piece.begin - 1, len(piece.ids) - (not piece.ends)))
        ids.append(piece.ids)
        lengths.append(len(piece.ids))
        row_ids.append(piece.row_id)
        row_lengths.append(len(piece.ids))
    return PairSequence(
        index, np.concatenate(ids).astype(np.int64), tuple(lengths), tuple(row_ids), tuple(row_lengths), part=part,
        changed=(secure - 1, vulnerable - 1 + shift),
        answer=(np.arange(first, shift) - 1, np.arange(first, len(pair.vulnerable)) - 1 + shift),
        near=np.concatenate(near),
    )  # fmt: skip


def written(
    rows: Sequence[dict[str, Any]], encode: Callable[[dict[str, Any], int], tuple[list[int], list[int]]], most: int
) -> tuple[list[Written], int]:
    """Pairs as tokens, and how many were left out because they do not fit.

    Args:
        rows: of pairs.
        encode: a pair and its place to the tokens of both texts, from their beginning.
        most: tokens of a text; of a longer one the beginning that both share is cut.
    """
    found, left_out = [], 0
    for place, row in enumerate(rows):
        secure, vulnerable = encode(row, place)
        over = max(len(secure), len(vulnerable)) - most
        if over > 0:
            shared = shared_length(secure, vulnerable)
            if over >= shared:
                left_out += 1
                continue
            secure, vulnerable = secure[over:], vulnerable[over:]
        if min(len(secure), len(vulnerable)) < 2 or secure == vulnerable:
            left_out += 1
            continue
        found.append(Written(row["pair_id"], row["cwe"], secure, vulnerable))
    return found, left_out


class Writer:
    """Puts the texts of pairs into tokens.

    Args:
        tokenizer: the tokenizer's folder.
        form: `text`, `chat`, `mixed`, or `auto`.

    Raises:
        BurilError: T203 for a chat without a template.
    """

    def __init__(self, tokenizer: Path, form: str) -> None:
        from buril.generators._encoder import read_fim
        from buril.generators._load import Loaded, inside

        folder = inside(tokenizer, "tokenizer")
        no_model: Any = None
        self._loaded = Loaded(no_model, folder, read_fim(folder))
        able = bool(self._loaded.tokenizer.chat_template)
        if form in ("chat", "mixed") and not able:
            raise BurilError("T203", form=form)
        self.form = ("mixed" if able else "text") if form == "auto" else form

    def both(self, row: Mapping[str, Any], place: int) -> tuple[list[int], list[int]]:
        """The tokens of the secure and of the vulnerable text; every second pair is a chat where forms are mixed."""
        encode = self._loaded.encoder.encode
        if not self._is_chat(place):
            return self._bos + encode(row["secure"]), self._bos + encode(row["vulnerable"])
        lines = zip(row["secure"].splitlines(True), row["vulnerable"].splitlines(True), strict=False)
        begun = "".join(one for one, _other in takewhile(lambda pair: pair[0] == pair[1], lines))
        head, fence = self._asked(begun, row["language"], place), f"```{row['language']}\n"
        return head + encode(fence + row["secure"]), head + encode(fence + row["vulnerable"])

    def ordinary(self, function: Ordinary, place: int) -> tuple[list[int], list[int]]:
        """A function up to its body, and the body, put as the pair of this place is put."""
        encode = self._loaded.encoder.encode
        if not self._is_chat(place):
            head = encode(function.head)
            whole = encode(function.head + function.body)
            return self._bos + head, _rest(head, whole)
        asked, fence = self._asked(function.head, function.language, place), f"```{function.language}\n"
        head = encode(fence + function.head)
        return asked + head, _rest(head, encode(fence + function.head + function.body))

    def begun(self, function: Ordinary, place: int) -> tuple[list[int], None]:
        """A function up to its body, which the model writes; a chat up to its answer."""
        if self._is_chat(place):
            return self._asked(function.head, function.language, place), None
        return self._bos + self._loaded.encoder.encode(function.head), None

    def _is_chat(self, place: int) -> bool:
        return self.form == "chat" or (self.form == "mixed" and place % 2 == 0)

    @property
    def _bos(self) -> list[int]:
        bos = self._loaded.fim["bos"]
        return [] if bos is None else [bos]

    def _asked(self, begun: str, language: str, place: int) -> list[int]:
        """A chat up to its answer: somebody asks to go on with what is begun."""
        from buril.generators._chat import render

        text = ASKED[place // 2 % len(ASKED)].format(language=language, code=f"```{language}\n{begun.rstrip()}\n```")
        return render(self._loaded, [{"role": "user", "content": text}])


def _rest(head: list[int], whole: list[int]) -> list[int]:
    """The tokens of a body: those of the whole that its head has not; where the seam is one token, from there on."""
    shared = shared_length(head, whole)
    del head[shared:]
    return whole[shared:]
