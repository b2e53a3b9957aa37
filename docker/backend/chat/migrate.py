"""The one-shot migration: bring the database to the newest schema, then exit 0.

It may run any number of times and in several containers at once: one of them works, the others wait for it
and find nothing left to do. With `--wait` it only waits until somebody else has done it.
"""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from chat import logs, settings
from chat.database import Database, UnavailableError

MIGRATIONS = Path(__file__).parent.parent / "migrations"
PATIENCE_S = 60.0
"""How long a database that is still starting is waited for."""

_LOCK_KEY = 7_163_901
"""Any constant that nothing else in the same Postgres locks."""

log = logging.getLogger("chat.migrate")  # __name__ is __main__ here


def newest() -> int:
    """The schema version this code was written for."""
    return max(_version(path) for path in MIGRATIONS.glob("*.sql"))


async def current(connection: AsyncConnection) -> int:
    """The version the database is at. Raises a database error before the first migration."""
    return int((await connection.execute(text("SELECT MAX(version) FROM schema_versions"))).scalar() or 0)


async def migrate(database: Database) -> list[str]:
    """Apply what is missing, all of it in one transaction; the names of the files that were applied."""
    async with database.write() as connection:
        if connection.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE is such a lock already
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        await connection.execute(
            text(
                "CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY, name TEXT NOT NULL)"
            )
        )
        have = await current(connection)
        missing = [path for path in sorted(MIGRATIONS.glob("*.sql")) if _version(path) > have]
        for path in missing:
            for statement in _statements(path.read_text()):
                await connection.execute(text(statement))
            await connection.execute(
                text("INSERT INTO schema_versions (version, name) VALUES (:version, :name)"),
                {"version": _version(path), "name": path.stem},
            )
    return [path.stem for path in missing]


async def migrate_patiently(database: Database, patience_s: float = PATIENCE_S) -> list[str]:
    """Migrate as soon as the database answers. Raises UnavailableError after `patience_s`."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            return await migrate(database)
        except UnavailableError as error:
            if asyncio.get_running_loop().time() > deadline:
                raise
            log.warning("the database does not answer yet", extra={"error": str(error)})
            await asyncio.sleep(0.5)


async def wait_until_migrated(database: Database, patience_s: float = PATIENCE_S) -> None:
    """Return as soon as the schema is this code's or newer. Raises UnavailableError after `patience_s`."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        why = await _why_not_migrated(database)
        if not why:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise UnavailableError(why)
        log.info("waiting for the migration", extra={"state": why})
        await asyncio.sleep(0.5)


async def _why_not_migrated(database: Database) -> str:
    try:
        async with database.read() as connection:
            have = await current(connection)
    except UnavailableError as error:
        return str(error)
    except DBAPIError:
        return "there is no schema yet"
    return "" if have >= newest() else f"the schema is at version {have}"


def _version(path: Path) -> int:
    return int(path.stem.partition("_")[0])


def _statements(script: str) -> list[str]:
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    return [statement for part in "\n".join(lines).split(";") if (statement := part.strip())]


async def _run(*, only_wait: bool) -> int:
    configuration = settings.load()
    logs.configure(configuration, "migrate")
    database = Database(configuration)
    try:
        if only_wait:
            await wait_until_migrated(database)
            return 0
        applied = await migrate_patiently(database)
    except UnavailableError as error:
        log.error("gave up waiting for the database", extra={"error": str(error)})  # noqa: TRY400 an outage, not a bug
        return 1
    finally:
        await database.close()
    log.info("schema is at version %d", newest(), extra={"applied": applied})
    return 0


def main() -> int:
    """Run the program; the exit code."""
    parser = argparse.ArgumentParser(prog="chat.migrate", description=__doc__)
    parser.add_argument("--wait", action="store_true", help="change nothing, wait until it has been done")
    return asyncio.run(_run(only_wait=parser.parse_args().wait))


if __name__ == "__main__":
    sys.exit(main())
