"""Waiting with a limit of time that never overlooks that who waits is told to end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Found = TypeVar("Found")


async def within(work: Coroutine[Any, Any, Found], seconds: float) -> Found:
    """The result of some work that ends in time.

    `asyncio.wait_for` of Python before 3.12 goes on where it is cancelled in the moment in which the work is done. With
    a fast engine that is the usual moment: who has gone would be written for to the end.

    Raises:
        asyncio.TimeoutError: it did not; it is cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _late = await asyncio.wait((task,), timeout=seconds)
        if not done:
            raise asyncio.TimeoutError
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
