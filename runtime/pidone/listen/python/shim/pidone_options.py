"""What the program had set on its own socket is set on the one that takes its place: connections inherit it.

Options: socket(7), tcp(7), ip(7), ipv6(7). Those that a connection does not inherit, or that say how to bind,
are left alone.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Dict, Tuple

_SOL_TCP, _SOL_IP, _SOL_V6 = socket.IPPROTO_TCP, socket.IPPROTO_IP, socket.IPPROTO_IPV6
_SIZES = (socket.SO_SNDBUF, socket.SO_RCVBUF)
"""The kernel doubles what it is given, and shows that."""
_OPTIONS: Dict[int, Tuple[int, ...]] = {
    # NODELAY, MAXSEG, KEEPIDLE, KEEPINTVL, KEEPCNT, SYNCNT, LINGER2, DEFER_ACCEPT, WINDOW_CLAMP, QUICKACK,
    # CONGESTION, USER_TIMEOUT, FASTOPEN, NOTSENT_LOWAT
    _SOL_TCP: (1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 18, 23, 25),
    _SOL_IP: (1, 2, 8, 10, 12),  # TOS, TTL, PKTINFO, MTU_DISCOVER, RECVTTL
    _SOL_V6: (16, 23, 67),  # UNICAST_HOPS, MTU_DISCOVER, TCLASS
    # Last, because TOS sets the priority as well.
    socket.SOL_SOCKET: (
        *_SIZES,
        socket.SO_KEEPALIVE,
        socket.SO_OOBINLINE,
        socket.SO_LINGER,
        socket.SO_RCVLOWAT,
        socket.SO_RCVTIMEO,  # how long accept() waits, too
        socket.SO_SNDTIMEO,
        12,  # SO_PRIORITY
        29,  # SO_TIMESTAMP
        36,  # SO_MARK
        46,  # SO_BUSY_POLL
        47,  # SO_MAX_PACING_RATE
    ),
}
_BYTES = 64


def carry_over(sock: socket.socket, descriptor: int) -> None:
    """Set on `descriptor` what differs on `sock` from a socket that is as it was made."""
    with socket.socket(sock.family, sock.type) as fresh:
        ours = socket.socket(sock.family, sock.type, fileno=descriptor)
        try:
            for level, options in _OPTIONS.items():
                for option in options:
                    with contextlib.suppress(OSError):  # not of this family, or not this kernel's
                        value = sock.getsockopt(level, option, _BYTES)
                        if value != fresh.getsockopt(level, option, _BYTES):
                            _set(ours, level, option, value)
        finally:
            ours.detach()


def _set(ours: socket.socket, level: int, option: int, value: bytes) -> None:
    if level == socket.SOL_SOCKET and option in _SIZES:
        ours.setsockopt(level, option, int.from_bytes(value, sys.byteorder) // 2)
    else:
        ours.setsockopt(level, option, value)
