"""What the programs of the service share: the database, and Redis or its stand-ins."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from chat.bus import Bus, PollingBus, RedisBus
from chat.database import Database
from chat.settings import Settings
from chat.stream import RedisStream, Stream, TableStream

REDIS_CONNECT_TIMEOUT_S = 1.0
REDIS_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Resources:
    """Connected lazily: a process starts, and says that it is not ready, while these are away."""

    database: Database
    bus: Bus
    stream: Stream


@contextlib.asynccontextmanager
async def acquire(settings: Settings) -> AsyncIterator[Resources]:
    """Make the resources and close their connections at the end."""
    database = Database(settings)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        if settings.redis_url is None:
            yield Resources(database, PollingBus(), TableStream(database))
            return
        client = redis.Redis.from_url(
            settings.redis_url,
            protocol=2,  # one shape of replies, whatever the client's default is
            socket_connect_timeout=REDIS_CONNECT_TIMEOUT_S,
            socket_timeout=REDIS_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # each caller knows better what to do meanwhile
        )
        stack.push_async_callback(client.aclose)
        yield Resources(database, RedisBus(client), RedisStream(client))
