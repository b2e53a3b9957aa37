"""The stream of things that happened, from the API instances to the one aggregator.

The chat itself does not depend on it: what is lost here (a killed instance's last moments) the worker's
roll-up counts again from the messages.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import redis.asyncio as redis
from redis.exceptions import RedisError
from sqlalchemy import text

from chat.database import Database, UnavailableError

STREAM = "chat.events"
BEGINNING = "0"
KEEP = 100_000
"""Events that wait at most for an aggregator that is away; older ones are the roll-up's business."""
BUFFER = 10_000
FLUSH_S = 0.2
POLL_S = 0.2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """`kind` is `message` or `join`."""

    kind: str
    room: str
    at_ms: int


class Stream(Protocol):
    """An append-only sequence that many write and one reads."""

    async def append(self, events: Sequence[Event]) -> None:
        """Add events. Raises what the medium raises."""

    async def read(self, after: str, limit: int, wait_s: float) -> Sequence[tuple[str, Event]]:
        """Events that follow the id `after`, with their ids; waits up to `wait_s` for the first."""

    async def trim(self, upto: str) -> None:
        """Forget events up to and including this id."""


class TableStream:
    """No Redis: a table of the database, read by polling."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, events: Sequence[Event]) -> None:
        """Insert; the counter row is locked until the commit, so ids appear in order."""
        async with self._database.write() as connection:
            last = await connection.execute(
                text(
                    "INSERT INTO stream_heads (name, last_id) VALUES (:name, :count)"
                    " ON CONFLICT (name) DO UPDATE SET last_id = stream_heads.last_id + :count"
                    " RETURNING last_id"
                ),
                {"name": STREAM, "count": len(events)},
            )
            first = int(last.scalar_one()) - len(events) + 1
            await connection.execute(
                text("INSERT INTO stream_events (id, payload) VALUES (:id, :payload)"),
                [{"id": first + n, "payload": _dumps(event)} for n, event in enumerate(events)],
            )

    async def read(self, after: str, limit: int, wait_s: float) -> Sequence[tuple[str, Event]]:
        """Poll until there is something or the time is up."""
        deadline = time.monotonic() + wait_s
        while True:
            async with self._database.read() as connection:
                rows = await connection.execute(
                    text("SELECT id, payload FROM stream_events WHERE id > :after ORDER BY id LIMIT :limit"),
                    {"after": int(after), "limit": limit},
                )
                events = [(str(row.id), _loads(row.payload)) for row in rows]
            if events or time.monotonic() >= deadline:
                return events
            await asyncio.sleep(POLL_S)

    async def trim(self, upto: str) -> None:
        """Delete."""
        async with self._database.write() as connection:
            await connection.execute(text("DELETE FROM stream_events WHERE id <= :upto"), {"upto": int(upto)})


class RedisStream:
    """A Redis stream, bounded in length."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    async def append(self, events: Sequence[Event]) -> None:
        """One round trip for all of them."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for event in events:
                pipeline.xadd(STREAM, {"event": _dumps(event)}, maxlen=KEEP, approximate=True)
            await pipeline.execute()

    async def read(self, after: str, limit: int, wait_s: float) -> Sequence[tuple[str, Event]]:
        """A blocking XREAD."""
        reply: Any = await self._client.xread({STREAM: after}, count=limit, block=int(wait_s * 1000))
        entries = reply[0][1] if reply else []
        return [(entry_id.decode(), _loads(fields[b"event"])) for entry_id, fields in entries]

    async def trim(self, upto: str) -> None:
        """XTRIM keeps the id it is given, which does not matter: the reader is past it."""
        await self._client.xtrim(STREAM, minid=upto)


class Outbox:
    """Collects an instance's events and sends them in batches; an outage of the medium delays nobody."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiting: deque[Event] = deque()
        self._dropped = 0
        self._closing = asyncio.Event()

    def add(self, kind: str, room: str) -> None:
        """Note that something happened; never blocks, never fails."""
        if len(self._waiting) >= BUFFER:
            self._dropped += 1
            return
        self._waiting.append(Event(kind, room, time.time_ns() // 1_000_000))

    def close(self) -> None:
        """Let `run` send what is left and end; cancelling it might send a batch twice."""
        self._closing.set()

    async def run(self) -> None:
        """Send batches until closed."""
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._closing.wait()
            await self._flush()

    async def _flush(self) -> None:
        """Send what waits now; what cannot be sent waits for the next time."""
        batch = list(self._waiting)
        if not batch:
            return
        try:
            await self._stream.append(batch)
        except (UnavailableError, RedisError, OSError) as error:
            log.warning("events wait", extra={"waiting": len(batch), "error": str(error)})
            return
        for _ in batch:
            self._waiting.popleft()
        if self._dropped:
            log.error("events dropped while the stream was away", extra={"dropped": self._dropped})
            self._dropped = 0


def _dumps(event: Event) -> str:
    return json.dumps(asdict(event))


def _loads(payload: str | bytes) -> Event:
    return Event(**json.loads(payload))
