"""A listening socket and one thread for each connection."""

import contextlib
import resource
import socket
import sys
import threading
from functools import partial
from http.server import ThreadingHTTPServer
from typing import Any, Final

from pidone.fileserver.handler import FileHandler, Site

_MOST_CONNECTIONS: Final = 1000
"""Each is a thread and up to two descriptors; more wait in the queue of the socket."""
_LAST_REQUESTS_S: Final = 1.0
"""How long the requests of connections that are open at the end may still be on their way."""


class Server(ThreadingHTTPServer):
    """A listening socket and the threads of its connections."""

    daemon_threads = False  # the end waits for them
    timeout = 0.0
    is_ending = False

    def __init__(self, listening: socket.socket, site: Site) -> None:
        """Accept from `listening`, which is in the listening state already."""
        super().__init__(("", 0), partial(FileHandler, site=site), bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        listening.setblocking(False)  # another instance may be quicker to accept
        self._connections: set[socket.socket] = set()
        self._has_ended = threading.Condition()
        try:
            files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        except OSError:  # a sandbox that knows no prlimit64(2): the usual limit then
            files = 1024
        self._most = _MOST_CONNECTIONS if files < 0 else min(_MOST_CONNECTIONS, files // 3)

    @property
    def has_room(self) -> bool:
        """Whether another connection may be accepted."""
        return len(self._connections) < self._most

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """A connection has ended."""
        super().shutdown_request(request)
        with self._has_ended:
            self._connections.discard(request)
            self._has_ended.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is everyday; anything else is a bug and shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def end(self) -> None:
        """Answer what has been asked, and what is being asked at this moment, then no more.

        Answers say from now on that they are the last of their connection.
        """
        self.is_ending = True
        self.socket.close()
        with self._has_ended:
            self._has_ended.wait_for(lambda: not self._connections, _LAST_REQUESTS_S)
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):  # its client was quicker
                connection.shutdown(socket.SHUT_RD)
        self.server_close()
