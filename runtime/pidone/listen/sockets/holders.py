"""Find out who holds a port, for error messages. Everything here may fail and then just says nothing.

Protocol: proc(5), /proc/net/tcp: local address in hex, state 0A is LISTEN, field 9 is the socket's inode.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from pidone import procfs
from pidone.listen.sockets import diag
from pidone.listen.sockets.address import Address, Kind

_TABLES: Final = {Kind.TCP: ("tcp", "tcp6"), Kind.UDP: ("udp", "udp6"), Kind.UNIX: ()}
_LISTEN: Final = "0A"


def who_holds(address: Address) -> str:
    """A process that listens there, or else that has a connection from there; empty if none can be seen."""
    return _holder_of(set(_inodes(address, listening=True))) or _holder_of(
        set(_inodes(address, listening=False))
    )


def _holder_of(inodes: set[int]) -> str:
    with contextlib.suppress(OSError):
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            if inodes & _sockets(pid):
                return "this runtime" if pid == os.getpid() else f"process {pid} ({_command(pid)})"
    return ""


def _inodes(address: Address, *, listening: bool) -> Iterator[int]:
    if address.kind is Kind.UNIX:
        with contextlib.suppress(OSError):
            for line in procfs.read_text("/proc/net/unix").splitlines()[1:]:
                fields = line.split(maxsplit=7)
                if fields[7:] == [address.host]:
                    yield int(fields[6])
        return
    for table in _TABLES[address.kind]:
        with contextlib.suppress(OSError):
            for line in procfs.read_text(f"/proc/net/{table}").splitlines()[1:]:
                fields = line.split()
                port = int(fields[1].rpartition(":")[2], 16)
                if port == address.port and (not listening or fields[3] == _LISTEN):
                    yield int(fields[9])


def _sockets(pid: int) -> set[int]:
    try:
        return set(diag.sockets_of(pid))
    except OSError:  # another user's
        return set()


def _command(pid: int) -> str:
    try:
        words = procfs.read_bytes(f"/proc/{pid}/cmdline").rstrip(b"\0").split(b"\0")
    except OSError:
        return "?"
    return b" ".join(words).decode(errors="replace")[:80]
