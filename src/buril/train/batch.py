"""Batches: packed sequences in a seeded order, laid end to end in one row, each token knowing what it must predict.

Tensor suffixes: T tokens of a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

IGNORE = -100
"""Target of a token that predicts nothing: the last one of a document."""
EVALUATION = 2**32
"""The "epoch" whose order an evaluation's sample is taken in: one that no training reaches."""


@dataclass(frozen=True)
class Packed:
    """One packed sequence. `lengths` and `row_ids` are of its documents, in order; `index` is its place in the file."""

    index: int
    input_ids: np.ndarray
    lengths: tuple[int, ...]
    row_ids: tuple[str, ...]

    @property
    def num_targets(self) -> int:
        """Tokens that are predicted: all but the first of each document."""
        return len(self.input_ids) - len(self.lengths)


@dataclass(frozen=True)
class Batch:
    """Sequences laid end to end. `targets_T[t]` is the token after `t` of the same document, or `IGNORE`."""

    sequences: tuple[Packed, ...]
    input_ids_T: torch.Tensor
    position_ids_T: torch.Tensor
    targets_T: torch.Tensor
    lengths: tuple[int, ...]

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
        table = pq.read_table(path, columns=["input_ids", "spans"]).combine_chunks()
        self._ids, self._spans = table.column("input_ids"), table.column("spans")
        values = [chunk.values.to_numpy() for chunk in self._ids.chunks if len(chunk)]
        self.num_tokens = sum(len(chunk) for chunk in values)
        self.largest_token = max((int(chunk.max()) for chunk in values), default=0)

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> Packed:
        spans = self._spans[index].as_py()
        return Packed(
            index,
            self._ids[index].values.to_numpy(),
            tuple(span["length"] for span in spans),
            tuple(span["row_id"] for span in spans),
        )


def order(num_sequences: int, *, seed: int, epoch: int) -> np.ndarray:
    """The sequences in the order of an epoch; each epoch has its own, and so has evaluation (`EVALUATION`)."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(num_sequences)


def num_steps(num_sequences: int, *, batch_size: int, epochs: float, max_steps: int | None) -> int:
    """Optimizer steps of a training."""
    steps = max(1, round(epochs * -(-num_sequences // batch_size)))
    return min(steps, max_steps) if max_steps else steps


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
        for row_id, length in zip(sequence.row_ids, sequence.lengths, strict=True):
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
    return Batch(tuple(sequences), input_ids_T.to(device), position_ids_T.to(device), targets_T.to(device), lengths)
