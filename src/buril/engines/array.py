"""Engine array: one part of an index array (Slurm, Kubernetes), which shares nothing with the others but the store.

The first process to come runs the stage until it asks for work on shards, writes these jobs into a list in the stage's
folder, and lets go of it. Then every process does the jobs of its part (k ≡ i modulo n) and notes what it has
done. When all are done, one process (whoever gets the lock first) runs the stage on, to its next list or to its end.
So what a stage does between its steps is done by one process at a time, and the artifact appears once.

Locks are the store's `flock`s, which go with their process: a dead part leaves its jobs undone and nothing locked.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from buril.core.errors import BurilError
from buril.core.lock import hold
from buril.core.settings import Settings as BaseSettings
from buril.core.settings import runtime
from buril.core.stage import Output
from buril.core.workers import LISTS, Engine, Listed, Unfinished
from buril.engines._lists import Item, Lists, do_item
from buril.engines.processes import Processes

Job = TypeVar("Job")
Result = TypeVar("Result")
MERGE, AUTO = "merge", "auto"
COUNT = "BURIL_SHARDS"
_POLL_S = 0.5


class Part(NamedTuple):
    """Which part of an array this process is: `number` of `of`, from 0."""

    number: int
    of: int


class Array(Engine):
    """Does one part of the work, beside other processes that do theirs; several machines that share the store."""

    shares = True

    class Settings(BaseSettings):
        """Which part this is, and how long it waits for the others."""

        shorthand = "shard"

        shard: str = runtime(AUTO)
        """`i/n` for part i of n, counted from 0; `auto` for what Slurm (SLURM_ARRAY_TASK_ID) or Kubernetes
        (JOB_COMPLETION_INDEX, with BURIL_SHARDS for n) says; `merge` for all that is left."""
        wait_s: float = runtime(600.0, ge=0)
        """Seconds without progress of the others after which a part that has done its own work ends. The parts that
        still wait go on together with the stage's next step; 0 ends at once, and a later run goes on."""

    settings: Settings

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.part = part_of(settings.shard, os.environ)
        self.shares = self.part is not None  # a merge is alone
        self._processes = Processes(Processes.Settings())

    def begin(self, out: Output) -> None:
        """Keep what is listed: it goes on."""
        self.out = self._processes.out = out

    def each(self, work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, *, stage: str) -> Iterator[Result]:
        """The results of all jobs; where some are missing, list them and end the stage's own code (a merge does them).

        Raises:
            Listed: when there is work for the parts.
            BurilError: S027 for a job that can't be written down; S009 when workers died on a shard again and again.
        """
        if self.out is None:  # outside of a store there is nobody to share with
            yield from self._processes.each(work, jobs, workers, stage=stage)
            return
        lists = Lists(self.out.folder / LISTS)
        items = lists.items(work, jobs, stage)
        done = lists.done()
        missing = [number for number, item in enumerate(items) if item.name not in done]
        if self.part and len(missing) > 1:
            lists.write([items[number] for number in missing], workers)
            raise Listed
        yield from (lists.result(done[item.name]) for item in items if item.name in done)
        yield from self._processes.each(work, [jobs[number] for number in missing], workers, stage=stage)

    def help(self, out: Output) -> None:
        """Do this part's jobs of the list, then wait for the other parts.

        Raises:
            Unfinished: when the other parts make no progress for `wait_s`.
            BurilError: S028 when the list was written by other software.
        """
        lists = Lists(out.folder / LISTS)
        listed = lists.read()
        if listed is None:
            return
        assert self.part is not None
        self._processes.out = out
        # A part that was started twice (a requeued task, a replaced pod) is done once.
        with hold(lists.folder / f"part-{self.part.number}-{self.part.of}.lock"):
            done = lists.done()
            mine = [item for item in listed.items[self.part.number :: self.part.of] if item.name not in done]
            for _none in self._processes.each(do_item, mine, listed.workers, stage=out.stage):
                out.progress(_num_done(listed.items, lists.done()), len(listed.items), "shards")
        self._wait(lists, listed.items, out)

    def _wait(self, lists: Lists, items: Sequence[Item], out: Output) -> None:
        num_done, since = -1, time.monotonic()
        while (now := _num_done(items, lists.done())) < len(items):
            if now > num_done:
                num_done, since = now, time.monotonic()
                out.progress(now, len(items), "shards")
            if time.monotonic() - since >= self.settings.wait_s:
                raise Unfinished(out.stage, len(items) - now)
            time.sleep(_POLL_S)


def part_of(shard: str, environment: Mapping[str, str]) -> Part | None:
    """The part that `--shard` names; None for a merge.

    Example:
        `part_of("auto", {"JOB_COMPLETION_INDEX": "2", "BURIL_SHARDS": "8"})` → `Part(2, 8)`

    Raises:
        BurilError: S025 for what is neither `i/n` with i < n, `auto` nor `merge`; S026 for `auto` outside an array.
    """
    if shard == MERGE:
        return None
    if shard == AUTO:
        return _from_environment(environment)
    found = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not found or int(found[1]) >= int(found[2]):
        raise BurilError("S025", text=shard)
    return Part(int(found[1]), int(found[2]))


def _from_environment(environment: Mapping[str, str]) -> Part:
    """Slurm tells the number of tasks, and where their numbers begin; Kubernetes tells the index alone."""
    index = environment.get("SLURM_ARRAY_TASK_ID") or environment.get("JOB_COMPLETION_INDEX") or ""
    count = environment.get(COUNT) or ""
    if index.isdigit() and not count and environment.get("SLURM_ARRAY_TASK_COUNT", "").isdigit():
        first, step = (environment.get(f"SLURM_ARRAY_TASK_{name}") or default for name, default in _SLURM)
        index, count = str((int(index) - int(first)) // int(step)), environment["SLURM_ARRAY_TASK_COUNT"]
    if not index.isdigit() or not count.isdigit():
        raise BurilError("S026", missing=COUNT if index.isdigit() else "SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX")
    if int(index) >= int(count):
        raise BurilError("S025", text=f"{index}/{count}")
    return Part(int(index), int(count))


_SLURM = (("MIN", "0"), ("STEP", "1"))


def _num_done(items: Sequence[Item], done: Mapping[str, str]) -> int:
    return sum(item.name in done for item in items)
