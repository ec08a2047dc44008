"""Work on shards, and which engine does it: processes of this machine, a Ray cluster, the parts of an index array.

A stage calls `each` and knows nothing of engines; a run chooses one for all its stages (`using`). Engines are plugins
(`buril.engines`), found by their names. An engine changes where and when work is done, never a byte of what comes out.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from buril.core.artifact import SCRATCH
from buril.core.plugins import plugin

if TYPE_CHECKING:
    from buril.core.stage import Output

LISTS = f"{SCRATCH}/array"
"""Where below a stage's folder an engine that shares work keeps what is to be done and what is done."""
Job = TypeVar("Job")
Result = TypeVar("Result")


class Listed(Exception):
    """Ends a stage's own code: its next step was written down as a list, for `Engine.help`."""


class Unfinished(Exception):
    """This process has done its part of a step. `num_left` jobs belong to other parts."""

    def __init__(self, stage: str, num_left: int) -> None:
        super().__init__(stage, num_left)
        self.stage, self.num_left = stage, num_left


class Engine(ABC):
    """Where the work on shards is done. All its settings are runtime: they are no part of an identity."""

    version: ClassVar[int] = 1
    shares: bool = False
    """Whether processes of their own work together on one unfinished artifact (see `help`)."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings
        self.out: Output | None = None

    def begin(self, out: Output) -> None:
        """Hear of the stage whose `each` calls follow; this process alone holds its folder.

        Lists that an array left there are void: what they leave undone is done by this engine.
        """
        self.out = out
        shutil.rmtree(out.folder / LISTS, ignore_errors=True)

    @contextmanager
    def at(self, out: Output) -> Iterator[None]:
        """Work for one stage within the block."""
        self.begin(out)
        try:
            yield
        finally:
            self.out = None

    @abstractmethod
    def each(self, work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, *, stage: str) -> Iterator[Result]:
        """Do `work` on every job, as `buril.core.workers.each` says."""

    def help(self, out: Output) -> None:  # noqa: B027  most engines have nothing to share
        """Do this process's part of what an unfinished artifact's folder lists, beside others that do theirs.

        Raises:
            Unfinished: when the rest is for others to do.
        """

    def warn(self, text: str) -> None:
        """Tell the user something that may need attention."""
        if self.out:
            self.out.warn(text)

    def close(self) -> None:  # noqa: B027  most engines hold nothing
        """Let go of what the engine holds; called at the end of a run."""


_engine: ContextVar[Engine | None] = ContextVar("engine", default=None)


def engine() -> Engine:
    """The engine in force: what `using` chose, else processes of this machine."""
    chosen = _engine.get()
    if chosen is None:
        found = plugin("engine", "processes")
        chosen = found(found.Settings())
        assert isinstance(chosen, Engine)
    return chosen


@contextmanager
def using(chosen: Engine) -> Iterator[Engine]:
    """Let an engine do the work of all `each` calls within the block, and close it at the end."""
    token = _engine.set(chosen)
    try:
        yield chosen
    finally:
        _engine.reset(token)
        chosen.close()


def each(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, *, stage: str) -> Iterator[Result]:
    """Do `work` on every job and give the results as they come, in any order.

    Args:
        work: a function of a module, or a `functools.partial` of one; it writes its result as a file that appears
            whole, so that doing it twice does no harm. What it returns should be small.
        jobs: what to do; each is a named tuple or a dataclass of paths, plain values, numpy arrays and settings.
        workers: how many processes of this machine; 0 for as many as its processors and memory allow. An engine that
            is not of one machine pays no heed to it.
        stage: named in the error.

    Raises:
        BurilError: S009 when workers died on a shard again and again.
    """
    return engine().each(work, jobs, workers, stage=stage)


def shard_of(job: object, number: int) -> str:
    """What a person calls a job: the shard it is about, else its number.

    Example:
        `shard_of(Job(shard=Path("rows/00007.parquet"), …), 3)` → "00007.parquet"
    """
    for name in ("shard", "source", "number", "target"):
        value = getattr(job, name, None)
        if isinstance(value, Path):
            return value.name
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{value:05d}"
    return f"{number:05d}"
