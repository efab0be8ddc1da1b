"""A limit on how long something is awaited."""

import asyncio


async def limited(awaitable, seconds):
    """What `awaitable` gives; TimeoutError where it takes longer.

    `asyncio.wait_for` of Python 3.11 gives its result to a task that is cancelled in the same turn, and the task goes on
    as if nobody had cancelled it.
    """
    async with asyncio.timeout(seconds):
        return await awaitable
