"""The drain of hypercorn, with asyncio and uvloop.

By itself it closes idle connections before it stops accepting, and those of HTTP/2 without a word.
"""

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
    speaks_tls = False

    async def run(self: Any) -> None:
        nonlocal speaks_tls
        speaks_tls = self.writer.get_extra_info("ssl_object") is not None
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
            await pidone_asyncio.until(_said_goodbye(connections), idle_s, tls=speaks_tls)
            raise

    module.raise_shutdown, module.TCPServer.run = raise_shutdown, run


def _said_goodbye(connections: set[Any]) -> Callable[[], bool]:
    """Take leave of clients of HTTP/2 between two requests; whether all have let go.

    What they have sent in this very moment they repeat elsewhere: GOAWAY says what was heard last. Hypercorn
    keeps the connection of a client that has gone for the rest of its keep-alive time: that is no client.
    """
    told: set[Any] = set()

    def look() -> bool:
        for server in connections - told:
            protocol: Any = getattr(getattr(server, "protocol", None), "protocol", None)
            if type(protocol).__name__ == "H2Protocol" and protocol.idle:
                told.add(server)
                protocol.connection.close_connection()
                server.writer.write(protocol.connection.data_to_send())
        return all(server.reader.at_eof() for server in connections)

    return look


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
