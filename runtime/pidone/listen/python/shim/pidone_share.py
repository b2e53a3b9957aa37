"""Lets an unmodified Python program share a port: bind() takes the runtime's socket instead of its own.

At every bind() of a TCP port the runtime is asked (its socket is named in PIDONE_SHARE); if it shares that
port, its socket takes the place of the program's own, behind the same number. listen() is reported to it,
which is how it learns that the program works. Whatever goes wrong here leaves the program with the socket
module that it would have had anyway.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import sys
from typing import Any

import pidone_drain
import pidone_environment
import pidone_free
import pidone_heartbeat
import pidone_options
import pidone_sockets
import pidone_uvloop

_ANSWER_S = 10.0
"""How long bind() waits for the runtime before the program binds by itself."""

_own_bind = socket.socket.bind
_own_listen = socket.socket.listen
_own_accept = socket.socket.accept
_own_shutdown = socket.socket.shutdown
_own_getsockopt = socket.socket.getsockopt
_runtime = "\0" + os.environ.get(pidone_environment.SHARE, "@")[1:]


def install() -> None:
    """Put bind() and listen() below in the place of Python's."""
    setattr(socket.socket, "bind", bind)  # noqa: B010 (mypy forbids the plain assignment)
    setattr(socket.socket, "listen", listen)  # noqa: B010
    if "LISTEN_FDS" in os.environ:  # what it is given listens already
        setattr(socket.socket, "getsockopt", getsockopt)  # noqa: B010
    pidone_uvloop.expect(serve)
    pidone_free.install(_is_shared_by_others)


def bind(self: socket.socket, address: Any) -> None:
    """As socket.bind(), with the shared socket where there is one."""
    if _is_tcp(self) and isinstance(address, tuple) and isinstance(address[1], int) and address[1] > 0:
        try:
            answer, descriptor = _ask(self, address[0], address[1])
        except OSError:  # the runtime is gone, or the host is for bind() itself to complain about
            _own_bind(self, address)
            return
        if answer.get("errno"):
            raise OSError(answer["errno"], os.strerror(answer["errno"]))
        if descriptor is not None:
            _replace(self, descriptor)
            pidone_drain.install()
            return
    _own_bind(self, address)


def listen(self: socket.socket, *backlog: int) -> None:
    """As socket.listen(), and tell the runtime."""
    _own_listen(self, *backlog)
    if _is_tcp(self):
        pidone_sockets.listens(self)
        pidone_drain.install()
        pidone_heartbeat.prepare(self)
        if pidone_sockets.is_shared(self):
            pidone_drain.install_last()
        _report(self.getsockname()[1])


def serve(server: Any) -> None:
    """A server of uvloop listens."""
    pidone_drain.install()
    pidone_heartbeat.begin()
    for sock in server.sockets or ():
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            _report(sock.getsockname()[1])


def shutdown(self: socket.socket, how: int) -> None:
    """As socket.shutdown(), which would end LISTEN for all processes (Twisted and Sanic do that)."""
    if not pidone_sockets.is_shared(self):
        _own_shutdown(self, how)


def accept(self: socket.socket) -> tuple[socket.socket, Any]:
    """As socket.accept().

    The shared socket never blocks, because it is that of other processes too. A program that wants to block
    waits here; another process may be quicker, then it waits again.
    """
    while True:
        try:
            connection, address = _own_accept(self)
        except BlockingIOError:
            if self.gettimeout() is not None:
                raise
            waiting = select.poll()
            waiting.register(self.fileno(), select.POLLIN)
            waiting.poll()
        else:
            pidone_sockets.accepted(connection)
            pidone_heartbeat.begin(self)
            return connection, address


def getsockopt(self: socket.socket, level: int, option: int, *size: int) -> Any:
    """As socket.getsockopt(). A program that finds its socket listening (gunicorn) will not call listen()."""
    value = _own_getsockopt(self, level, option, *size)
    if level == socket.SOL_SOCKET and option == socket.SO_ACCEPTCONN and value and _is_tcp(self):
        _report(self.getsockname()[1])
    return value


def _is_shared_by_others(port: int) -> bool:
    try:
        with _mailbox() as ours:
            ours.sendto(json.dumps({"do": "connect", "port": port}).encode(), _runtime)
            return bool(json.loads(ours.recv(4096))["share"])
    except OSError:  # the runtime is gone
        return False


def _is_tcp(sock: socket.socket) -> bool:
    return sock.type == socket.SOCK_STREAM and sock.family in (socket.AF_INET, socket.AF_INET6)


def _ask(sock: socket.socket, host: str, port: int) -> tuple[dict[str, Any], int | None]:
    """The runtime's answer, and a descriptor if it shares this port. Raises OSError if there is no answer."""
    if host:
        try:
            host = str(socket.getaddrinfo(host, port, sock.family, sock.type)[0][4][0])
        except UnicodeError as error:
            raise OSError(errno.EADDRNOTAVAIL, str(error)) from error
    v6only = sock.family == socket.AF_INET6 and sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    request = {
        "do": "bind",
        "id": 0,
        "family": int(sock.family),
        "host": host,
        "port": port,
        "v6only": v6only,
    }
    with _mailbox() as ours:
        ours.sendto(json.dumps(request).encode(), _runtime)
        data, ancillary, _, _ = ours.recvmsg(4096, socket.CMSG_SPACE(4))
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            return json.loads(data), int.from_bytes(value[:4], sys.byteorder)
    return json.loads(data), None


def _mailbox() -> socket.socket:
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.settimeout(_ANSWER_S)
    _own_bind(ours, "")  # an abstract address of the kernel's choice, to be answered at
    return ours


def _replace(sock: socket.socket, descriptor: int) -> None:
    pidone_options.carry_over(sock, descriptor)
    os.dup2(descriptor, sock.fileno(), os.get_inheritable(sock.fileno()))
    os.close(descriptor)
    pidone_sockets.shares(sock)
    setattr(socket.socket, "accept", accept)  # noqa: B010 (as above)
    setattr(socket.socket, "shutdown", shutdown)  # noqa: B010
    setattr(socket.socket, "getsockopt", getsockopt)  # noqa: B010


def _report(port: int) -> None:
    with contextlib.suppress(OSError), _mailbox() as ours:
        ours.sendto(json.dumps({"do": "listen", "port": port}).encode(), _runtime)
    pidone_free.leave()
    pidone_environment.leave()
