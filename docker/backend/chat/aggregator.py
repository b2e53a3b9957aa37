"""The aggregator program: counts the stream's events into the database. There must be exactly one."""

import asyncio
import logging

from chat import logs, settings
from chat.analytics import Analytics
from chat.loop import repeat
from chat.resources import acquire
from chat.stream import Stream

BATCH = 1000
WAIT_S = 1.0

log = logging.getLogger("chat.aggregator")  # __name__ is __main__ here


async def aggregate_once(stream: Stream, analytics: Analytics) -> int:
    """Count what follows the stored offset; the number of events."""
    previous = await analytics.offset()
    batch = await stream.read(previous, BATCH, WAIT_S)
    if not batch:
        return 0
    if not await analytics.apply(batch, previous=previous):
        log.warning("another aggregator is at work")
        return 0
    await stream.trim(batch[-1][0])
    return len(batch)


async def _run() -> None:
    configuration = settings.load()
    logs.configure(configuration, "aggregator")
    async with acquire(configuration) as resources:
        analytics = Analytics(resources.database)

        async def step() -> None:
            if counted := await aggregate_once(resources.stream, analytics):
                log.info("counted", extra={"events": counted})

        await repeat(step)


if __name__ == "__main__":
    asyncio.run(_run())
