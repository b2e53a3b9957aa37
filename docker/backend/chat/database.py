"""The connection pool: one per process, sized by the settings, the same SQL on SQLite and Postgres."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from chat.admission import Admission, RefusedError
from chat.settings import Settings

CONNECT_TIMEOUT_S = 1.0
"""For all that comes before a statement: a place in the pool, the connection, whether it still answers."""
POOL_TIMEOUT_S = 0.8
"""For the place alone: shorter, because others being slow is no outage."""
STATEMENT_TIMEOUT_S = 5.0
WAITING_PER_CONNECTION = 20
"""More requests than that for each connection of the pool are refused at once: no queue grows unseen."""


class UnavailableError(Exception):
    """The database cannot be asked right now; the same request may succeed later."""


class Database:
    """Hands out connections; reads never block writers, a write is one transaction."""

    def __init__(self, settings: Settings) -> None:
        self._engine = _sqlite(settings) if settings.is_sqlite else _postgres(settings)
        self._connect_timeout_s = CONNECT_TIMEOUT_S * settings.patience
        self.most_waiting = round(WAITING_PER_CONNECTION * settings.pool_size * settings.patience)
        most = settings.pool_size + self.most_waiting
        self._admission = Admission(most, may_be_away=not settings.is_sqlite)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries, each of which is its own transaction. Raises UnavailableError."""
        with _failures_translated():
            async with self._connection() as connection:
                yield await connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction, committed and durable when the block is left. Raises UnavailableError."""
        with _failures_translated():
            async with self._connection() as connection, connection.begin():
                yield connection

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        with self._admission.place():
            with self._admission.attempt():
                try:
                    async with asyncio.timeout(self._connect_timeout_s):
                        connection = await self._engine.connect()
                except PoolTimeoutError:
                    raise RefusedError("no connection became free") from None
            try:
                yield connection
            finally:
                await _completed(connection.close())

    async def check(self) -> None:
        """Ask the database something. Raises UnavailableError."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._engine.dispose()


async def _completed(step: Coroutine[Any, Any, None]) -> None:
    """Wait for the end of `step` although this task is cancelled meanwhile; that is raised afterwards.

    A connection that is cancelled on its way back never arrives in the pool, which has one less for ever.
    """
    task = asyncio.create_task(step)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


@contextlib.contextmanager
def _failures_translated() -> Iterator[None]:
    try:
        yield
    except (IntegrityError, ProgrammingError):
        raise  # our mistake, not an outage
    except RefusedError as error:
        raise UnavailableError(str(error)) from None
    except (DBAPIError, OSError) as error:  # OSError covers refusal and timeouts
        raise UnavailableError(f"{type(error).__name__}: {error}") from error


def _postgres(settings: Settings) -> AsyncEngine:
    return create_async_engine(
        settings.database_url,
        pool_size=settings.pool_size,
        max_overflow=0,  # the pool is a promise to Postgres: instances x pool_size and not one more
        pool_timeout=POOL_TIMEOUT_S * settings.patience,
        pool_pre_ping=True,  # a restarted Postgres costs a reconnect, not an error
        connect_args={
            "timeout": CONNECT_TIMEOUT_S * settings.patience,
            "command_timeout": STATEMENT_TIMEOUT_S * settings.patience,
        },
    )


def _sqlite(settings: Settings) -> AsyncEngine:
    Path(make_url(settings.database_url).database or ".").parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(
        settings.database_url,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S * settings.patience,
        connect_args={"timeout": STATEMENT_TIMEOUT_S * settings.patience},
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")  # readers and the one writer do not wait for each other
    cursor.execute("PRAGMA synchronous=FULL")  # an acknowledged message survives a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE takes the write lock at once and waits for it; a transaction that starts as a reader and
    # writes later fails instead of waiting when another process was faster.
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
