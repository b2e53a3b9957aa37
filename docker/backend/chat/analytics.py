"""What the aggregator writes and everybody may read: messages and joins per room and minute."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import text

from chat.database import Database
from chat.stream import BEGINNING, Event

CONSUMER = "aggregator"
MINUTE_MS = 60_000

_MOVE = text(
    "INSERT INTO stream_offsets (consumer, last_id) VALUES (:consumer, :new)"
    " ON CONFLICT (consumer) DO UPDATE SET last_id = :new WHERE stream_offsets.last_id = :old"
)
_COUNT = text(
    "INSERT INTO room_minutes (room, minute_ms, messages, joins)"
    " VALUES (:room, :minute_ms, :messages, :joins)"
    " ON CONFLICT (room, minute_ms) DO UPDATE SET messages = room_minutes.messages + :messages,"
    " joins = room_minutes.joins + :joins"
)


class Analytics:
    """Counts in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def offset(self) -> str:
        """The id of the last event that is counted. Raises UnavailableError."""
        async with self._database.read() as connection:
            row = await connection.execute(
                text("SELECT last_id FROM stream_offsets WHERE consumer = :consumer"), {"consumer": CONSUMER}
            )
            return str(row.scalar() or BEGINNING)

    async def apply(self, batch: Sequence[tuple[str, Event]], *, previous: str) -> bool:
        """Count a batch that follows the event `previous`, exactly once.

        The offset moves in the transaction of the counts, and only from where the batch began: after a crash,
        or with a second aggregator by mistake, nothing counts twice. False means somebody else was here.
        Raises UnavailableError.
        """
        counts: dict[tuple[str, int], Counter[str]] = {}
        for _, event in batch:
            minute = event.at_ms - event.at_ms % MINUTE_MS
            counts.setdefault((event.room, minute), Counter())[event.kind] += 1
        async with self._database.write() as connection:
            moved = await connection.execute(
                _MOVE, {"consumer": CONSUMER, "old": previous, "new": batch[-1][0]}
            )
            if moved.rowcount != 1:
                return False
            await connection.execute(
                _COUNT,
                [
                    {
                        "room": room,
                        "minute_ms": minute_ms,
                        "messages": kinds["message"],
                        "joins": kinds["join"],
                    }
                    for (room, minute_ms), kinds in sorted(counts.items())
                ],
            )
        return True

    async def of_room(self, room: str) -> dict[str, object]:
        """The last hour by minute, and the roll-up by hour. Raises UnavailableError."""
        async with self._database.read() as connection:
            minutes = await connection.execute(
                text(
                    "SELECT minute_ms, messages, joins FROM room_minutes WHERE room = :room"
                    " ORDER BY minute_ms DESC LIMIT 60"
                ),
                {"room": room},
            )
            hours = await connection.execute(
                text(
                    "SELECT hour_ms, messages, authors FROM room_hours WHERE room = :room"
                    " ORDER BY hour_ms DESC LIMIT 24"
                ),
                {"room": room},
            )
            return {
                "room": room,
                "minutes": [dict(row) for row in minutes.mappings()],
                "hours": [dict(row) for row in hours.mappings()],
            }
