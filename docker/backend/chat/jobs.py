"""The worker's timetable: which jobs there are, which is due, and that no two workers run the same."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from chat.database import Database

Job: TypeAlias = Callable[[AsyncConnection, int], Awaitable[int]]
"""Works in the given transaction at the given time (ms); the number of rows it touched."""

HOUR_MS = 3_600_000
KEEP_MINUTES_MS = 7 * 24 * HOUR_MS


async def rollup(connection: AsyncConnection, now_ms: int) -> int:
    """Count this hour and the one before again, from the messages themselves: these numbers are exact."""
    since = now_ms - now_ms % HOUR_MS - HOUR_MS
    done = await connection.execute(
        text(
            "INSERT INTO room_hours (room, hour_ms, messages, authors)"
            " SELECT room, sent_ms - sent_ms % :hour, COUNT(*), COUNT(DISTINCT author) FROM messages"
            " WHERE sent_ms >= :since GROUP BY room, sent_ms - sent_ms % :hour"
            " ON CONFLICT (room, hour_ms) DO UPDATE SET messages = excluded.messages,"
            " authors = excluded.authors"
        ),
        {"hour": HOUR_MS, "since": since},
    )
    return int(done.rowcount)


async def cleanup(connection: AsyncConnection, now_ms: int) -> int:
    """Forget the minutes of last week; the hours stay."""
    done = await connection.execute(
        text("DELETE FROM room_minutes WHERE minute_ms < :before"), {"before": now_ms - KEEP_MINUTES_MS}
    )
    return int(done.rowcount)


JOBS: Mapping[str, Job] = {"rollup": rollup, "cleanup": cleanup}


class Timetable:
    """The `jobs` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def request(self, kind: str) -> None:
        """Make a job due now. Raises KeyError for a job that does not exist, UnavailableError."""
        JOBS[kind]
        async with self._database.write() as connection:
            await connection.execute(text("UPDATE jobs SET due_ms = 0 WHERE kind = :kind"), {"kind": kind})

    async def run_next(self) -> tuple[str, int] | None:
        """Run the job that is due longest, if any: its name and the rows it touched. Raises UnavailableError.

        Taking the job and doing it are one transaction: a worker that dies in the middle has done nothing,
        and a second worker finds the job no longer due.
        """
        now_ms = time.time_ns() // 1_000_000
        async with self._database.write() as connection:
            taken = await connection.execute(
                text(
                    "UPDATE jobs SET due_ms = :now + every_ms, runs = runs + 1 WHERE kind ="
                    " (SELECT kind FROM jobs WHERE due_ms <= :now ORDER BY due_ms, kind LIMIT 1)"
                    " AND due_ms <= :now RETURNING kind"
                ),
                {"now": now_ms},
            )
            kind = taken.scalar_one_or_none()
            if kind is None:
                return None
            return str(kind), await JOBS[kind](connection, now_ms)
