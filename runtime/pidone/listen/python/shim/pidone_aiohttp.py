"""The drain of aiohttp, with asyncio and uvloop: its own cleanup cuts connections without a request."""

from __future__ import annotations

import sys
from typing import Any

import pidone_asyncio


def install(module: Any, idle_s: float) -> None:
    """Wrap the cleanup of its runners. Raises AttributeError where there is none."""
    own_cleanup = module.BaseRunner.cleanup

    async def cleanup(self: Any, *args: Any, **kwargs: Any) -> None:
        await _drain(self, idle_s)
        await own_cleanup(self, *args, **kwargs)

    module.BaseRunner.cleanup = cleanup


async def _drain(runner: Any, idle_s: float) -> None:
    servers = [server for site in runner.sites if (server := getattr(site, "_server", None))]
    if runner.server is None or not servers:
        return
    await pidone_asyncio.stop_accepting(servers)
    # What a response asks its request for: without keep-alive it says `Connection: close` and does so.
    sys.modules["aiohttp.web_request"].BaseRequest.keep_alive = False
    tls = any(getattr(site, "_ssl_context", None) for site in runner.sites)
    await pidone_asyncio.until(lambda: _have_gone(runner.server), idle_s, tls=tls)


def _have_gone(server: Any) -> bool:
    """Whether there are no clients any more.

    Aiohttp waits ten seconds for the rest of a request that it has answered without reading it (a refused
    upload), and keeps its connection for that time though its client has closed it: that is no client.
    """
    return all(
        getattr(connection, "transport", True) is None
        and not getattr(connection, "_request_in_progress", True)
        for connection in server.connections
    )
