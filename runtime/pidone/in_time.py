"""A time for what is awaited that is held against nobody who could not use it."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from pidone.contracts import Clock, Timer
from pidone.ecosystem.spec import Seconds

_STANDSTILL: Final[Seconds] = 0.05
"""A loop that comes so late had no CPU, or was stopped."""

_T = TypeVar("_T")


async def in_time(work: Awaitable[_T], seconds: Seconds, deadlines: Clock) -> _T:
    """What `work` gives. Raises TimeoutError, and cancels it, when it takes longer than `seconds`.

    `deadlines` call after whatever has happened by then, and `work` hears of that first. Where the loop stood
    still meanwhile, there are as many seconds more, once: nobody was asked in them, or heard.
    """
    loop = asyncio.get_running_loop()
    due = loop.time() + seconds
    timer: Timer

    def judge() -> None:
        nonlocal timer
        late = loop.time() - due
        if late < _STANDSTILL:
            expire()
        else:
            timer = deadlines.call_later(min(late, seconds), expire)

    def expire() -> None:
        limit.reschedule(loop.time())

    async with asyncio.timeout(None) as limit:
        timer = deadlines.call_later(seconds, judge)
        try:
            return await work
        finally:
            timer.cancel()
