"""What this process listens on, and the connections that it has accepted there.

They are known by number and inode, not as objects: TLS takes a descriptor away from the object that had it.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Dict

_ENOUGH_OF_TCP_INFO = 136
_AGES = 44  # struct tcp_info, linux/tcp.h: tcpi_last_data_sent, _last_ack_sent, _last_data_recv, in ms
_BYTES = 120  # tcpi_bytes_acked, tcpi_bytes_received

_own_bind = socket.socket.bind
_own_listen = socket.socket.listen

_shared: Dict[int, int] = {}
_listening: Dict[int, int] = {}
_accepted: Dict[int, int] = {}


def shares(sock: socket.socket) -> None:
    """Remember a socket that is the runtime's."""
    _remember(_shared, sock)


def is_shared(sock: socket.socket) -> bool:
    """Whether it is."""
    return sock.fileno() in shared()


def listens(sock: socket.socket) -> None:
    """Remember a listening socket, shared or not."""
    _remember(_listening, sock)


def accepted(sock: socket.socket) -> None:
    """Remember a connection, for as long as it is open."""
    _remember(_accepted, sock)


def listening() -> list[int]:
    """Descriptors of the listening sockets."""
    return _open(_listening)


def shared() -> list[int]:
    """Descriptors of the shared ones."""
    return _open(_shared)


def park() -> None:
    """Put a socket that nobody ever connects to behind each of the latter: nothing more is accepted there.

    It is closed by whoever closes the descriptor, and to accept() there is just nothing to take.
    """
    for number in shared():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deserted:
            _own_bind(deserted, "")  # an abstract address of the kernel's choice
            _own_listen(deserted)
            deserted.setblocking(False)
            os.dup2(deserted.fileno(), number, False)


def busy(idle_s: float) -> bool:
    """Whether any connection has a request in progress, or may still get one: it was not silent for long."""
    return any(_is_busy(number, idle_s) for number in _open(_accepted))


def _remember(known: Dict[int, int], sock: socket.socket) -> None:
    known[sock.fileno()] = _inode(sock.fileno())


def _open(known: Dict[int, int]) -> list[int]:
    return [number for number, inode in list(known.items()) if _inode(number) == inode]


def _inode(number: int) -> int:
    try:
        return os.fstat(number).st_ino
    except OSError:  # closed
        return -1


def _is_busy(number: int, idle_s: float) -> bool:
    try:
        sock = socket.socket(fileno=number)
    except OSError:  # closed
        return False
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ENOUGH_OF_TCP_INFO)
    except OSError:
        return False
    finally:
        sock.detach()
    if len(info) < _ENOUGH_OF_TCP_INFO:  # an old kernel: nothing is known, and the stop has a deadline
        return True
    sent_ms, _, received_ms = struct.unpack_from("=3I", info, _AGES)
    sent_bytes, received_bytes = struct.unpack_from("=2Q", info, _BYTES)
    if received_ms < sent_ms or (received_bytes > 0 and sent_bytes == 0):
        return True  # a request that has no answer yet
    return bool(min(sent_ms, received_ms) < idle_s * 1000)
