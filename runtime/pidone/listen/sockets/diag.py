"""The kernel's view of the sockets at a port: who listens there, and who is connected to it.

Protocol: sock_diag(7), asked for one port (the tables in /proc take long to read where there are many
connections). A sandbox may not have it (gVisor), or answer short: OSError or struct.error.
"""

import errno
import os
import socket
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Final

from pidone.ecosystem.spec import Seconds
from pidone.record import Record

ESTABLISHED: Final = 1 << 1  # include/net/tcp_states.h
CLOSE_WAIT: Final = 1 << 8
LISTEN: Final = 1 << 10

_EVERY_PORT: Final = 0
_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_REQUEST_DUMP: Final = 0x301
_DONE: Final = 3  # NLMSG_DONE of netlink(7)
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_IDENTITY_BYTES: Final = 48  # struct inet_diag_sockid, after four bytes of struct inet_diag_msg
_INODE: Final = 68  # of struct inet_diag_msg
_BYTES: Final = 1 << 16
_ANSWER_S: Final[Seconds] = 1.0
"""It is the kernel that answers, in milliseconds."""


class TcpSocket(Record):
    """One, from the server's side; of a socket that listens, the other end is zero."""

    addresses: bytes
    """Of both ends, as the kernel has them; they tell connections apart."""
    inode: int
    """Of its socket; 0: nobody has accepted it yet, or nobody has it any more."""


def connections(ports: Collection[int], states: int) -> list[TcpSocket]:
    """Those to these local ports that are in one of these states."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(_ANSWER_S)
        families = (socket.AF_INET, socket.AF_INET6)
        return [each for port in ports for family in families for each in _ask(kernel, family, port, states)]


def listeners() -> dict[int, list[int]]:
    """Inodes of the sockets that listen, by their port."""
    found: dict[int, list[int]] = {}
    for each in connections([_EVERY_PORT], LISTEN):
        found.setdefault(int.from_bytes(each.addresses[:2], "big"), []).append(each.inode)
    return found


def sockets_of(pid: int) -> list[int]:
    """Inodes of the sockets that a process has; none if it is gone. Raises PermissionError."""
    inodes = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(FileNotFoundError):
                target = os.readlink(entry.path)
                if target.startswith("socket:["):
                    inodes.append(int(target[8:-1]))
    return inodes


def _ask(kernel: socket.socket, family: int, port: int, states: int) -> Iterator[TcpSocket]:
    identity = struct.pack(">H", port) + bytes(_IDENTITY_BYTES - 2)
    request = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, states) + identity
    header = struct.pack("=IHHII", _HEADER.size + len(request), _BY_FAMILY, _REQUEST_DUMP, 1, 0)
    kernel.send(header + request)
    while True:
        data = kernel.recv(_BYTES)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            if kind == _DONE:
                return
            if kind != _BY_FAMILY or length <= _HEADER.size:  # NLMSG_ERROR: a kernel without inet_diag
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            body = data[at + _HEADER.size : at + length]
            yield TcpSocket(body[4 : 4 + _IDENTITY_BYTES], struct.unpack_from("=I", body, _INODE)[0])
            at += (length + 3) & ~3
