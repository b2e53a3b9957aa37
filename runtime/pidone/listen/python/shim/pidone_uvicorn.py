"""The drain of uvicorn, with asyncio and uvloop: its own shutdown cuts connections without a response."""

from __future__ import annotations

from typing import Any

import pidone_asyncio


def install(module: Any, idle_s: float) -> None:
    """Wrap the shutdown of its server. Raises AttributeError where there is none."""
    own_shutdown = module.Server.shutdown

    async def shutdown(self: Any, *args: Any, **kwargs: Any) -> None:
        await _drain(self, idle_s)
        await own_shutdown(self, *args, **kwargs)

    module.Server.shutdown = shutdown


async def _drain(server: Any, idle_s: float) -> None:
    await pidone_asyncio.stop_accepting(getattr(server, "servers", ()))
    state = getattr(server, "server_state", None)
    headers, connections = getattr(state, "default_headers", None), getattr(state, "connections", None)
    if headers is None or connections is None:  # another uvicorn than the one that was read for this
        return
    headers.append((b"connection", b"close"))
    tls = bool(getattr(server.config, "is_ssl", False))
    await pidone_asyncio.until(lambda: not connections or server.force_exit, idle_s, tls=tls)
