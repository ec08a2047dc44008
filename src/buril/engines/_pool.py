"""A pool of processes that knows which job each one has: a dead worker costs the job at hand, not the others'.

`concurrent.futures` breaks as a whole when one process dies: it can't tell which job killed it, and stops the other
workers too. Here each worker has a pipe of its own, no queue is shared, and no semaphore is needed, so a container with
a small or missing `/dev/shm` does as well.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.context import ForkProcess, SpawnProcess
from typing import Any, Generic, TypeVar

from buril.engines._answer import Answer, answer

Job = TypeVar("Job")
Result = TypeVar("Result")
_WATCH_S = 1.0
_ENOUGH = 3
"""Shards that may fail for good before the rest is left alone: then it is not a shard that is at fault."""
_UNFORKABLE = ("torch", "ray", "grpc", "jax")
"""Packages whose threads don't survive a fork: where one is loaded, workers start afresh."""


@dataclass
class Task(Generic[Job]):
    """A job, its place among all jobs, and how its workers ended so far."""

    number: int
    job: Job
    deaths: int = 0
    exit_code: int = 0
    error: BaseException | None = None
    """Set when it was memory that a worker ran out of, and said so itself."""


class Pool(Generic[Job, Result]):
    """Some processes that do `work` on tasks.

    A task whose worker died is tried again behind the others; the last of `retries` tries runs alone, so that the
    neighbours' memory is not in its way. `failed` holds those for which all that was in vain (after three of them the
    rest is not tried alone any more); `died` hears of each death.
    """

    def __init__(self, work: Callable[[Job], Result], count: int, *, retries: int, died: Callable[[Task[Job]], None]):
        self._work, self._retries, self._died = work, retries, died
        self._workers = [_Worker[Job, Result](work) for _ in range(count)]
        self._waiting: deque[Task[Job]] = deque()
        self._alone: deque[Task[Job]] = deque()
        self.failed: list[Task[Job]] = []

    def run(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """The results as they come. An error raised by `work` ends it; jobs at hand are finished first."""
        self._waiting.extend(Task(number, job) for number, job in enumerate(jobs))
        try:
            while self._deal():
                for worker in _ready([worker for worker in self._workers if worker.task]):
                    task, answer = worker.answer()
                    if answer and not isinstance(answer.error, MemoryError):
                        yield answer.value()
                    else:
                        self._again(task, worker, answer.error if answer else None)
        finally:
            self._stop()

    def _deal(self) -> bool:
        """Give work to who has none; whether anybody has work now."""
        for number, worker in enumerate(self._workers):
            if not worker.task and self._waiting:
                if worker.dead:
                    worker = self._workers[number] = _Worker[Job, Result](self._work)  # noqa: PLW2901  its place is taken
                worker.give(self._waiting.popleft())
        busy = any(worker.task for worker in self._workers)
        if not busy and self._alone and len(self.failed) < _ENOUGH:
            self._waiting.append(self._alone.popleft())
            return self._deal()
        return busy

    def _again(self, task: Task[Job], worker: _Worker[Job, Result], error: BaseException | None) -> None:
        task.deaths, task.error, task.exit_code = task.deaths + 1, error, worker.exit_code
        self._died(task)
        if task.deaths > self._retries:
            self.failed.append(task)
        elif task.deaths == self._retries:
            self._alone.append(task)
        else:
            self._waiting.append(task)

    def _stop(self) -> None:
        """Let every worker finish its job; a second Ctrl-C ends them at once."""
        try:
            for worker in self._workers:
                worker.stop()
            for worker in self._workers:
                worker.process.join()
        except KeyboardInterrupt:
            for worker in self._workers:
                worker.process.kill()
            raise
        finally:
            for worker in self._workers:
                worker.process.join()
                worker.pipe.close()


class _Worker(Generic[Job, Result]):
    def __init__(self, work: Callable[[Job], Result]) -> None:
        # A fork starts at once and needs no importable main module.
        spawn = sys.platform == "darwin" or any(name in sys.modules for name in _UNFORKABLE)
        context = get_context("spawn") if spawn else get_context("fork")
        self.task: Task[Job] | None = None
        self.dead = False
        self.pipe, theirs = context.Pipe()
        self.process: SpawnProcess | ForkProcess = context.Process(
            target=_serve, args=(theirs, work, os.getpid()), daemon=True
        )
        self.process.start()
        theirs.close()

    def give(self, task: Task[Job]) -> None:
        self.task = task
        with suppress(BrokenPipeError, ConnectionResetError):  # it died between two jobs: `answer` finds that out
            self.pipe.send(task.job)

    def answer(self) -> tuple[Task[Job], Answer | None]:
        """The task at hand and what came of it; None when the worker died."""
        task = self.task
        assert task is not None
        self.task = None
        try:
            return task, self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            self.dead = True
            return task, None

    @property
    def exit_code(self) -> int:
        return self.process.exitcode or 0

    def stop(self) -> None:
        try:
            self.pipe.send(None)
        except (BrokenPipeError, ConnectionResetError):
            self.dead = True


def _ready(busy: list[_Worker[Job, Result]]) -> list[_Worker[Job, Result]]:
    """Those that have said something, or died; waits until there is one."""
    said = set(connection.wait([worker.pipe for worker in busy]))
    return [worker for worker in busy if worker.pipe in said]


def _serve(pipe: connection.Connection, work: Callable[[Any], Any], parent: int) -> None:
    """The life of a worker: do what comes until nothing comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; the shard at hand is finished and kept
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        if job is None:
            return
        pipe.send_bytes(answer(work, job))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    os._exit(1)  # a worker whose parent was killed would wait for work for good
