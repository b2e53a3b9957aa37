"""TCP sockets of processes, as the kernel tells them: where they listen, and whom they serve.

By sock_diag, which leaves out what has been closed: the tables in /proc are long after much load, and reading
them for each process would take the time that the clients need. Where there is none (gVisor) those tables.
"""

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from pidone.cli.trial import leftovers
from pidone.listen.sockets import diag
from pidone.record import Record

_TABLES: Final = (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6))
_STATES: Final = {"01": False, "0A": True}
"""Of proc_net_tcp: ESTABLISHED and LISTEN; whether that listens."""
_WITH_PATH: Final = 8  # fields of a line of /proc/net/unix
_ACCEPTS: Final = "00010000"  # __SO_ACCEPTCON, include/linux/net.h
_SOURCE: Final = slice(4, 20)  # struct inet_diag_sockid: two ports, then two addresses of 16 bytes
_PEER: Final = slice(20, 36)


class Tcp(Record):
    """One socket, from its own side."""

    host: str
    port: int
    listens: bool


def table() -> dict[int, Tcp]:
    """Those of this machine that listen or are connected, by their inode."""
    try:
        return {each.inode: _from_kernel(each.addresses) for each in _ask()}
    except (OSError, struct.error):
        return dict(_from_proc())


def of(pids: Iterable[int], known: "dict[int, Tcp] | None" = None) -> list[Tcp]:
    """Those of some processes; what processes share is told once."""
    known = table() if known is None else known
    inodes = {inode for pid in pids for inode in _inodes(pid)}
    return [known[inode] for inode in sorted(inodes) if inode in known]


def unix_paths(pids: Iterable[int]) -> list[str]:
    """Where processes listen on unix sockets that have a file."""
    owners = {inode: pid for pid in pids for inode in _inodes(pid)}
    found = set()
    with suppress(OSError), open("/proc/net/unix", encoding="utf-8", errors="replace") as file:
        next(file, None)
        for line in file:
            fields = line.split(maxsplit=7)
            if len(fields) == _WITH_PATH and fields[3] == _ACCEPTS and int(fields[6]) in owners:
                path, pid = fields[7].rstrip("\n"), owners[int(fields[6])]
                if not path.startswith("@"):  # an abstract name
                    found.add(os.path.join(os.readlink(f"/proc/{pid}/cwd"), path))
    return sorted(found)


def stranger(ports: Iterable[int], mark: str) -> str:
    """A process without that mark that listens on one of these: its name and pid; empty if none does."""
    wanted = set(ports)
    listeners = {inode for inode, each in table().items() if each.listens and each.port in wanted}
    if not listeners:
        return ""
    ours = leftovers.living(mark)
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid not in ours and listeners & set(_inodes(pid)):
            with suppress(OSError), open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                return f"{file.read().strip()}, pid {pid}"
    return ""


def _inodes(pid: int) -> list[int]:
    try:
        return diag.sockets_of(pid)
    except OSError:  # another user's
        return []


def _ask() -> list[diag.TcpSocket]:
    return diag.connections([0], diag.LISTEN | diag.ESTABLISHED)


def _from_kernel(addresses: bytes) -> Tcp:
    source, peer = addresses[_SOURCE], addresses[_PEER]
    short = not any(source[4:]) and any(source[:4])  # IPv4 has the first four bytes, ::1 has not
    host = socket.inet_ntop(*((socket.AF_INET, source[:4]) if short else (socket.AF_INET6, source)))
    listens = not any(peer) and not any(addresses[2:4])
    return Tcp(host, int.from_bytes(addresses[:2], "big"), listens)


def _from_proc() -> Iterator[tuple[int, Tcp]]:
    for name, family in _TABLES:
        with suppress(OSError), open(f"/proc/net/{name}", encoding="ascii") as file:
            next(file, None)
            for line in file:
                fields = line.split()
                if fields[3] in _STATES:
                    address, _, port = fields[1].partition(":")
                    words = bytes.fromhex(address)  # each four bytes in the order of the machine
                    raw = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
                    listens = _STATES[fields[3]]
                    yield int(fields[9]), Tcp(socket.inet_ntop(family, raw), int(port, 16), listens)
