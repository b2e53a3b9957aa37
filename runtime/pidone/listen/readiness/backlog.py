"""Finds a program that accepts nobody any more, by its queue: the kernel tells who waits there.

Whether anybody was accepted between two looks follows from the length of the queue and from who joined it: it
grows by as many as joined, and by fewer where some were accepted. Clients that gave up stay in the queue.
Protocol: sock_diag(7), asked for one port (the tables in /proc take long to read where there are many
connections); one that nobody has accepted has no inode.
"""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterator
from typing import Final

from pidone.ecosystem.spec import Seconds
from pidone.listen.readiness.heartbeat import BEATS, Heartbeat

_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_REQUEST_DUMP: Final = 0x301
_QUEUED: Final = 1 << 1 | 1 << 8  # ESTABLISHED, CLOSE_WAIT: include/net/tcp_states.h
_DONE: Final = 3  # NLMSG_DONE of netlink(7)
_HEADER: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_IDENTITY_BYTES: Final = 48  # struct inet_diag_sockid, after four bytes of struct inet_diag_msg
_INODE: Final = 68  # of struct inet_diag_msg
_BYTES: Final = 1 << 16
_ANSWER_S: Final[Seconds] = 1.0
"""It is the kernel that answers, in milliseconds."""


class BacklogWatch:
    """Looks at the queue that one instance accepts from, alone or with its likes."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        patience: Seconds,
        *,
        queued: Callable[[], int],
        ports: Callable[[], Collection[int]],
        is_needed: Callable[[], bool],
        on_hung: Callable[[str], None],
    ) -> None:
        """`queued` tells how many wait, `ports` where; `is_needed`: nothing else tells of its progress."""
        self._loop = loop
        self._every = patience / BEATS / 2
        self._queued = queued
        self._ports = ports
        self._is_needed = is_needed
        lacks = "it has accepted none of those that wait in its queue"
        self._heartbeat = Heartbeat(loop, patience, lambda: True, on_hung, lacks=lacks)
        self._timer: asyncio.TimerHandle | None = None
        self._before: tuple[int, frozenset[bytes]] | None = None

    def spawned(self, pid: int) -> None:
        """Whom to look at."""
        self._heartbeat.spawned(pid)

    def watch(self) -> None:
        """It is online."""
        if self._timer is None:
            self._heartbeat.begin()
            self._look()

    def unwatch(self) -> None:
        """It is about to stop."""
        self._heartbeat.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """The process ended, or never began."""
        self.unwatch()

    def _look(self) -> None:
        self._timer = self._loop.call_later(self._every, self._look)
        length = self._queued() if self._is_needed() else 0
        if not length:
            self._before = None
            self._heartbeat.answered()
            return
        try:
            waiting = _waiting(self._ports())
        except (OSError, struct.error):  # a sandbox without it (gVisor), or an emulator that answers short
            # Nobody is accused of what cannot be seen.
            self._heartbeat.answered()
            return
        if self._before is not None:
            length_before, waiting_before = self._before
            if length - length_before < len(waiting - waiting_before):
                self._heartbeat.answered()
        self._before = length, waiting


def _waiting(ports: Collection[int]) -> frozenset[bytes]:
    """Connections to these ports that nobody has accepted: their addresses. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(_ANSWER_S)
        families = (socket.AF_INET, socket.AF_INET6)
        return frozenset(each for port in ports for family in families for each in _ask(kernel, family, port))


def _ask(kernel: socket.socket, family: int, port: int) -> Iterator[bytes]:
    identity = struct.pack(">H", port) + bytes(_IDENTITY_BYTES - 2)
    request = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, _QUEUED) + identity
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
            inode = struct.unpack_from("=I", body, _INODE)[0]
            if not inode:
                yield body[4 : 4 + _IDENTITY_BYTES]
            at += (length + 3) & ~3
