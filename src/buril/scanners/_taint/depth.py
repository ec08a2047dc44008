"""How deep Python may call itself while a tree is read, for as long as any thread reads one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Depth:
    """Raises Python's limit of recursion while somebody is inside.

    The limit belongs to the process, not to a thread. If each thread put back what it had found, two that overlap
    would cut the limit under the one that is still deep inside, and leave it raised for ever after the last.

    Args:
        limit: calls within calls, at least, while somebody is inside.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0

    @contextmanager
    def raised(self) -> Iterator[None]:
        """The first one in raises the limit, the last one out puts back what the first one found."""
        with self._lock:
            if self._inside == 0:
                self._before = sys.getrecursionlimit()
                sys.setrecursionlimit(max(self._before, self._limit))
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    sys.setrecursionlimit(self._before)
