"""The worker program: runs the jobs of the timetable when they are due."""

import asyncio
import logging

from chat import logs, settings
from chat.jobs import Timetable
from chat.loop import repeat
from chat.resources import acquire

IDLE_S = 0.5

log = logging.getLogger("chat.worker")  # __name__ is __main__ here


async def _run() -> None:
    configuration = settings.load()
    logs.configure(configuration, "worker")
    async with acquire(configuration) as resources:
        timetable = Timetable(resources.database)

        async def step() -> None:
            if (done := await timetable.run_next()) is None:
                await asyncio.sleep(IDLE_S)
                return
            log.info("job done", extra={"job": done[0], "rows": done[1]})

        await repeat(step)


if __name__ == "__main__":
    asyncio.run(_run())
