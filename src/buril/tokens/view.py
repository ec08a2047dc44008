"""A packed sequence for people: token by token what it says, where it is from, and what is learnt at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow.parquet as pq

from buril.core.errors import BurilError
from buril.generators._encoder import Encoder
from buril.tokens.marks import GIVEN, STRUCTURE

Loss = Literal["first", "given", "structure", "yes"]


class Token(NamedTuple):
    """One token.

    `loss` says what is learnt at it: nothing, because it is the `first` of its document or `given`; as `structure`,
    which the objective `syntax` weighs more; or `yes`. `illegal` are texts that must not stand here.
    `control` tells a control token from text that spells one; `fim` is the order of its piece.
    """

    position: int
    id: int
    text: str
    control: bool
    document: int
    row_id: str
    fim: str
    loss: Loss
    illegal: list[str]


def tokens(packed: Path, tokenizer: Path, number: int) -> Iterator[Token]:
    """The tokens of a sequence of a packed file.

    Args:
        packed: `train.parquet` or `valid.parquet` of a pack.
        tokenizer: the tokenizer artifact that it was packed with.
        number: which sequence, from 0.

    Raises:
        BurilError: T121 when there is no such sequence.
    """
    row, encoder = _row(packed, number), Encoder(tokenizer)
    marks = row.get("marks") or [0] * len(row["input_ids"])
    illegal: dict[int, list[str]] = {}
    for pair in row.get("illegal") or ():
        illegal.setdefault(pair["position"], []).append(encoder.decode([pair["token"]], special=True))
    last = None
    for span in row["spans"]:
        for position in range(span["start"], span["start"] + span["length"]):
            token, document = row["input_ids"][position], span.get("document")
            first = position == span["start"] and (document is None or document != last)
            last = document
            yield Token(
                position, token, encoder.decode([token], special=True), token in encoder.control_ids,
                document if document is not None else span["start"], span["row_id"], span["fim"],
                "first" if first else _loss(marks[position]), illegal.get(position, []),
            )  # fmt: skip


def _loss(mark: int) -> Loss:
    if mark & GIVEN:
        return "given"
    return "structure" if mark & STRUCTURE else "yes"


def _row(packed: Path, number: int) -> dict[str, Any]:
    with pq.ParquetFile(packed) as source:
        begin = 0
        for group in range(source.num_row_groups):
            size = source.metadata.row_group(group).num_rows
            if 0 <= number - begin < size:
                found: dict[str, Any] = source.read_row_group(group).slice(number - begin, 1).to_pylist()[0]
                return found
            begin += size
    raise BurilError("T121", number=number, count=begin)
