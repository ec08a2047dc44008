"""What of a model in training is shared: its adapter as one vector, and the exact averages of such vectors.

A LoRA layer adds scale·B·A to a weight. The mean of B·A over clients is not the product of the means, so matrices that
were both trained can't be averaged one by one. Two ways are exact or as exact as the rank allows: the clients share a
fixed A, and then the mean of B is the mean of B·A; or the mean of the products is computed and cut to the rank.

Tensor suffixes: I and O features in and out, R rank, S ranks of all clients together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from buril.train.federated.settings import Average
from buril.train.methods._trainable import Trainable

FIRST, SECOND = ".lora_A.", ".lora_B."
Vector = np.ndarray
"""All shared numbers end to end in fp32, in the order of their names."""


class Shared:
    """The shared parameters of a model in training. With the average `b`, first matrices are fixed from here on."""

    def __init__(self, trainable: Trainable, average: Average) -> None:
        self.average = average
        self.fixed = {name: item for name, item in trainable.parameters.items() if average == "b" and FIRST in name}
        for name, parameter in self.fixed.items():
            parameter.requires_grad_(False)
            del trainable.parameters[name]
        self.parameters = trainable.parameters
        self.size = sum(item.numel() for item in self.parameters.values())

    @property
    def layout(self) -> str:
        """SHA-256 of names and shapes: vectors of one layout mean the same."""
        told = [[name, *item.shape] for name, item in sorted((self.parameters | self.fixed).items())]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def vector(self) -> Vector:
        """The numbers as they are now."""
        return flat(self.parameters.values())

    def put(self, vector: Vector) -> None:
        """Write a vector into the model."""
        fill(self.parameters.values(), vector)

    def fixed_vector(self) -> Vector:
        """The numbers that are the same for everybody; empty where there are none."""
        return flat(self.fixed.values())

    def put_fixed(self, vector: Vector) -> None:
        """Write them into the model: seeds give other numbers on another device or release of torch."""
        fill(self.fixed.values(), vector)

    def named(self, vector: Vector) -> dict[str, torch.Tensor]:
        """The tensors of a vector, by name."""
        parts = _parts(list(self.parameters.values()), vector)
        return {
            name: torch.from_numpy(part.copy()).view(tensor.shape)
            for name, (tensor, part) in zip(self.parameters, parts, strict=True)
        }

    def mean(self, common: Vector, updates: Sequence[Vector], weights: Sequence[float]) -> Vector:
        """The mean of the clients' models, as a vector.

        Args:
            common: what all clients started from.
            updates: what each added to it.
            weights: of the clients; they add up to 1, or to less where the rest are clients that changed nothing.
        """
        result = common.astype(np.float64)
        for update, weight in zip(updates, weights, strict=True):
            result += weight * update.astype(np.float64)
        mean: Vector = result.astype(np.float32)
        if self.average == "product" and len(updates) > 1:  # the product of one is what it is already
            models = [self.named(common + update) for update in updates]
            mean = self._products(self.named(mean), models, weights)
        return mean

    def _products(
        self, mean: dict[str, torch.Tensor], models: Sequence[dict[str, torch.Tensor]], weights: Sequence[float]
    ) -> Vector:
        for name in [name for name in mean if FIRST in name]:
            other = name.replace(FIRST, SECOND)
            pairs = [(model[other], model[name]) for model in models]
            mean[other], mean[name] = nearest_product(pairs, weights)
        return flat(mean.values())


def nearest_product(
    pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], weights: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """B and A of the pairs' rank whose product is nearest to Σ w·B·A (Eckart and Young 1936).

    The large matrix is never made: its factors are B of all clients side by side and A of all on top of each other.
    Singular values are shared evenly between the two, so that both go on learning at one rate.
    """
    rank = pairs[0][1].shape[0]
    left_OS = torch.cat([weight * second.double() for weight, (second, _first) in zip(weights, pairs, strict=True)], 1)
    right_SI = torch.cat([first.double() for _second, first in pairs], 0)
    left_q, left_r = torch.linalg.qr(left_OS)
    right_q, right_r = torch.linalg.qr(right_SI.T)
    u, values, v = torch.linalg.svd(left_r @ right_r.T)
    root_R = values[:rank].sqrt()
    return ((left_q @ u[:, :rank]) * root_R).float(), (root_R[:, None] * (v[:rank] @ right_q.T)).float()


def flat(tensors: Any) -> Vector:
    """Tensors end to end."""
    parts = [item.detach().float().cpu().numpy().reshape(-1) for item in tensors]
    found: Vector = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    return found


@torch.no_grad()
def fill(tensors: Any, vector: Vector) -> None:
    """Write what `flat` gave into tensors of the same sizes."""
    for tensor, part in _parts(list(tensors), vector):
        tensor.copy_(torch.from_numpy(part).view(tensor.shape))


def _parts(tensors: Sequence[torch.Tensor], vector: Vector) -> Iterator[tuple[torch.Tensor, Vector]]:
    begin = 0
    for tensor in tensors:
        yield tensor, np.ascontiguousarray(vector[begin : begin + tensor.numel()], dtype=np.float32)
        begin += tensor.numel()
    assert begin == len(vector), "a vector of another layout"


def digest(vector: Vector) -> str:
    """SHA-256 of a vector's bytes."""
    return hashlib.sha256(np.ascontiguousarray(vector, dtype="<f4").tobytes()).hexdigest()
