"""The messages of all rooms: what is written here is the truth, everything else only hurries it along."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, text

from chat.database import Database

PAGE = 200
"""Most messages that are read at once."""


@dataclass(frozen=True, slots=True)
class Message:
    """One line of a room; `seq` counts from 1 without holes."""

    room: str
    seq: int
    author: str
    body: str
    sent_ms: int


_NEXT_SEQ = text(
    "INSERT INTO rooms (name, last_seq) VALUES (:room, 1)"
    " ON CONFLICT (name) DO UPDATE SET last_seq = rooms.last_seq + 1 RETURNING last_seq"
)
_FIND_KEY = text(
    "SELECT room, seq, author, body, sent_ms FROM messages"
    " WHERE room = :room AND author = :author AND key = :key"
)
_INSERT = text(
    "INSERT INTO messages (room, seq, author, key, body, sent_ms)"
    " VALUES (:room, :seq, :author, :key, :body, :sent_ms)"
)
_AFTER = text(
    "SELECT room, seq, author, body, sent_ms FROM messages"
    " WHERE room = :room AND seq > :after ORDER BY seq LIMIT :limit"
)
_HEADS = text("SELECT name, last_seq FROM rooms WHERE name IN :rooms").bindparams(
    bindparam("rooms", expanding=True)
)


class Messages:
    """Append and read; safe to use from any number of processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, *, room: str, author: str, key: str, body: str) -> tuple[Message, bool]:
        """Store a message durably; the message and whether it is new. Raises UnavailableError.

        `key` is the author's own name for it: a client that did not get its acknowledgement sends the same
        key again and gets the message that was stored the first time.
        """
        async with self._database.write() as connection:
            # First, because the update locks the room until the commit: numbers appear in order, and of two
            # requests with one key the second sees the first.
            seq = int((await connection.execute(_NEXT_SEQ, {"room": room})).scalar_one())
            found = await connection.execute(_FIND_KEY, {"room": room, "author": author, "key": key})
            if (row := found.one_or_none()) is not None:
                await connection.rollback()
                return Message(*row), False
            message = Message(room, seq, author, body, time.time_ns() // 1_000_000)
            await connection.execute(
                _INSERT,
                {
                    "room": room,
                    "seq": seq,
                    "author": author,
                    "key": key,
                    "body": body,
                    "sent_ms": message.sent_ms,
                },
            )
        return message, True

    async def after(self, room: str, seq: int, limit: int = PAGE) -> Sequence[Message]:
        """The messages that follow `seq`, oldest first, at most `limit`. Raises UnavailableError."""
        async with self._database.read() as connection:
            rows = await connection.execute(_AFTER, {"room": room, "after": seq, "limit": limit})
            return [Message(*row) for row in rows]

    async def heads(self, rooms: Collection[str]) -> dict[str, int]:
        """The newest number of each room that has any message. Raises UnavailableError."""
        async with self._database.read() as connection:
            rows = await connection.execute(_HEADS, {"rooms": list(rooms)})
            return {row.name: row.last_seq for row in rows}
