"""A program that looks whether its port is free, by connecting to it, finds it as free as it would be alone.

Some do before they listen (Robyn, CherryPy), and then end, ask for another port, or take one, because those
beside them answer. Until they listen themselves, a port of this machine that their app shares refuses.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Callable

_LOCAL = ("", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::")  # noqa: S104 (asked about, not bound)

_own_connect = socket.socket.connect
_own_connect_ex = socket.socket.connect_ex


def install(shares: Callable[[int], bool]) -> None:
    """`shares` tells whether the app has a TCP port at which this process does not listen yet."""

    def connect_ex(self: socket.socket, address: Any) -> int:
        """As socket.connect_ex()."""
        if not _is_local(self, address):
            return _own_connect_ex(self, address)
        if shares(address[1]):
            return errno.ECONNREFUSED
        outcome = _own_connect_ex(self, address)
        # Those beside it may have begun to listen since it was asked.
        return errno.ECONNREFUSED if outcome == 0 and shares(address[1]) else outcome

    def connect(self: socket.socket, address: Any) -> None:
        """As socket.connect()."""
        is_local = _is_local(self, address)
        if not (is_local and shares(address[1])):
            _own_connect(self, address)
            if not (is_local and shares(address[1])):
                return
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))

    setattr(socket.socket, "connect", connect)  # noqa: B010 (mypy forbids the plain assignment)
    setattr(socket.socket, "connect_ex", connect_ex)  # noqa: B010


def leave() -> None:
    """It listens: from now on it is told the truth."""
    for name in ("connect", "connect_ex"):
        ours = socket.socket.__dict__.get(name)
        if getattr(ours, "__module__", "") == __name__:  # nobody else has put something around it
            delattr(socket.socket, name)


def _is_local(sock: socket.socket, address: Any) -> bool:
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type & 0xF != socket.SOCK_STREAM:
        return False
    if not isinstance(address, tuple) or len(address) < 2:  # for connect() to refuse
        return False
    return address[0] in _LOCAL and isinstance(address[1], int) and address[1] > 0
