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
            await asyncio.gather(_pump(loop, client, server), _pump(loop, server, client))


async def _pump(loop: asyncio.AbstractEventLoop, source: socket.socket, sink: socket.socket) -> None:
    while data := await loop.sock_recv(source, _CHUNK):
        await loop.sock_sendall(sink, data)
    sink.shutdown(socket.SHUT_WR)
