"""Trainable: a model as the loop sees it. A method makes one; the loop needs to know nothing else of it.

Tensor suffixes: T tokens of a row, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch

from buril.train.attention import use_document_attention
from buril.train.batch import Batch
from buril.train.methods._recompute import recompute
from buril.train.objectives._head import Head


class Trainable(ABC):
    """A transformers model with the parameters that a method trains.

    Attributes:
        base: the transformers model whose decoder and output layer are run.
        parameters: what is trained, by a name that stays the same between runs; always fp32: small updates must count.
        autocast: the number format of multiplications where it is not that of the weights.
        holder: the module that `parameters` have their names from.
        run: what a forward pass is called by; where layers are cut in pieces it puts them together around it.
        rest: lets go of what it put together and no backward pass let go of; called before weights are exchanged.
    """

    folder: ClassVar[str]
    """Where in the artifact its files go."""

    def __init__(
        self, base: Any, parameters: dict[str, torch.nn.Parameter], *, autocast: torch.dtype | None = None
    ) -> None:
        self.base = base
        self.holder: torch.nn.Module = base
        self.run: Callable[[Callable[[], torch.Tensor]], torch.Tensor] = _call
        self.rest: Callable[[], None] = _nothing
        self.parameters = dict(sorted(parameters.items()))
        self.autocast = autocast
        self.device = next(iter(self.parameters.values())).device
        use_document_attention(base)

    def train(self, mode: bool) -> None:
        """Switch what behaves otherwise in training, such as dropout."""
        self.base.train(mode)

    def begin(self, batch: Batch, *, seed: int, step: int) -> None:  # noqa: B027  most methods draw nothing
        """Called before each micro-batch of training; the place to draw what is random in it."""

    def recompute(self, num_layers: int) -> int:
        """Keep no activations of the first layers, but compute them again on the way back; returns how many layers.

        Raises:
            BurilError: T140 when the model has no list of layers.
        """
        return recompute(self.base, num_layers, self.contexts) if num_layers else 0

    def contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """What a layer runs in, and what it runs in when it is computed again: there it must draw what it drew."""
        return nullcontext(), nullcontext()

    def hidden(self, batch: Batch) -> torch.Tensor:
        """The last hidden states of a batch, T·D, in the format that the output layer multiplies in."""
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            found: torch.Tensor = self.base.get_decoder()(
                input_ids=batch.input_ids_T[None],
                position_ids=batch.position_ids_T[None],
                lengths=batch.lengths,
                use_cache=False,
            ).last_hidden_state[0]
        return found.to(self.autocast) if self.autocast else found

    def part(self, number: int, of: int, cut: Sequence[torch.nn.Module]) -> None:  # noqa: B027  most need nothing
        """Hear that several processes are to hold each layer together, and that this one gets part `number` of `of`.

        Args:
            number: counted from 0.
            of: how many.
            cut: the layers whose input will be a part too.
        """

    @abstractmethod
    def head(self) -> Head:
        """The output layer."""

    @abstractmethod
    def save(self, folder: Path, state: Mapping[str, torch.Tensor] | None = None) -> None:
        """Write the files of the finished model into a folder that is there.

        Args:
            folder: where to.
            state: `kept()` with every tensor whole; None where they are so by themselves.
        """

    def kept(self) -> Mapping[str, torch.Tensor]:
        """The tensors that `save` writes, by the names they are written under."""
        return self.parameters


def _nothing() -> None:
    pass


def _call(work: Callable[[], torch.Tensor]) -> torch.Tensor:
    return work()
