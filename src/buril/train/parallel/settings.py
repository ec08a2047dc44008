"""The settings of parallel training. Nothing here loads torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from buril.core.errors import BurilError
from buril.core.settings import Settings, runtime

Shard = Literal["none", "gradients", "weights"]


class Parallel(Settings):
    """How many processes train one model, and what each of them holds of it.

    They change where a sum is taken, not what is summed: the result is that of one process but for rounding.
    """

    processes: int = runtime(1, ge=1, le=1024)
    """Processes of this machine, one a GPU; on a CPU each takes its share of the cores. Started by `torchrun` or the
    like, on one machine or many, the number is theirs."""
    machines: int = runtime(1, ge=1)
    """Machines with so many processes each, for the estimate alone: what starts the processes knows how many it has."""
    shard: Shard = runtime("none")
    """What is cut in pieces, one a process (FSDP2): `none`, every process holds the whole model and the gradients are
    added up; `gradients`, weights come together for a step and gradients and the optimizer's memory stay apart
    (ZeRO-2); `weights`, layer by layer only (ZeRO-3): least memory, most traffic."""
    tensor: int = runtime(1, ge=1)
    """Processes that hold each layer together, a part of every matrix each: for layers too large for one device. They
    work on the same text, so only processes / tensor of them read different ones."""
    timeout_s: float = runtime(1800.0, gt=0)
    """Seconds that a process waits for the others before it gives up; the longest pause is writing a checkpoint."""

    @property
    def split(self) -> bool:
        """Whether each process holds a part of the model only."""
        return self.shard != "none" or self.tensor > 1

    @model_validator(mode="before")
    @classmethod
    def _by_number(cls, given: Any) -> Any:
        """`parallel: 8` names the processes."""
        return {"processes": given} if isinstance(given, int) and not isinstance(given, bool) else given

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
        """The number by itself, for editors too."""
        return {"anyOf": [{"type": "integer", "minimum": 1}, handler(core_schema)]}


def check_method(settings: Any, method: Any, *, fp16: bool) -> None:
    """Refuse what can't be cut in pieces, before any weight is loaded.

    Raises:
        BurilError: T162.
    """
    told = settings.parallel
    if told.split and "bitsandbytes" in getattr(method, "packages", ()):
        raise BurilError("T162", feature="method: qlora", other="shard, tensor")
    if told.split and fp16:
        raise BurilError("T162", feature="precision: fp16", other="shard, tensor")
    if told.tensor > 1 and getattr(method.settings, "dora", False):
        raise BurilError("T162", feature="dora", other="tensor")
