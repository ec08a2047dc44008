"""What came of a job, carried from the process that did it to the one that asked: a value, or the error raised."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any


class Answer:
    """What a worker has to say of one job: the value, or the error and where it was raised."""

    def __init__(self, result: Any, error: BaseException | None, trace: str) -> None:
        self.result, self.error, self.trace = result, error, trace

    def value(self) -> Any:
        """The value; raises what the worker raised, with the worker's own traceback below it."""
        if self.error is not None:
            raise self.error from _InWorker(self.trace)
        return self.result


class _InWorker(Exception):
    """Where in a worker an error was raised."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def answer(work: Callable[[Any], Any], job: Any) -> bytes:
    """Do the work on a job and pickle what came of it; an error that can't travel is told in words."""
    done = _Caught()
    with done:
        result = work(job)
        return bytes(ForkingPickler.dumps(Answer(result, None, "")))
    sent = _Caught()
    with sent:
        told = bytes(ForkingPickler.dumps(Answer(None, done.error, done.trace)))
        ForkingPickler.loads(told)  # an error that can be sent but not received would look like a bug of the pool
        return told
    plain = RuntimeError(f"{type(done.error).__name__}: {done.error}")
    return bytes(ForkingPickler.dumps(Answer(None, plain, done.trace)))


class _Caught:
    """Holds the error that ends its block, so that it can be sent to the parent."""

    error: BaseException | None = None
    trace = ""

    def __enter__(self) -> _Caught:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.error = error
        self.trace = "".join(traceback.format_exception(kind, error, trace)) if error else ""
        return isinstance(error, Exception)
