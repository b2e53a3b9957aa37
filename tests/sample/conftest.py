"""One empty database per test.

SQLite always; with CHAT_TEST_DATABASE_URL and CHAT_TEST_REDIS_URL the same tests run on Postgres and Redis,
whose contents they delete.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sample.service import Api, Service


def _backends() -> list[str]:
    return ["sqlite", *(["postgres"] if "CHAT_TEST_DATABASE_URL" in os.environ else [])]


@contextlib.contextmanager
def _fresh(backend: str, folder: Path) -> Iterator[Service]:
    if backend == "sqlite":
        env = {"CHAT_DATA": str(folder), "CHAT_DATABASE_URL": "", "CHAT_REDIS_URL": ""}
    else:
        env = {
            "CHAT_DATABASE_URL": os.environ["CHAT_TEST_DATABASE_URL"],
            "CHAT_REDIS_URL": os.environ["CHAT_TEST_REDIS_URL"],
        }
        asyncio.run(_empty(env["CHAT_DATABASE_URL"], env["CHAT_REDIS_URL"]))
    service = Service({**env, "CHAT_DRAIN_S": "0.5", "CHAT_DB_PATIENCE": "10"})
    try:
        yield service
    finally:
        service.close()


def _migrate(service: Service, template: Path) -> None:
    if service.env["CHAT_DATABASE_URL"]:
        service.migrate()
    else:
        shutil.copy(template, service.env["CHAT_DATA"])


@pytest.fixture(params=_backends())
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """The service on an empty database."""
    with _fresh(request.param, tmp_path) as service:
        yield service


@pytest.fixture(scope="module", params=_backends())
def pair(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Api, Api]]:
    """Two instances on one database, for tests that keep to a room of their own and kill nobody."""
    with _fresh(request.param, tmp_path_factory.mktemp("pair")) as service:
        _migrate(service, template)
        yield service.two_apis()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    service = Service({"CHAT_DATA": str(folder), "CHAT_DATABASE_URL": "", "CHAT_REDIS_URL": ""})
    service.migrate()
    service.close()
    return folder / "chat.db"


@pytest.fixture
def migrated(service: Service, template: Path) -> Service:
    """The service with its tables."""
    _migrate(service, template)
    return service


async def _empty(database_url: str, redis_url: str) -> None:
    import redis.asyncio as redis
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))
    await engine.dispose()
    async with redis.Redis.from_url(redis_url) as client:
        await client.flushdb()
