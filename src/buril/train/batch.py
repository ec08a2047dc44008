"""Batches: packed sequences in a seeded order, laid end to end in one row, each token knowing what it must predict.

Tensor suffixes: T tokens of a row, N illegal continuations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

IGNORE = -100
"""Target of a token that predicts nothing: the last one of a document, and one before a token that is given."""
GIVEN, STRUCTURE = 1, 2
"""What a mark of a packed token may say: that it is read but not learnt to write (a prompt), and that it carries the
text's structure (a bracket, an indentation). Most tokens are neither."""
EVALUATION = 2**32
"""The "epoch" whose order an evaluation's sample is taken in: one that no training reaches."""


@dataclass(frozen=True)
class Packed:
    """One packed sequence. `index` is its place in the file.

    `lengths` are of its documents, in order: the units that attention keeps apart. `row_ids` are the rows that its
    tokens come from, and `row_lengths` how many tokens each of these gave; a document of several rows is a repository's
    files one after the other. Where `row_lengths` is empty, each document is one row.

    `marks` holds `GIVEN` and `STRUCTURE` by token, None where all are ordinary. `illegal` holds pairs of a position and
    a token that must not stand there.
    """

    index: int
    input_ids: np.ndarray
    lengths: tuple[int, ...]
    row_ids: tuple[str, ...]
    row_lengths: tuple[int, ...] = ()
    marks: np.ndarray | None = None
    illegal: np.ndarray | None = None

    @property
    def num_targets(self) -> int:
        """Tokens that are predicted: all but the first of each document and those that are given."""
        if self.marks is None:
            return len(self.input_ids) - len(self.lengths)
        given = (self.marks & GIVEN) != 0
        given[np.cumsum((0, *self.lengths[:-1]))] = True
        return int(len(given) - given.sum())

    def rows(self) -> Iterator[tuple[str, int]]:
        """Each row with its number of tokens, in order; a row may come twice."""
        return zip(self.row_ids, self.row_lengths or self.lengths, strict=True)


@dataclass(frozen=True)
class Batch:
    """Sequences laid end to end. `targets_T[t]` is the token after `t` of the same document, or `IGNORE`.

    `marks_T[t]` is the mark of that target; None where all are ordinary. `illegal_N2` are pairs of a place `t` and a
    token that must not follow it; None where there are none.
    """

    sequences: tuple[Packed, ...]
    input_ids_T: torch.Tensor
    position_ids_T: torch.Tensor
    targets_T: torch.Tensor
    lengths: tuple[int, ...]
    marks_T: torch.Tensor | None = None
    illegal_N2: torch.Tensor | None = None

    def to(self, device: str) -> Batch:
        """The same batch with its tensors on a device."""
        return replace(
            self,
            input_ids_T=self.input_ids_T.to(device),
            position_ids_T=self.position_ids_T.to(device),
            targets_T=self.targets_T.to(device),
            marks_T=None if self.marks_T is None else self.marks_T.to(device),
            illegal_N2=None if self.illegal_N2 is None else self.illegal_N2.to(device),
        )

    @property
    def row_ids(self) -> list[str]:
        """The rows that its tokens come from, each once, in order."""
        return list(dict.fromkeys(row_id for sequence in self.sequences for row_id in sequence.row_ids))

    @property
    def num_targets(self) -> int:
        """Tokens that are predicted."""
        return sum(sequence.num_targets for sequence in self.sequences)


class PackedFile:
    """A packed Parquet file in memory as Arrow columns: four bytes a token, and its spans."""

    def __init__(self, path: Path) -> None:
        names = pq.read_schema(path).names
        table = pq.read_table(path, columns=[name for name in _COLUMNS if name in names]).combine_chunks()
        self._ids, self._spans = table.column("input_ids"), table.column("spans")
        self._marks, self._illegal = (table.column(name) if name in names else None for name in _COLUMNS[2:])
        values = [chunk.values.to_numpy() for chunk in self._ids.chunks if len(chunk)]
        self.num_tokens = sum(len(chunk) for chunk in values)
        self.largest_token = max((int(chunk.max()) for chunk in values), default=0)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> Packed:
        spans = self._spans[index].as_py()
        marks = None if self._marks is None else self._marks[index].values
        illegal = None if self._illegal is None else self._illegal[index].as_py()
        return Packed(
            index,
            self._ids[index].values.to_numpy(),
            documents(spans),
            tuple(span["row_id"] for span in spans),
            tuple(span["length"] for span in spans),
            None if marks is None else marks.to_numpy(),
            np.array([(pair["position"], pair["token"]) for pair in illegal], dtype=np.int64) if illegal else None,
        )


_COLUMNS = ("input_ids", "spans", "marks", "illegal")


