"""Find out who holds a port, for error messages. Everything here may fail and then just says nothing.

Protocol: proc(5), /proc/net/tcp: local address in hex, state 0A is LISTEN, field 9 is the socket's inode.
"""

import contextlib
import os
from collections.abc import Collection, Iterator
from typing import Final

from pidone import procfs
from pidone.init import proctree
from pidone.listen.sockets import diag
from pidone.listen.sockets.address import Address, Kind

_TABLES: Final = {Kind.TCP: ("tcp", "tcp6"), Kind.UDP: ("udp", "udp6"), Kind.UNIX: ()}
_LISTEN: Final = "0A"


def who_holds(address: Address) -> str:
    """A process that listens there, or else that has a connection from there; empty if none can be seen."""
    return _holder_of(set(dict(_sockets_at(address, listening=True)))) or _holder_of(
        set(dict(_sockets_at(address, listening=False)))
    )


def is_held_by(address: Address, roots: Collection[int]) -> bool:
    """Whether nobody but these processes, their groups and descendants has what is open at an address.

    False if that cannot be seen. Descriptors of another user may not be shown (CAP_SYS_PTRACE): a socket that
    such a user has made is theirs where all processes of that user are.
    """
    owners = dict(_sockets_at(address, listening=address.kind is Kind.TCP))
    owners.pop(0, None)  # nobody has accepted it yet, or has it any more
    held: dict[bool, set[int]] = {True: set(), False: set()}
    hidden: dict[bool, set[int]] = {True: set(), False: set()}
    try:
        everybody = proctree.Look(proctree.snapshot())
        first = {_first_of_ours(everybody, pid) for pid in roots}
        family = everybody.families(set().union(*map(everybody.led_by, first)))
        for pid in everybody.processes:
            try:
                held[pid in family].update(diag.sockets_of(pid))
            except PermissionError:
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    hidden[pid in family].add(_user(pid))
    except OSError:
        return False
    users = hidden[True] - hidden[False]
    return bool(owners) and all(
        (inode in held[True] or user in users) and inode not in held[False] for inode, user in owners.items()
    )


def _first_of_ours(everybody: proctree.Look, pid: int) -> int:
    """Whom we have started: a program may have named a child of it as the main process (MAINPID=)."""
    process = everybody.processes.get(pid)
    while process is not None and process.ppid not in (0, 1, os.getpid()):
        pid, process = process.ppid, everybody.processes.get(process.ppid)
    return pid


def _user(pid: int) -> int:
    """Who owns the sockets that it makes. Raises OSError."""
    lines = procfs.read_text(f"/proc/{pid}/status").splitlines()
    return int(next(line.split()[-1] for line in lines if line.startswith("Uid:")))


def _holder_of(inodes: set[int]) -> str:
    with contextlib.suppress(OSError):
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            if inodes & _sockets(pid):
                return "this runtime" if pid == os.getpid() else f"process {pid} ({_command(pid)})"
    return ""


def _sockets_at(address: Address, *, listening: bool) -> Iterator[tuple[int, int]]:
    """Each one's inode, and the user that made it; -1 if that is not told."""
    if address.kind is Kind.UNIX:
        with contextlib.suppress(OSError):
            for line in procfs.read_text("/proc/net/unix").splitlines()[1:]:
                fields = line.split(maxsplit=7)
                if fields[7:] == [address.host]:
                    yield int(fields[6]), -1
        return
    for table in _TABLES[address.kind]:
        with contextlib.suppress(OSError):
            for line in procfs.read_text(f"/proc/net/{table}").splitlines()[1:]:
                fields = line.split()
                port = int(fields[1].rpartition(":")[2], 16)
                if port == address.port and (not listening or fields[3] == _LISTEN):
                    yield int(fields[9]), int(fields[7])


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
