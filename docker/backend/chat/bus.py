"""How instances hear that a room has something new; what it is, they read from the database.

A hint may be lost, doubled or late, and no message is: a listener that doubts looks at the numbers.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Protocol, TypeAlias

import redis.asyncio as redis
from redis.exceptions import RedisError

Hint: TypeAlias = str | None
"""A room's name, or None for "any room may have something new"."""

CHANNEL = "chat.rooms"
POLL_S = 0.1
"""Without Redis: how late a message of another instance may be."""
DOUBT_S = 5.0
"""With Redis: how often the numbers are compared although nothing was announced."""
RETRY_S = 0.5

log = logging.getLogger(__name__)


class Bus(Protocol):
    """Hints between the instances of the service."""

    async def announce(self, room: str) -> None:
        """Tell every instance that `room` has a new message; never raises."""

    def hints(self) -> AsyncIterator[Hint]:
        """What the other instances announce, for ever."""

    async def check(self) -> None:
        """Raises if hints do not travel right now."""


class PollingBus:
    """No Redis: every instance looks at the database several times a second."""

    async def announce(self, room: str) -> None:
        """Nothing to do: the message is in the database."""

    async def hints(self) -> AsyncIterator[Hint]:
        """One doubt per interval."""
        while True:
            await asyncio.sleep(POLL_S)
            yield None

    async def check(self) -> None:
        """The database is all it needs."""


class RedisBus:
    """One Redis channel for all rooms; while Redis is away, instances poll the database instead."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    async def announce(self, room: str) -> None:
        """Publish the room's name."""
        try:
            await self._client.publish(CHANNEL, room)
        except (RedisError, OSError) as error:
            log.debug("hint not sent", extra={"room": room, "error": str(error)})

    async def hints(self) -> AsyncIterator[Hint]:
        """Hints from Redis; a doubt after each (re)connection and now and then in between."""
        while True:
            try:
                async with self._client.pubsub() as subscription:
                    await subscription.subscribe(CHANNEL)
                    log.info("listening for hints", extra={"channel": CHANNEL})
                    yield None
                    while True:
                        message = await subscription.get_message(
                            ignore_subscribe_messages=True, timeout=DOUBT_S
                        )
                        yield message["data"].decode() if message else None
            except (RedisError, OSError) as error:
                log.warning("hints are interrupted", extra={"error": str(error)})
            await asyncio.sleep(RETRY_S)
            yield None

    async def check(self) -> None:
        """Raises RedisError or OSError."""
        await self._client.ping()
