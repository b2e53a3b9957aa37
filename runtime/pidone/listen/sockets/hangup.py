"""Hear at once when a process ends LISTEN of a socket that the runtime and other processes hold as well.

shutdown(2) of a listening socket concerns everybody who has it: Twisted and Sanic do that when they stop, and
the port is refused from then on. epoll reports it as EPOLLHUP (tcp_poll() in net/ipv4/tcp.c), and reports
nothing else when nothing else is asked for: connections that arrive do not wake the runtime.
"""

import asyncio
import select
import socket
from collections.abc import Callable

from pidone.descriptors import close


class HangupWatch:
    """The listening sockets of all apps."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll: select.epoll | None = None
        self._known: dict[int, Callable[[], None]] = {}

    def add(self, listening: socket.socket, on_hangup: Callable[[], None]) -> None:
        """Call back each time that this one does not listen any more."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._loop.add_reader(self._epoll.fileno(), self._look)
        self._epoll.register(listening.fileno(), 0)
        self._known[listening.fileno()] = on_hangup

    def remove(self, listening: socket.socket) -> None:
        """It is about to be closed, or cannot be helped."""
        if self._known.pop(listening.fileno(), None) is not None and self._epoll is not None:
            self._epoll.unregister(listening.fileno())
        if not self._known and self._epoll is not None:
            self._loop.remove_reader(self._epoll.fileno())
            close(self._epoll)
            self._epoll = None

    def _look(self) -> None:
        for number, _ in self._epoll.poll(0) if self._epoll is not None else ():
            on_hangup = self._known.get(number)
            if on_hangup is not None:
                on_hangup()
