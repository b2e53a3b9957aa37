"""When probes look: until the first success for readiness, and for ever, with patience, for health."""

import asyncio
import os
from collections.abc import Callable

from pidone.ecosystem.spec import Probe
from pidone.listen.probes import Check


async def until_ready(probe: Probe, check: Check, on_ready: Callable[[], None]) -> None:
    """Look every `interval` until it succeeds once; the caller limits the time by cancelling."""
    while await look(check, probe.timeout):  # noqa: ASYNC110 (it happens in another process)
        await asyncio.sleep(probe.interval)
    on_ready()


async def until_failed(probe: Probe, check: Check, on_failed: Callable[[str], None]) -> None:
    """Look every `interval`; `failures` in a row after the `grace` end it."""
    loop = asyncio.get_running_loop()
    counts_from = loop.time() + probe.grace
    failures = 0
    while failures < probe.failures:
        await asyncio.sleep(probe.interval)
        problem = await look(check, probe.timeout)
        failures = failures + 1 if problem and loop.time() >= counts_from else 0
    on_failed(f"health check failed {failures} times in a row: {problem}")


async def look(check: Check, timeout_s: float) -> str:
    """One check within its time; what is wrong, or an empty string."""
    try:
        async with asyncio.timeout(timeout_s):
            return await check()
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
