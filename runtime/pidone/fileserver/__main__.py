"""The process: its sockets, its readiness, its end.

It listens on the sockets it is given (sd_listen_fds(3)), so that instances share a port and a reload loses
nothing, tells when it is ready (sd_notify(3)), and on SIGTERM or SIGINT answers what has been asked before it
ends.
"""

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Mapping
from typing import IO, Final

from pidone.fileserver.handler import site_of
from pidone.fileserver.server import Server

DEFAULT_PORT: Final = 8080
_FIRST_SOCKET: Final = 3  # SD_LISTEN_FDS_START
_BACKLOG: Final = 511
_FULL_S: Final = 0.05
"""Wait before looking again whether a connection has ended and another may begin."""


def listening_sockets(environ: Mapping[str, str]) -> list[socket.socket]:
    """The sockets we were given, or one of our own."""
    if environ.get("LISTEN_PID") == str(os.getpid()):
        count = int(environ.get("LISTEN_FDS", "0"))
        return [socket.socket(fileno=_FIRST_SOCKET + number) for number in range(count)]
    host, port = environ.get("PM2_SERVE_HOST", ""), int(environ.get("PM2_SERVE_PORT") or DEFAULT_PORT)
    has_both = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if has_both or ":" in host else socket.AF_INET
    return [socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=has_both)]


def notify_ready(environ: Mapping[str, str]) -> None:
    """sd_notify(3)'s READY=1, where somebody listens."""
    address = environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto(b"READY=1", "\0" + address[1:] if address.startswith("@") else address)


def serve(servers: list[Server], stop: IO[bytes]) -> None:
    """Accept until there is something to read from `stop`."""
    with selectors.DefaultSelector() as selector:
        selector.register(stop, selectors.EVENT_READ)
        for server in servers:
            selector.register(server, selectors.EVENT_READ, server)
        while True:
            for key, _ in selector.select():
                if key.data is None:
                    return
                if key.data.has_room:
                    key.data.handle_request()
                else:
                    time.sleep(_FULL_S)


def main() -> int:
    """Serve until a signal says stop."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # what counts is the byte in the pipe
    signal.set_wakeup_fd(write)
    site = site_of(os.environ)
    try:
        servers = [Server(listening, site) for listening in listening_sockets(os.environ)]
    except OSError as error:
        sys.stderr.write(f"cannot listen: {error}\n")
        return 1
    where = ", ".join("{0[0]}:{0[1]}".format(server.socket.getsockname()) for server in servers)
    sys.stdout.write(f"Exposing {site.root} directory on {where}\n")
    sys.stdout.flush()
    notify_ready(os.environ)
    with open(read, "rb", buffering=0) as stop:
        serve(servers, stop)
    for server in servers:
        server.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
