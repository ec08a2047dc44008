"""Aligning: a preference over pairs and a retention term, as one objective of the training loop.

Before the first step every pair is read once by the model as it is: the log-probabilities of both texts, and what it
would go on with in ordinary code, are the reference that training is measured from, and that retention holds on to.

Tensor suffixes: T tokens of a row, D width, P pairs of the row, 2 the secure and the vulnerable text, N tokens that are
scored, K the likeliest words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from buril.core.artifact import atomic
from buril.train.batch import Batch, micro_batches
from buril.train.methods._trainable import Trainable
from buril.train.objectives._head import Head, head_loss
from buril.train.objectives._pick import KeptNearness, likeliest, log_probabilities
from buril.train.paired import PairFile, PairSequence
from buril.train.preferences._preference import Preference, Region, Sides

REFERENCES = "reference"


class Margin(NamedTuple):
    """How much more likely the secure text of a pair is, in nats; `changed` over the tokens in which the two differ."""

    answer: float
    changed: float


class Reference(NamedTuple):
    """What the model said of a pair before training: sums of log-probabilities by region, and its likeliest words."""

    sums: dict[Region, tuple[float, float]]
    numbers: dict[Region, tuple[int, int]]
    words: torch.Tensor
    chances: torch.Tensor

    @property
    def margin(self) -> Margin:
        """Of the means of both sides: what does not prefer the shorter text."""
        return Margin(*(self._margin(region) for region in ("answer", "changed")))

    def _margin(self, region: Region) -> float:
        secure, vulnerable = (
            total / number for total, number in zip(self.sums[region], self.numbers[region], strict=True)
        )
        return secure - vulnerable


class Aligning:
    """The mean over pairs of a preference's loss, plus `retain` times the mean divergence from the reference."""

    version = 1

    def __init__(self, preference: Preference, *, retain: float, top_k: int) -> None:
        self._preference, self._retain, self._top_k = preference, retain, top_k
        self._references: dict[tuple[str, int], Reference] = {}

    # --- before the first step

    def refer(self, trainable: Trainable, files: Sequence[PairFile], folder: Path, tell: Callable[[int], None]) -> None:
        """Read every pair once, or take what an interrupted attempt has kept.

        Args:
            trainable: the model as it is.
            files: of all parts.
            folder: where what was read is kept until the end.
            tell: is told how many pairs are read.
        """
        folder.mkdir(parents=True, exist_ok=True)
        done = 0
        for file in files:
            path = folder / f"{REFERENCES}-{file.part}.safetensors"
            if not path.exists():
                _save(path, self.read(trainable, file, tell=partial(_further, tell, done)))
            self._references.update({(file.part, index): one for index, one in enumerate(_load(path))})
            done += len(file)
            tell(done)

    def read(
        self, trainable: Trainable, file: PairFile, *, tell: Callable[[int], None] | None = None, near: bool = True
    ) -> list[Reference]:
        """What the model says of each pair now, without dropout."""
        found: list[Reference] = []
        trainable.train(False)
        with torch.no_grad():
            for batch in micro_batches([file[index] for index in range(len(file))], num_tokens=2048):
                laid = batch.to(str(trainable.device))
                found += trainable.run(lambda laid=laid: self._read(laid, trainable, near=near))  # type: ignore[misc, arg-type]  # mypy knows no default arguments of lambdas; any value is passed on
                if tell:
                    tell(len(found))
        return found

    def _read(self, batch: Batch, trainable: Trainable, *, near: bool) -> list[Reference]:
        hidden_TD, head = trainable.hidden(batch), trainable.head()
        answer = _sides(hidden_TD, head, batch, "answer")
        sides: dict[Region, Sides] = {"answer": answer, "changed": _changed(answer, batch)}
        found = []
        for place, (begin, sequence) in enumerate(_pairs(batch)):
            words, chances = torch.zeros(0, 1, dtype=torch.int32), torch.zeros(0, 1)
            if near and self._retain and len(sequence.near):
                near_N = torch.from_numpy(sequence.near).to(hidden_TD.device) + begin
                words, chances = (one.cpu() for one in likeliest(hidden_TD[near_N], head, self._top_k))
            found.append(Reference(
                {region: _two(scored.sum_P2[place]) for region, scored in sides.items()},
                {region: _whole(scored.num_P2[place]) for region, scored in sides.items()}, words, chances,
            ))  # fmt: skip
        return found

    def margins(self, part: str) -> list[Margin]:
        """Of the pairs of a part, before training."""
        return [one.margin for (name, _index), one in sorted(self._references.items()) if name == part]

    # --- the objective

    def weight(self, batch: Batch) -> float:
        """The number of pairs."""
        return float(len(batch.sequences))

    def loss_sum(self, hidden_TD: torch.Tensor, head: Head, batch: Batch) -> torch.Tensor:
        """The sum over the pairs of a row."""
        sides = _sides(hidden_TD, head, batch, self._preference.region)
        region = self._preference.region
        reference = [self._references[sequence.part, sequence.index].sums[region] for _begin, sequence in _pairs(batch)]
        sides = sides._replace(reference_P2=torch.tensor(reference, device=hidden_TD.device))
        if self._preference.hidden:
            sides = _with_states(sides, hidden_TD, batch)
        loss = self._preference.losses(sides).sum()
        return loss + self._retain * self._nearness(hidden_TD, head, batch) if self._retain else loss

    def _nearness(self, hidden_TD: torch.Tensor, head: Head, batch: Batch) -> torch.Tensor:
        """The sum over pairs of the mean divergence from what the model would have gone on with."""
        places, words, chances, weights = [], [], [], []
        for begin, sequence in _pairs(batch):
            one = self._references[sequence.part, sequence.index]
            if len(sequence.near):
                places.append(torch.from_numpy(sequence.near) + begin)
                words.append(one.words)
                chances.append(one.chances)
                weights.append(torch.full((len(sequence.near),), 1 / len(sequence.near)))
        if not places:
            return hidden_TD.new_zeros((), dtype=torch.float32)
        device = hidden_TD.device
        joined = KeptNearness(
            torch.cat(words).long().to(device), torch.cat(chances).to(device), torch.cat(weights).to(device)
        )
        return head_loss(hidden_TD[torch.cat(places).to(device)], head, joined)