def documents(spans: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """The lengths of the documents that spans make up: spans of one `document` are one, one without is its own."""
    lengths: list[int] = []
    last: int | None = None
    for span in spans:
        document = span.get("document")
        if document is not None and document == last:
            lengths[-1] += span["length"]
        else:
            lengths.append(span["length"])
        last = document
    return tuple(lengths)


def order(num_sequences: int, *, seed: int, epoch: int) -> np.ndarray:
    """The sequences in the order of an epoch; each epoch has its own, and so has evaluation (`EVALUATION`)."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(num_sequences)


def seen_rows(file: PackedFile, steps: int, *, batch_size: int, seed: int) -> dict[str, int]:
    """Tokens of every row that the first `steps` steps read, by row id: what the weights after them learnt from."""
    per_epoch = -(-len(file) // batch_size)
    times = np.zeros(len(file), dtype=np.int64)
    for epoch in range(-(-steps // per_epoch)):
        num = min(steps - epoch * per_epoch, per_epoch) * batch_size
        times[order(len(file), seed=seed, epoch=epoch)[:num]] += 1
    tokens: dict[str, int] = {}
    for index in np.flatnonzero(times):
        sequence = file[int(index)]
        for row_id, length in sequence.rows():
            tokens[row_id] = tokens.get(row_id, 0) + length * int(times[index])
    return dict(sorted(tokens.items()))


def step_sequences(file: PackedFile, step: int, *, batch_size: int, seed: int) -> list[Packed]:
    """The sequences of a step (counted from 0): a function of the step alone, so that resuming needs no state."""
    per_epoch = -(-len(file) // batch_size)
    epoch, place = divmod(step, per_epoch)
    chosen = order(len(file), seed=seed, epoch=epoch)[place * batch_size : (place + 1) * batch_size]
    return [file[int(index)] for index in chosen]


def sample(file: PackedFile, *, num_tokens: int, seed: int) -> list[Packed]:
    """Sequences spread over the file until they hold `num_tokens`: what a bounded evaluation reads, always the same."""
    chosen, total = [], 0
    for index in order(len(file), seed=seed, epoch=EVALUATION):
        if total >= num_tokens:
            break
        chosen.append(file[int(index)])
        total += len(chosen[-1].input_ids)
    return chosen


def micro_batches(sequences: Sequence[Packed], *, num_tokens: int, device: str = "cpu") -> Iterator[Batch]:
    """The sequences in rows of about `num_tokens` tokens (at least one sequence each), in order."""
    group: list[Packed] = []
    size = 0
    for sequence in sequences:
        if group and size + len(sequence.input_ids) > num_tokens:
            yield lay_out(group, device=device)
            group, size = [], 0
        group.append(sequence)
        size += len(sequence.input_ids)
    if group:
        yield lay_out(group, device=device)


def lay_out(sequences: Sequence[Packed], *, device: str = "cpu") -> Batch:
    """Sequences end to end in one row: nothing is padded, and positions begin at 0 in every document."""
    lengths = tuple(length for sequence in sequences for length in sequence.lengths)
    input_ids_T = torch.from_numpy(np.concatenate([sequence.input_ids for sequence in sequences]).astype(np.int64))
    assert sum(lengths) == len(input_ids_T)
    targets_T = torch.full_like(input_ids_T, IGNORE)
    targets_T[:-1] = input_ids_T[1:]
    targets_T[torch.tensor(lengths).cumsum(0) - 1] = IGNORE
    position_ids_T = torch.cat([torch.arange(length) for length in lengths])
    marks_T, illegal_N2 = _marks(sequences), _illegal(sequences)
    if marks_T is not None:
        targets_T[(marks_T & GIVEN) != 0] = IGNORE
    laid = Batch(tuple(sequences), input_ids_T, position_ids_T, targets_T, lengths, marks_T, illegal_N2)
    return laid.to(device)


def _marks(sequences: Sequence[Packed]) -> torch.Tensor | None:
    """The marks of the targets: of the token after each."""
    if all(sequence.marks is None for sequence in sequences):
        return None
    parts = [
        np.zeros(len(sequence.input_ids), dtype=np.uint8) if sequence.marks is None else sequence.marks
        for sequence in sequences
    ]
    return torch.from_numpy(np.append(np.concatenate(parts)[1:], np.uint8(0)))


def _illegal(sequences: Sequence[Packed]) -> torch.Tensor | None:
    """Pairs of a place and a token that must not follow it, by places in the row."""
    found, begin = [], 0
    for sequence in sequences:
        if sequence.illegal is not None and len(sequence.illegal):
            found.append(sequence.illegal + np.array([[begin - 1, 0]]))
        begin += len(sequence.input_ids)
    return torch.from_numpy(np.concatenate(found)) if found else None
