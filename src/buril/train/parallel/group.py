"""Group: a team of several processes, on torch's process groups; NCCL between GPUs, gloo between CPUs.

The processes form a grid: rows read different text, the processes of a row hold each layer together.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from buril.core.errors import BurilError
from buril.train.parallel.settings import Parallel
from buril.train.parallel.sums import Sums
from buril.train.parallel.team import Pulse, Team, Tensors, assembled

Item = TypeVar("Item")


class Group(Team):
    """Processes that have found one another.

    Args:
        told: how they share the model.
        device: of this process.
        stop_file: where it appears, training ends after the step at hand.
    """

    def __init__(self, told: Parallel, device: torch.device, *, stop_file: Path | None = None) -> None:
        self.told, self.device = told, device
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        if self.size % told.tensor:
            raise BurilError("T161", processes=self.size, tensor=told.tensor)
        self.readers = self.size // told.tensor
        self.mesh: DeviceMesh = init_device_mesh(
            device.type, (self.readers, told.tensor), mesh_dim_names=("data", "tensor")
        )
        self.gain = float(self.readers) if told.shard != "none" else 1.0
        self.reader = self.mesh["data"].get_local_rank()
        self._readers = self.mesh["data"].get_group()
        self._stop_file = stop_file
        self._asked = False
        self._sums: Sums | None = None

    @property
    def machine(self) -> dict[str, Any]:
        """See `Team`."""
        return {"processes": self.size, "shard": self.told.shard, "tensor": self.told.tensor}

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block SIGINT and SIGTERM are a wish to end after the step at hand."""

        def ask(_number: int, _frame: object) -> None:
            self._asked = True

        if threading.current_thread() is not threading.main_thread():  # signals are heard there alone
            yield
            return
        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def split(self) -> bool:
        """See `Team`."""
        return self.told.split

    def share(self, items: Sequence[Item]) -> list[tuple[Item, float]]:
        """See `Team`; every reader takes each n-th item."""
        own = [(item, 1.0) for item in items[self.reader :: self.readers]]
        missing = -(-len(items) // self.readers) - len(own)
        return [*own, *[(items[0], 0.0)] * missing]

    def add(self, values: Sequence[float]) -> list[float]:
        """See `Team`."""
        return self._sum(values, self._readers)

    def adding(self, parameters: Mapping[str, torch.nn.Parameter]) -> AbstractContextManager[None]:
        """See `Team`; sharded layers add theirs up on the way back anyhow."""
        if self.told.shard != "none" or self.readers == 1:
            return nullcontext()
        if self._sums is None:
            self._sums = Sums(parameters, group=self._readers, tell=self.tell)
        return self._sums.following()

    def norms(self, norms: torch.Tensor, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """See `Team`: every piece counts once, however many processes hold it."""
        copies = torch.tensor([self._copies(tensor) for tensor in tensors], dtype=torch.float64)
        squares = norms.double().square() / copies.to(norms.device)
        dist.all_reduce(squares)
        return squares.sqrt().to(norms.dtype)

    def _copies(self, tensor: torch.Tensor) -> int:
        """How many processes hold the same piece of a tensor."""
        placements = getattr(tensor, "placements", ())
        mesh = getattr(tensor, "device_mesh", None)
        pieces = 1
        for dimension, placement in enumerate(placements):
            pieces *= 1 if mesh is None or placement.is_replicate() else mesh.size(dimension)
        return self.size // pieces

    def pulse(self, passed: Pulse) -> Pulse:
        """See `Team`."""
        stop = self._asked or (self.leads and self._stop_file is not None and self._stop_file.exists())
        lead = float(self.leads)
        told = [lead * passed.wall_s, passed.cpu_s, passed.joules, lead * passed.save, float(stop)]
        wall_s, cpu_s, joules, save, stopped = self._sum(told, None)
        return Pulse(wall_s, cpu_s, joules, save > 0, stopped > 0)

    def tell(self, text: str) -> str:
        """See `Team`."""
        return self._texts(text)[0]

    def first(self, text: str) -> str:
        """See `Team`."""
        return next((found for found in self._texts(text) if found), "")

    def whole(self, tensors: Mapping[str, torch.Tensor]) -> Tensors:
        """See `Team`; one tensor after the other, into the leader's main memory."""
        kept: Tensors = {}
        for name, tensor in tensors.items():
            found = assembled(tensor.detach())
            if self.leads:
                kept[name] = found.cpu()
        return kept

    def wait(self) -> None:
        """See `Team`."""
        self._sum([0.0], None)

    def _sum(self, values: Sequence[float], group: Any) -> list[float]:
        found = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(found, group=group)
        return [float(value) for value in found]

    def _texts(self, text: str) -> list[str]:
        """Every process's text, in order; sent as bytes, never as pickles."""
        sizes = torch.zeros(self.size, dtype=torch.int64, device=self.device)
        raw = text.encode()
        sizes[self.rank] = len(raw)
        dist.all_reduce(sizes)
        width = int(sizes.max())
        row = torch.zeros(max(1, width), dtype=torch.uint8, device=self.device)
        row[: len(raw)] = torch.frombuffer(bytearray(raw), dtype=torch.uint8).to(self.device) if raw else 0
        rows = [torch.empty_like(row) for _process in range(self.size)]
        dist.all_gather(rows, row)
        return [bytes(found[: int(size)].tolist()).decode() for found, size in zip(rows, sizes, strict=True)]


def device_of(setting: str) -> torch.device:
    """The device of this process: the GPU of its number on the machine, or the CPU.

    Raises:
        BurilError: T164 when the machine has fewer GPUs than processes.
    """
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if setting == "cpu" or (setting == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if number >= torch.cuda.device_count():
        raise BurilError("T164", number=number + 1, gpus=torch.cuda.device_count())
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def connect(device: torch.device, *, timeout_s: float, store: Any = None, file: Path | None = None) -> None:
    """Find the other processes: through a file on this machine, or a store that is there already."""
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    where = {"store": store} if store is not None else {"init_method": f"file://{file}"}
    dist.init_process_group(backend, rank=rank, world_size=size, timeout=timedelta(seconds=timeout_s), **where)
