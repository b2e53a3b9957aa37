"""Waits for a server to take the socket that it inherited (`--fd N`), and lets it drain then."""

from __future__ import annotations

import socket
from typing import Any

import pidone_drain
import pidone_environment
import pidone_heartbeat
import pidone_sockets
import pidone_uvloop

_own_fromfd = socket.fromfd
_own_listen = socket.socket.listen


def install() -> None:
    """Put the functions below in the place of Python's, until one of them is called."""
    setattr(socket, "fromfd", fromfd)  # noqa: B010 (mypy forbids the plain assignment)
    setattr(socket.socket, "listen", listen)  # noqa: B010
    pidone_uvloop.expect(lambda _: _leave())


def fromfd(*args: Any, **kwargs: Any) -> socket.socket:
    """As socket.fromfd(), which uvicorn calls."""
    _leave()
    return _own_fromfd(*args, **kwargs)


def listen(self: socket.socket, *backlog: int) -> None:
    """As socket.listen(), which hypercorn calls."""
    pidone_sockets.listens(self)
    _leave()
    _own_listen(self, *backlog)


def _leave() -> None:
    setattr(socket, "fromfd", _own_fromfd)  # noqa: B010
    setattr(socket.socket, "listen", _own_listen)  # noqa: B010
    pidone_drain.install()
    pidone_heartbeat.begin()
    pidone_environment.leave()
