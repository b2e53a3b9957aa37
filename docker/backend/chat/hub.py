"""The rooms and members of this instance: carries messages from the database to open WebSockets.

Each room with a member here has one task. A hint wakes it, it reads what follows the last number it has
delivered, and hands that to every member. Order and completeness come from the numbers, not from the hints.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator

from chat.bus import Bus
from chat.database import UnavailableError
from chat.messages import Message, Messages

GOING_AWAY = 1012
"""RFC 6455 close code registry: "service restart"; clients reconnect at once."""
TRY_AGAIN_LATER = 1013
QUEUE = 512
"""Frames a slow client may lag behind before it is sent away; it comes back and continues where it was."""
SLICES = 10
RETRY_S = 0.5
UNKNOWN = -1

log = logging.getLogger(__name__)


class Member:
    """One open WebSocket as the hub sees it: a bounded queue of messages and a way to end it."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Message] = asyncio.Queue(QUEUE)
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Resolves to the close code once the hub wants this member to leave."""

    def deliver(self, message: Message) -> None:
        """Queue a message; a member that does not read is ended."""
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            self.end(TRY_AGAIN_LATER)

    def end(self, code: int) -> None:
        """Ask the member's socket to finish what it does and close with `code`."""
        if not self.ended.done():
            self.ended.set_result(code)


class _Room:
    """The members of one room on this instance."""

    def __init__(self) -> None:
        self.members: set[Member] = set()
        self.news = asyncio.Event()
        self.looking = asyncio.Lock()
        self.delivered = UNKNOWN
        """The last number handed to the members; UNKNOWN until somebody has looked."""


class Hub:
    """Joins members to rooms and keeps them supplied."""

    def __init__(self, messages: Messages, bus: Bus) -> None:
        self._messages = messages
        self._bus = bus
        self._rooms: dict[str, _Room] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._left = asyncio.Event()

    @property
    def population(self) -> int:
        """Open WebSockets of this instance."""
        return sum(len(room.members) for room in self._rooms.values())

    @contextlib.asynccontextmanager
    async def membership(self, name: str) -> AsyncIterator[Member]:
        """Be a member of a room while the block runs: everything new from now on arrives in the queue.

        Raises UnavailableError.
        """
        member = Member()
        room = self._rooms.setdefault(name, _Room())
        room.members.add(member)
        try:
            await self._look(name, room)
            yield member
        finally:
            room.members.discard(member)
            self._left.set()
            if not room.members and self._rooms.get(name) is room:
                del self._rooms[name]
                if (task := self._tasks.pop(name, None)) is not None:
                    task.cancel()

    def wake(self, name: str) -> None:
        """A room of this instance may have something new."""
        if (room := self._rooms.get(name)) is not None:
            room.news.set()

    async def run(self) -> None:
        """Follow the hints of the other instances until cancelled."""
        async for hint in self._bus.hints():
            if hint is None:
                await self._compare()
            else:
                self.wake(hint)

    async def close_in_slices(self, duration_s: float) -> None:
        """End every member with "service restart", a tenth at a time, so that not all reconnect at once."""
        members = [member for room in self._rooms.values() for member in room.members]
        size = max(1, math.ceil(len(members) / SLICES))
        for start in range(0, len(members), size):
            if start:
                await asyncio.sleep(duration_s / SLICES)
            for member in members[start : start + size]:
                member.end(GOING_AWAY)

    async def emptied(self) -> None:
        """Wait until the last member has left."""
        while self.population:
            self._left.clear()
            await self._left.wait()

    async def _compare(self) -> None:
        if not self._rooms:
            return
        try:
            heads = await self._messages.heads(self._rooms.keys())
        except UnavailableError as error:
            log.warning("rooms not compared", extra={"error": str(error)})
            await asyncio.sleep(RETRY_S)
            return
        for name, room in self._rooms.items():
            if UNKNOWN < room.delivered < heads.get(name, 0):
                room.news.set()

    async def _look(self, name: str, room: _Room) -> None:
        """Begin to supply a room from its newest message on, if nobody has.

        It is registered by now: whatever is committed after the look is announced to it. And the first member
        waits for that: what it reads of the past reaches up to the look at least, so that nothing is between.
        """
        async with room.looking:
            if room.delivered == UNKNOWN:
                room.delivered = (await self._messages.heads([name])).get(name, 0)
                self._tasks[name] = asyncio.create_task(self._supply(name, room), name=f"room {name}")

    async def _supply(self, name: str, room: _Room) -> None:
        while True:
            try:
                room.news.clear()
                await self._deliver_news(name, room)
            except UnavailableError as error:
                log.warning("room not supplied", extra={"room": name, "error": str(error)})
                await asyncio.sleep(RETRY_S)
                room.news.set()
            await room.news.wait()

    async def _deliver_news(self, name: str, room: _Room) -> None:
        while news := await self._messages.after(name, room.delivered):
            room.delivered = news[-1].seq
            for member in room.members:
                for message in news:
                    member.deliver(message)
