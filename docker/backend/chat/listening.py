"""Where the API's listening socket comes from: inherited if possible, else opened here."""

import os
import socket
from collections.abc import Mapping

FIRST_FD = 3  # sd_listen_fds(3)
BACKLOG = 511


def listening_socket(address: str, fd: int | None, env: Mapping[str, str] = os.environ) -> socket.socket:
    """The socket to accept from.

    In order: the descriptor named on the command line, socket activation (`LISTEN_FDS` for this process), and
    a socket of its own. That one has SO_REUSEPORT, so that several instances can open the same port.
    Raises OSError, or ValueError for an address that is not `host:port`.
    """
    if fd is not None:
        return socket.socket(fileno=fd)
    if env.get("LISTEN_PID") == str(os.getpid()) and int(env.get("LISTEN_FDS") or 0) > 0:
        return socket.socket(fileno=FIRST_FD)
    host, _, port = address.rpartition(":")
    family, _, _, _, where = socket.getaddrinfo(
        host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    own = socket.socket(family, socket.SOCK_STREAM)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    own.bind(where)
    own.listen(BACKLOG)
    return own
