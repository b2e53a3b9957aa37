"""How many connections wait to be accepted at each of our listening TCP sockets.

tcp(7) TCP_INFO of a listener: `tcpi_unacked` is the accept queue's length, `tcpi_sacked` its limit
(net/ipv4/tcp.c, tcp_get_info).
"""

import os
import resource
import socket
import stat
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

_QUEUE: Final = struct.Struct("24x2I")
"""linux/tcp.h `struct tcp_info`: eight bytes and four words before the two."""


class Backlog(NamedTuple):
    """All sockets of one address together: with `balance = "spread"` there is one per instance."""

    waiting: int
    limit: int


_MOST: Final = 4096
"""Descriptors that are looked at where nothing tells which ones there are."""


def read_backlogs() -> dict[str, Backlog]:
    """By `host:port`; sockets that close meanwhile, or whose kernel does not tell, are left out."""
    found: dict[str, Backlog] = {}
    for descriptor in _descriptors():
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.socket(fileno=os.dup(descriptor)) as sock:
                if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
                    continue
                if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    continue
                info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _QUEUE.size)
                host, port = sock.getsockname()[:2]
        except OSError:
            continue
        if len(info) < _QUEUE.size:  # an emulator, gVisor
            continue
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        waiting, limit = _QUEUE.unpack(info)
        known = found.get(address, Backlog(0, 0))
        found[address] = Backlog(known.waiting + waiting, known.limit + limit)
    return found


def _descriptors() -> Iterable[int]:
    """Our own; without /proc, all that there may be."""
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return range(min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _MOST))
