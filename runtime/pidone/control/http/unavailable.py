"""What clients are told while the control side cannot be loaded: after an upgrade in place, for instance."""

import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pidone.descriptors import close

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_MOST: Final = 32
"""Clients that are answered; more wait in the queue for what comes next."""


class Unavailable:
    """Answers every request at some sockets with 503 and the same words."""

    def __init__(self, loop: "AbstractEventLoop", sockets: list[socket.socket], why: str) -> None:
        """`sockets` listen already, and stay open."""
        self._loop = loop
        self._sockets = sockets
        self._clients: list[socket.socket] = []
        """Kept until the end: on TCP an answer is lost if the question comes after its socket is closed."""
        body = json.dumps({"error": why}).encode()
        head = f"HTTP/1.1 503 Service Unavailable\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
        self._answer = head.encode() + b"content-type: application/json\r\n\r\n" + body
        for sock in sockets:
            loop.add_reader(sock.fileno(), self._tell, sock)

    def close(self) -> None:
        """Leave the sockets to somebody who has more to say."""
        self._rest()
        for client in self._clients:
            close(client)

    def _tell(self, sock: socket.socket) -> None:
        try:
            client = sock.accept()[0]
        except OSError:  # it is gone, or no descriptor is left: nobody is told anything for a while
            self._rest()
            return
        self._clients.append(client)
        client.setblocking(False)
        with suppress(OSError):  # it does not want to know any more
            client.send(self._answer)
            client.shutdown(socket.SHUT_WR)
        if len(self._clients) >= _MOST:
            self._rest()

    def _rest(self) -> None:
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
