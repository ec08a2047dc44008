"""Waiting for a time: as `asyncio.wait_for`, but one that is given up while it waits has been given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

Result = TypeVar("Result")


async def within(work: Awaitable[Result], seconds: float) -> Result:
    """What some work gives, if it does so in time; else it is ended.

    `asyncio.wait_for` forgets before Python 3.12 that it was cancelled when the work is done at the same time: the
    answer to a client that has gone would be written on.

    Raises:
        asyncio.TimeoutError: it did not.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=seconds)
        if not task.done():
            raise asyncio.TimeoutError
        return task.result()
    finally:
        task.cancel()
