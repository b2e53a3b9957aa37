"""The life of a background program: work in steps, survive outages, stop between two steps."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from redis.exceptions import RedisError

from chat.database import UnavailableError
from chat.notify import notify

Step: TypeAlias = Callable[[], Awaitable[None]]

RETRY_S = 0.5
log = logging.getLogger(__name__)


async def repeat(step: Step) -> None:
    """Repeat `step` until SIGTERM or SIGINT; a step that has begun is finished.

    While the database or Redis is away the step is tried again and again; anything else is a bug, ends the
    program, and is the supervisor's business.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    notify("READY=1")
    log.info("started")
    while not stop.is_set():
        try:
            await step()
        except (UnavailableError, RedisError, OSError) as error:
            log.warning("will try again", extra={"error": f"{type(error).__name__}: {error}"})
            await _sleep(stop, RETRY_S)
    notify("STOPPING=1")
    log.info("stopped")


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
