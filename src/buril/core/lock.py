"""Locks of the system (`flock`): each goes with the process that held it, also over NFS; none outlives a crash."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from buril.core.errors import BurilError

_RETRY_S, _SHORT = 0.2, 10


@contextmanager
def hold(
    path: Path, *, shared: bool = False, wait: bool = True, waiting: Callable[[str], None] | None = None
) -> Iterator[bool]:
    """Hold a lock alone, or beside others that share it; gives whether it is held.

    Without `wait`, False is given after a moment. `waiting` is told once, with the process that holds the lock alone,
    that there is some waiting to do; parts of an array often share after a moment, which is not worth a word.

    Raises:
        BurilError: S020 when the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as handle:
        held, tries = _flock(handle, shared=shared), 0
        while not held and wait:
            if waiting and tries == (_SHORT if shared else 0):
                handle.seek(0)
                waiting(handle.read().strip())
            time.sleep(_RETRY_S)
            held, tries = _flock(handle, shared=shared), tries + 1
        if held and not shared:
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
        if not held:
            time.sleep(_RETRY_S)
        yield held


def is_held(path: Path) -> bool:
    """Whether another process holds the lock, alone or shared."""
    if not path.exists():
        return False
    with path.open("a+") as handle:
        return not _flock(handle, shared=False)


def _flock(handle: IO[str], *, shared: bool) -> bool:
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as problem:
        if problem.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise BurilError("S020", path=handle.name, problem=os.strerror(problem.errno)) from problem
        raise
    return True
