"""Processes that something else has started: `torchrun`, Slurm, Kubeflow, Ray Train, on one machine or on many.

Each of them runs the same command. The first one runs the whole chain; the others wait until it trains, take part, and
wait again. What they need to know goes through the store that they find one another by; models and data lie in folders
that all machines see.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from buril.core.artifact import Artifact
from buril.core.errors import BurilError
from buril.core.plugins import require
from buril.core.stage import Metrics, Output
from buril.train.parallel.job import Job

PATIENCE = timedelta(days=30)
"""How long the others wait for the first one: it may have a month of data to prepare."""
END = "end"
_world: World | None = None


def started_by_others() -> bool:
    """Whether this process is one of several that something else has started."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def follows() -> bool:
    """Whether this process is one of the others, which only take part in the training."""
    return started_by_others() and int(os.environ["RANK"]) > 0


class World:
    """The store through which these processes find one another.

    Raises:
        BurilError: P002 without torch, T165 when it isn't said where the store is.
    """

    def __init__(self) -> None:
        require("torch", kind="method", name="parallel")
        import torch.distributed as dist
        from torch.distributed import distributed_c10d

        self.rank, self.size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self._store = distributed_c10d._get_default_store() if dist.is_initialized() else self._open()
        self._jobs = 0

    def _open(self) -> Any:
        from torch._C._distributed_c10d import PrefixStore, TCPStore

        missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
        if missing:
            raise BurilError("T165", names=", ".join(missing))
        agents = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun keeps one
        store = TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), self.size,
            is_master=self.rank == 0 and not agents, timeout=PATIENCE, wait_for_workers=False,
        )  # fmt: skip
        return PrefixStore(f"buril/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)

    def lead(self, settings: Any, inputs: Mapping[str, Artifact], out: Output) -> Metrics:
        """Train, with all the others."""
        job = Job.of(settings, inputs, out)
        job.scratch.mkdir(parents=True, exist_ok=True)
        job.stop.unlink(missing_ok=True)
        return self._take_part(job.text(), out)

    def follow(self) -> None:
        """Take part in whatever the first one trains, until it is done."""
        while True:
            name = f"job/{self._jobs}"
            self._store.wait([name], PATIENCE)
            text = self._store.get(name).decode()
            if text == END:
                return
            self._take_part(text, None)

    def _take_part(self, text: str, out: Output | None) -> Metrics:
        from torch._C._distributed_c10d import PrefixStore

        from buril.train.parallel.rank import take_part

        if out:
            self._store.set(f"job/{self._jobs}", text)
        store = PrefixStore(f"group/{self._jobs}", self._store)
        self._jobs += 1
        return take_part(Job.parse(text), out, store=store)

    def end(self) -> None:
        """Tell the others that there is nothing more to do, and wait until they have heard it."""
        self._store.set(f"job/{self._jobs}", END)


def world() -> World | None:
    """The processes that train here; None where this one is alone."""
    return _world


def follow() -> None:
    """Take part in what the first process trains."""
    World().follow()


@contextmanager
def joined() -> Iterator[None]:
    """Within the block, training is done by all that something else has started; alone, nothing changes."""
    global _world  # noqa: PLW0603  a process is in one world for as long as it runs a chain
    if not started_by_others():
        yield
        return
    _world = World()
    try:
        yield
    finally:
        if _world.rank == 0:
            _world.end()
        _world = None
