"""The sample's database is away under load: requests are refused quickly, and it is found again quickly."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest
from chat.database import Database, UnavailableError
from chat.settings import Settings
from sqlalchemy import text

CLIENTS = 100
POOL = 10
SOON_S = 0.3
"""For whoever comes while it is known to be away."""
FIRST_S = 1.8
"""For those who find it out."""


def settings(url: str, pool: int = POOL) -> Settings:
    """Those of one API process."""
    return Settings(
        database_url=url,
        redis_url=None,
        pool_size=pool,
        patience=1,
        drain_s=1,
        log_level="info",
        instance="0",
    )


@contextlib.asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """The URL of a Postgres that is paused: connections are accepted, and nobody answers."""

    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"postgresql+asyncpg://chat:x@{host}:{port}/chat"
    finally:
        server.close()


class Watch:
    """A clock that stands still while this process waits for a processor: that is no delay of ours."""

    def __init__(self) -> None:
        self._lost = 0.0
        self._looks = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        while True:
            began, own = time.monotonic(), time.process_time()
            await asyncio.sleep(0.01)
            late = time.monotonic() - began - 0.01
            self._lost += max(0.0, late - (time.process_time() - own))

    def now(self) -> float:
        """Seconds."""
        return time.monotonic() - self._lost

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._looks.cancel()
        await asyncio.wait([self._looks])


def connecting() -> list[threading.Thread]:
    """The threads of aiosqlite, one for each connection: they want their loop until they have ended."""
    return [each for each in threading.enumerate() if "_connection_worker_thread" in each.name]


async def ask(database: Database, watch: Watch) -> float:
    """How long a request takes to be refused."""
    began = watch.now()
    with pytest.raises(UnavailableError):
        await database.check()
    return watch.now() - began


def test_a_hundred_clients_of_a_database_that_is_away_are_refused_quickly() -> None:
    """Nobody waits longer than one connection attempt may take, and most hardly at all."""

    async def scene() -> tuple[list[float], list[float]]:
        async with silent() as url, Watch() as watch:
            database = Database(settings(url))
            first = await asyncio.gather(*(ask(database, watch) for _ in range(CLIENTS)))
            then = await asyncio.gather(*(ask(database, watch) for _ in range(CLIENTS)))
            await database.close()
            return first, then

    first, then = asyncio.run(scene())
    assert max(first) < FIRST_S
    assert sorted(then)[int(CLIENTS * 0.95)] < SOON_S


def test_a_database_that_is_back_is_found_at_once(tmp_path: Path) -> None:
    """One request at a time tries; the first that comes through opens it for everybody."""

    async def scene() -> float:
        folder = tmp_path / "data"
        database = Database(settings(f"sqlite+aiosqlite:///{folder}/chat.db"))
        folder.chmod(0)
        folder.rename(tmp_path / "away")
        async with Watch() as watch:
            assert max(await asyncio.gather(*(ask(database, watch) for _ in range(CLIENTS)))) < FIRST_S
            (tmp_path / "away").rename(folder)
            folder.chmod(0o755)
            began = watch.now()
            while True:
                try:
                    await database.check()
                    break
                except UnavailableError:
                    await asyncio.sleep(0.02)
            took = watch.now() - began
        async with database.read() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar() == 1
        await database.close()
        return took

    assert asyncio.run(scene()) < 1.5


def test_more_than_the_pool_can_serve_soon_are_refused_at_once(tmp_path: Path) -> None:
    """A queue that only grows would make everybody late; who is in it is served."""

    async def scene() -> tuple[int, int]:
        database = Database(settings(f"sqlite+aiosqlite:///{tmp_path}/chat.db", pool=2))
        release = asyncio.Event()
        served = refused = 0

        async def hold() -> None:
            nonlocal served, refused
            try:
                async with database.read():
                    await release.wait()
                    served += 1
            except UnavailableError:
                refused += 1
                if refused == CLIENTS - 2 - database.most_waiting:
                    release.set()

        await asyncio.gather(*(hold() for _ in range(CLIENTS)))
        await database.close()
        return served, refused

    served, refused = asyncio.run(asyncio.wait_for(scene(), 20))
    assert (served, refused) == (2 + 40, CLIENTS - 42)


def test_requests_that_are_cancelled_give_their_connections_back(tmp_path: Path) -> None:
    """At whatever moment a client leaves, also while its connection is on the way back."""

    async def scene() -> None:
        database = Database(settings(f"sqlite+aiosqlite:///{tmp_path}/chat.db", pool=1))
        for moment in range(600):
            request = asyncio.create_task(database.check())
            await asyncio.sleep((moment % 60) * 0.00005)
            request.cancel()
            await asyncio.wait([request])
        await database.check()
        await database.close()
        while connecting():  # noqa: ASYNC110 (a thread whose request has left tells the loop of its end)
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(scene(), 30))