def _pairs(batch: Batch) -> list[tuple[int, PairSequence]]:
    """The pairs of a row, each with where it begins."""
    found, begin = [], 0
    for sequence in batch.sequences:
        assert isinstance(sequence, PairSequence), "aligning reads pairs alone"
        found.append((begin, sequence))
        begin += len(sequence.input_ids)
    return found


def _sides(hidden_TD: torch.Tensor, head: Head, batch: Batch, region: Region) -> Sides:
    """The scores of both texts of each pair of a row."""
    places, cells = [], []
    for number, (begin, sequence) in enumerate(_pairs(batch)):
        for side, places_n in enumerate(sequence.answer if region == "answer" else sequence.changed):
            places.append(torch.from_numpy(places_n) + begin)
            cells.append(torch.full((len(places_n),), 2 * number + side))
    device = hidden_TD.device
    place_N, cell_N = torch.cat(places).to(device), torch.cat(cells).to(device)
    logp_N = log_probabilities(hidden_TD[place_N], head, batch.input_ids_T[place_N + 1])
    return _summed(logp_N, cell_N, len(batch.sequences))


def _changed(answer: Sides, batch: Batch) -> Sides:
    """The scores of the tokens that were changed, which are among those from where the texts part."""
    kept = [
        np.isin(answer_n, changed_n)
        for _begin, sequence in _pairs(batch)
        for answer_n, changed_n in zip(sequence.answer, sequence.changed, strict=True)
    ]
    kept_N = torch.from_numpy(np.concatenate(kept)).to(answer.cell_N.device)
    return _summed(answer.logp_N[kept_N], answer.cell_N[kept_N], len(batch.sequences))


def _summed(logp_N: torch.Tensor, cell_N: torch.Tensor, num_pairs: int) -> Sides:
    """Scored tokens as sums by side; nothing is known of a reference yet."""
    zero_C = torch.zeros(2 * num_pairs, device=logp_N.device)
    sum_P2 = zero_C.index_add(0, cell_N, logp_N).view(-1, 2)
    num_P2 = zero_C.index_add(0, cell_N, torch.ones_like(logp_N)).view(-1, 2)
    return Sides(sum_P2, num_P2, torch.zeros_like(sum_P2), logp_N, cell_N)


def _with_states(sides: Sides, hidden_TD: torch.Tensor, batch: Batch) -> Sides:
    """With the state where the texts part, and the mean states over what was changed."""
    anchors, states = [], []
    for begin, sequence in _pairs(batch):
        anchors.append(hidden_TD[begin + int(sequence.answer[0][0])].float())
        both = [torch.from_numpy(one).to(hidden_TD.device) + begin + 1 for one in sequence.changed]
        states.append(torch.stack([hidden_TD[place].float().mean(0) for place in both]))
    return sides._replace(anchor_PD=torch.stack(anchors), hidden_P2D=torch.stack(states))


def _further(tell: Callable[[int], None], done: int, number: int) -> None:
    """Tell of `number` pairs more than were done before."""
    tell(done + number)


def _two(values: torch.Tensor) -> tuple[float, float]:
    secure, vulnerable = values.tolist()
    return secure, vulnerable


def _whole(values: torch.Tensor) -> tuple[int, int]:
    secure, vulnerable = values.tolist()
    return int(secure), int(vulnerable)


def _save(path: Path, references: Sequence[Reference]) -> None:
    from safetensors.torch import save_file

    plain = [{"sums": one.sums, "numbers": one.numbers, "near": len(one.words)} for one in references]
    with atomic(path) as temporary:
        tensors = {
            "words": torch.cat([one.words for one in references if len(one.words)] or [torch.zeros(0, 1).int()]),
            "chances": torch.cat([one.chances for one in references if len(one.words)] or [torch.zeros(0, 1)]),
        }
        save_file(tensors, temporary, {"references": json.dumps(plain)})


def _load(path: Path) -> list[Reference]:
    from safetensors import safe_open

    found, begin = [], 0
    with safe_open(path, "pt") as source:
        words, chances = source.get_tensor("words"), source.get_tensor("chances")
        plain: list[dict[str, Any]] = json.loads(source.metadata()["references"])
    for one in plain:
        end = begin + one["near"]
        sums, numbers = (
            {name: (value[0], value[1]) for name, value in one[kind].items()} for kind in ("sums", "numbers")
        )
        found.append(Reference(sums, numbers, words[begin:end], chances[begin:end]))
        begin = end
    return found
