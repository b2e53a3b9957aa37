"""A datagram socket that knows who sent what: the kernel vouches for the pid, /proc for the family.

An abstract address needs no writable folder and no permission for another user; since everybody in the
network namespace can reach it, only the process it was made for and its descendants are listened to.
Protocol: unix(7), SO_PASSCRED and SCM_CREDENTIALS.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from pidone.descriptors import close
from pidone.init import proctree

_BYTES: Final = 1 << 16
_MAX_FDS: Final = 16
_UCRED: Final = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_ANCILLARY: Final = socket.CMSG_SPACE(_UCRED.size) + socket.CMSG_SPACE(4 * _MAX_FDS)
_PER_TURN: Final = 32
"""Datagrams per turn of the loop, so that a chatty app does not starve the others."""


class DatagramSender(NamedTuple):
    """Who sent a datagram."""

    pid: int
    """By the kernel's word, as seen from here; what a datagram says of pids is no more than a claim."""
    address: bytes


class Datagrams:
    """One receiving socket for one process."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        label: str,
        *,
        on_datagram: Callable[[bytes, list[int], DatagramSender], None],
        on_stranger: Callable[[str], None],
    ) -> None:
        """`on_datagram` gets the bytes, descriptors that are closed after it returns, and the sender."""
        self._loop = loop
        self._on_datagram = on_datagram
        self._on_stranger = on_stranger
        self._owner: int | None = None
        self.address = f"@pidone/{os.urandom(8).hex()}/{label}"
        """As systemd writes an abstract address: `@` instead of NUL."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("\0" + self.address[1:])

    def spawned(self, pid: int) -> None:
        """From now on this process and its descendants are heard."""
        self._owner = pid
        self._loop.add_reader(self._socket.fileno(), self._read)

    def reply(self, to: DatagramSender, data: bytes, descriptor: int | None = None) -> None:
        """Answer a datagram; one that cannot be delivered is lost, as datagrams are."""
        rights = b"" if descriptor is None else struct.pack("=i", descriptor)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
        with contextlib.suppress(OSError):  # socket.send_fds() forgets the address it is given
            self._socket.sendmsg([data], ancillary, 0, to.address)

    def close(self) -> None:
        """Hear nobody any more, once what is there already has been read."""
        if self._socket.fileno() < 0:
            return
        if self._owner is not None:
            self._read()
            self._loop.remove_reader(self._socket.fileno())
        close(self._socket)

    def _read(self) -> None:
        for _ in range(_PER_TURN):
            try:
                data, ancillary, _, address = self._socket.recvmsg(
                    _BYTES, _ANCILLARY, socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
                )
            except OSError:
                return
            pid, descriptors = _unpack(ancillary)
            try:
                if self.is_family(pid):
                    self._on_datagram(data, descriptors, DatagramSender(pid, address or b""))
                else:
                    self._on_stranger(f"datagram of process {pid}, which does not belong to {self._owner}")
            except OSError as error:  # no descriptor is left to look at the sender with
                self._on_stranger(
                    f"datagram of process {pid}: /proc does not tell whose it is: {error.strerror}"
                )
            finally:
                for descriptor in descriptors:
                    close(descriptor)
            if self._socket.fileno() < 0:
                return

    def is_family(self, pid: int) -> bool:
        """Whether a process is ours or descends from ours; a daemon that left is known by its group.

        Raises OSError if /proc cannot be read.
        """
        while pid > 1 and pid != self._owner:
            process = proctree.read(pid)
            if process is None:
                return False
            if self._owner in (process.pgrp, process.session):
                return True
            pid = process.ppid
        return pid == self._owner


def _unpack(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, list[int]]:
    pid = 0
    descriptors: list[int] = []
    for level, kind, data in ancillary:
        if level != socket.SOL_SOCKET:
            continue
        if kind == socket.SCM_CREDENTIALS:
            pid = _UCRED.unpack(data[: _UCRED.size])[0]
        elif kind == socket.SCM_RIGHTS:
            whole = len(data) // 4 * 4
            descriptors += struct.unpack(f"={whole // 4}i", data[:whole])
    return pid, descriptors
