"""Carry the connections queued on a socket that is going away over to the ones that stay.

The kernel does this itself only with net.ipv4.tcp_migrate_req, which a container cannot set. So the few that
a killed worker left behind during a scale-down are accepted here and relayed for as long as they last.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Final

from pidone.listen.sockets.address import Address

_CHUNK: Final = 1 << 16
_LOOPBACK: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (what was bound)


def accept_all(queue: socket.socket) -> Iterator[socket.socket]:
    """Everything that waits now, on a socket that no process has any more."""
    queue.setblocking(False)
    while True:
        try:
            client, _ = queue.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        client.setblocking(False)
        yield client


async def relay(client: socket.socket, to: Address) -> None:
    """Connect to the same address again, where the kernel finds another slot, and pass bytes both ways."""
    loop = asyncio.get_running_loop()
    host = _LOOPBACK.get(to.host, to.host)
    with client, socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        server.setblocking(False)
        with contextlib.suppress(OSError):  # either side may hang up at any time; so does then the other
            await loop.sock_connect(server, (host, to.port))
            await _both_ways(loop, client, server)


async def _both_ways(loop: asyncio.AbstractEventLoop, client: socket.socket, server: socket.socket) -> None:
    """Until both have ended, or one has failed: then the other waits no more when the sockets are closed.

    The loop would take a closed descriptor for one that it watches, and would not tell the kernel of the next
    one with that number.
    """
    pumps = [loop.create_task(_pump(loop, *ends)) for ends in ((client, server), (server, client))]
    try:
        await asyncio.gather(*pumps)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(loop: asyncio.AbstractEventLoop, source: socket.socket, sink: socket.socket) -> None:
    while data := await loop.sock_recv(source, _CHUNK):
        await loop.sock_sendall(sink, data)
    sink.shutdown(socket.SHUT_WR)
