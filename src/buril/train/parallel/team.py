"""Team: the processes that train one model together, as the loop sees them. A training alone is a team of one.

What the team adds up is the same on every process to the bit; what is decided by a clock, a file or a signal is decided
once and told to all. So they stay in step without a word more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeVar

import torch

Item = TypeVar("Item")
Tensors = dict[str, torch.Tensor]


class Pulse(NamedTuple):
    """What passed since the last one: seconds by the wall, processor seconds of all, joules so far of all machines.

    `save` says that a checkpoint is due, `stop` that somebody was asked to end.
    """

    wall_s: float
    cpu_s: float
    joules: float
    save: bool = False
    stop: bool = False


class Team:
    """A team of one: everything is its own, and there is nobody to tell."""

    rank = 0
    size = 1
    """Its number among all processes, and how many there are."""
    readers = 1
    """How many read different text: all of them but for those that hold layers together."""

    gain = 1.0
    """What a loss is multiplied with for its gradient, as layers in pieces take means over the readers, not sums."""

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    @property
    def split(self) -> bool:
        """Whether each process holds a part of the model only."""
        return False

    @property
    def machine(self) -> dict[str, Any]:
        """What the last bits depend on, for the record; nothing when alone."""
        return {}

    def share(self, items: Sequence[Item]) -> list[tuple[Item, float]]:
        """The items that this process works on, each with what its result counts: 1, or 0 for one that fills up.

        All processes get equally many, since sharded layers are put together by all of them at once.
        """
        return [(item, 1.0) for item in items]

    def add(self, values: Sequence[float]) -> list[float]:
        """Each value added up over the readers."""
        return list(values)

    def adding(self, parameters: Mapping[str, torch.nn.Parameter]) -> AbstractContextManager[None]:
        """A block for the last backward pass of a step; after it the gradients are those of all readers together."""
        del parameters
        return nullcontext()

    def norms(self, norms: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """The norms of whole tensors, from those of the pieces of them that lie here."""
        del tensors
        return norms

    def pulse(self, passed: Pulse) -> Pulse:
        """The same for all: the leader's wall clock and wish to save, the processor time and energy of all together."""
        return passed

    def tell(self, text: str) -> str:
        """The leader's text."""
        return text

    def first(self, text: str) -> str:
        """The text of the first process that has one."""
        return text

    def whole(self, tensors: Mapping[str, torch.Tensor]) -> Tensors:
        """Tensors put together from their pieces: on the leader, elsewhere nothing."""
        return dict(tensors)

    def wait(self) -> None:
        """Wait until all are here."""


ALONE = Team()


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The piece of a tensor that lies here: the tensor itself where it is whole. Changing it changes the tensor."""
    found: torch.Tensor = getattr(tensor, "_local_tensor", tensor)
    return found


@torch.no_grad()
def fill(target: torch.Tensor, whole: torch.Tensor) -> None:
    """Copy a whole tensor into one that may be in pieces: each process takes its own."""
    local(target).copy_(local(piece_of(whole, target)))


def piece_of(whole: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A whole tensor that every process has, cut as another one is; itself where that one is whole."""
    mesh: Any = getattr(like, "device_mesh", None)
    if mesh is None:
        return whole
    placements: Any = getattr(like, "placements")  # noqa: B009  a plain tensor has none
    from torch.distributed.tensor import distribute_tensor

    # without a source rank nothing is sent: every process has the whole
    found: torch.Tensor = distribute_tensor(
        whole.to(local(like).device),
        mesh,
        placements,
        src_data_rank=None,
    )
    return found


def assembled(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor put together from its pieces; all processes that hold some must call it."""
    put_together: Callable[[], torch.Tensor] | None = getattr(tensor, "full_tensor", None)
    return put_together() if put_together else tensor
