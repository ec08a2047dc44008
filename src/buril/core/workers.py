"""Processes for work on shards: they leave Ctrl-C to the parent, and end when it does."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from buril.core.errors import BurilError
from buril.core.text import _

_WATCH_S = 1.0
Job = TypeVar("Job")
Result = TypeVar("Result")


def each(work: Callable[[Job], Result], jobs: Sequence[Job], workers: int, *, stage: str) -> Iterator[Result]:
    """Do `work` on every job and give the results as they come; in this process when one worker is enough.

    Args:
        work: a function of a module; it writes its result as a file that appears whole.
        jobs: what to do; each must be picklable.
        workers: how many processes; 0 for one a processor.
        stage: named in the error.

    Raises:
        BurilError: S009 when a process died.
    """
    count = min(workers or os.cpu_count() or 1, len(jobs))
    if count <= 1:
        yield from map(work, jobs)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    # A fork starts at once and needs no importable main module, but torch's threads don't survive one.
    context = multiprocessing.get_context("spawn" if "torch" in sys.modules or sys.platform == "darwin" else "fork")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(os.getpid(),)) as pool:
        try:
            for future in as_completed([pool.submit(work, job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool as broken:
            raise BurilError("S009", stage=stage, exit_code=_("unknown")) from broken
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the shard at hand is finished and kept
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    os._exit(1)  # a worker whose parent was killed would wait for work for good
