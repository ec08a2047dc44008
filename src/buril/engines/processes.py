"""Engine processes: the processors of this machine, a process each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from buril.core.errors import BurilError
from buril.core.machine import cpus, memory_mb
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.text import _
from buril.core.workers import Engine, shard_of
from buril.engines._pool import Pool, Task

Job = TypeVar("Job")
Result = TypeVar("Result")


class Processes(Engine):
    """Does the work in processes of this machine; a worker that is killed costs its shard at hand, not the run."""

    class Settings(BaseSettings):
        """How many workers, and what is done when one dies."""

        retries: int = runtime(2, ge=0)
        """How often a shard whose worker died is tried again. The last try is made alone, with no other worker beside
        it: what kills workers is mostly memory, and a shard that fits alone is no reason to stop a night's run."""
        worker_mb: int = runtime(500, ge=1)
        """Memory that one worker is reckoned with, in 10^6 bytes, where a stage's `workers` is 0: no more are started
        than fit into what is free. A shard of 64 MB needs about that much in `prepare`."""

    settings: Settings

    def each(self, work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, *, stage: str) -> Iterator[Result]:
        """Do `work` on every job; in this process when one worker is enough.

        Raises:
            BurilError: S009 when a shard killed its worker in every try; the other shards are done by then.
            MemoryError: when a worker ran out of memory in every try.
        """
        count = min(workers or self.count(), len(jobs))
        if count <= 1:
            yield from map(work, jobs)
            return

        def died(task: Task[Job]) -> None:
            text = _("a worker died on shard {shard} ({reason}); the shard is tried again")
            if task.deaths <= self.settings.retries:
                self.warn(text.format(shard=shard_of(task.job, task.number), reason=reason_of(task)))

        pool = Pool(work, count, retries=self.settings.retries, died=died)
        yield from pool.run(jobs)
        if pool.failed:
            if memory := next((task.error for task in pool.failed if task.error), None):
                raise memory
            shards = ", ".join(shard_of(task.job, task.number) for task in pool.failed)
            last = pool.failed[-1]
            raise BurilError("S009", stage=stage, shards=shards, times=last.deaths, reason=reason_of(last))

    def count(self) -> int:
        """Workers that this machine bears: one a processor, as many as its free memory holds."""
        _total, free = memory_mb()
        return max(1, min(cpus(), int(free // self.settings.worker_mb) if free else cpus()))


def reason_of(task: Task[Job]) -> str:
    """How a worker ended, in words: the name of the signal, or its exit code.

    Example:
        a task with `exit_code=-9` → "SIGKILL, mostly for lack of memory"
    """
    import signal

    if task.error is not None:
        return _("out of memory")
    if task.exit_code == -signal.SIGKILL:
        return _("SIGKILL, mostly for lack of memory")
    if task.exit_code < 0:
        return signal.Signals(-task.exit_code).name
    return _("exit code {code}").format(code=task.exit_code)
