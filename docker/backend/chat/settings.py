"""Everything the environment decides, read once at the start of a process."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """One process's configuration; the defaults need neither Postgres nor Redis."""

    database_url: str
    """SQLAlchemy URL, `sqlite+aiosqlite:///file` or `postgresql+asyncpg://user@host/db`."""
    redis_url: str | None
    """None: the database carries the stream and instances poll it for new messages."""
    pool_size: int
    """Database connections of this process; N instances open N times as many."""
    patience: float
    """Factor to the times that the database may take, for machines that are slow or very busy."""
    drain_s: float
    """Open WebSockets are closed in slices over this time, so that clients do not reconnect all at once."""
    log_level: str
    instance: str
    """Which instance of the cluster this is, for the `x-instance` header and the logs."""

    @property
    def is_sqlite(self) -> bool:
        """Whether the embedded database is used."""
        return self.database_url.startswith("sqlite")


def load(env: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings. Raises ValueError or OSError for a value that cannot be used."""
    return Settings(
        database_url=_database_url(env),
        redis_url=env.get("CHAT_REDIS_URL") or None,
        pool_size=int(env.get("CHAT_DB_POOL") or 10),
        patience=float(env.get("CHAT_DB_PATIENCE") or 1),
        drain_s=float(env.get("CHAT_DRAIN_S") or 3),
        log_level=env.get("CHAT_LOG_LEVEL") or "info",
        instance=env.get("NODE_APP_INSTANCE") or "0",
    )


def _database_url(env: Mapping[str, str]) -> str:
    url = env.get("CHAT_DATABASE_URL")
    if not url:
        return f"sqlite+aiosqlite:///{Path(env.get('CHAT_DATA') or 'data').absolute() / 'chat.db'}"
    # A Docker secret: the password comes from a file and never stands in the environment.
    secret = env.get("CHAT_DATABASE_PASSWORD_FILE")
    if not secret:
        return url
    password = quote(Path(secret).read_text().strip(), safe="")
    scheme, _, rest = url.partition("://")
    user, _, host = rest.rpartition("@")
    return f"{scheme}://{user}:{password}@{host}"
