"""The drain of hypercorn, with asyncio and uvloop; its own closes connections before it stops accepting."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any, Awaitable, Callable

import pidone_asyncio
import pidone_sockets
import pidone_uvloop


def install(module: Any, idle_s: float) -> None:
    """Wrap what wakes its stop, and count its connections. Raises AttributeError for an unknown version."""
    own_raise, own_run = module.raise_shutdown, module.TCPServer.run
    config = sys.modules["hypercorn.config"].Config
    own_headers = config.response_headers
    connections: set[Any] = set()

    async def run(self: Any) -> None:
        connections.add(self)
        try:
            await own_run(self)
        finally:
            connections.discard(self)

    def closing_headers(self: Any, protocol: str) -> list[tuple[bytes, bytes]]:
        headers: list[tuple[bytes, bytes]] = own_headers(self, protocol)
        return [*headers, (b"connection", b"close")] if protocol == "h11" else headers

    async def raise_shutdown(trigger: Callable[[], Awaitable[Any]]) -> None:
        try:
            await own_raise(_or_term(trigger))
        except module.ShutdownError:
            config.response_headers = closing_headers
            pidone_asyncio.forget(pidone_sockets.listening())
            for server in pidone_uvloop.servers:
                server.close()
            await pidone_asyncio.until(lambda: not connections, idle_s)
            raise

    module.raise_shutdown, module.TCPServer.run = raise_shutdown, run


def _or_term(trigger: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    """In a worker process, wait for SIGTERM too: its master sends it when the first worker has ended."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return trigger
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)

    async def either() -> None:
        reasons = [asyncio.ensure_future(trigger()), asyncio.ensure_future(told.wait())]
        try:
            await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for reason in reasons:
                reason.cancel()

    return either
