"""`/health` and `/ready`: each named check is really made, at the time of the question."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError

from chat import migrate
from chat.database import UnavailableError
from chat.resources import Resources

TIMEOUT_S = 1.0


class WrongSchemaError(Exception):
    """The database is at another version than this code."""


async def report(checks: Mapping[str, Callable[[], Awaitable[None]]]) -> tuple[bool, dict[str, object]]:
    """Make all checks at once; whether all passed, and what each said and how long it took."""
    results = await asyncio.gather(*(_timed(check) for check in checks.values()))
    passed = all(error is None for error, _ in results)
    return passed, {
        name: {"ok": error is None, "ms": round(took_s * 1000, 1), **({"error": error} if error else {})}
        for name, (error, took_s) in zip(checks, results, strict=True)
    }


async def check_schema(resources: Resources) -> None:
    """Raises WrongSchemaError unless the migrations of this code have been applied."""
    async with resources.database.read() as connection:
        have = await migrate.current(connection)
    if have != migrate.newest():
        raise WrongSchemaError(f"schema is at version {have}, this code needs {migrate.newest()}")


async def _timed(check: Callable[[], Awaitable[None]]) -> tuple[str | None, float]:
    started = time.monotonic()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await check()
    except (UnavailableError, WrongSchemaError, DBAPIError, RedisError, OSError) as error:
        # OSError covers TimeoutError; the first line is enough for people and leaks no SQL
        return f"{type(error).__name__}: {error}".partition("\n")[0], time.monotonic() - started
    return None, time.monotonic() - started
