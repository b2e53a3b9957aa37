"""Whether a process takes connections of a socket: it waits for them, or has one.

It waits in accept, poll, select, or by an epoll of its own. Some programs see that the socket which they have
bound listens already, and never call listen() (HAProxy). Under load one of a single thread may never be seen
to wait, because the next client is always there (gunicorn's sync worker).
Protocol: proc_pid_syscall(5), proc_pid_fdinfo(5), poll(2), select(2), pidfd_getfd(2). What cannot be seen
counts as no.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from pidone import procfs
from pidone.descriptors import close
from pidone.init import proctree
from pidone.listen.kernel import seccomp

_MACHINE: Final = os.uname().machine
_ACCEPT: Final = {"x86_64": (43, 288), "aarch64": (202, 242)}.get(_MACHINE, ())
_POLL: Final = {"x86_64": (7, 271), "aarch64": (73,)}.get(_MACHINE, ())
_SELECT: Final = {"x86_64": (23, 270), "aarch64": (72,)}.get(_MACHINE, ())
_POLLFD: Final = struct.Struct("=ihh")
_MOST_POLLED: Final = 1024
_MOST_CONNECTIONS: Final = 32
_WORD: Final = struct.Struct("@L")


def waits_on(root: int, inode: int) -> bool:
    """Whether `root`, or a process that it started, takes connections of this socket."""
    try:
        family = proctree.Look(proctree.snapshot()).families([root])
    except OSError:  # no descriptor is left
        return False
    return any(_waits(pid, f"socket:[{inode}]") for pid in family)


def is_had(root: int, inode: int) -> bool:
    """Whether `root`, or a process that it started, has a descriptor of this socket."""
    try:
        family = proctree.Look(proctree.snapshot()).families([root])
    except OSError:  # no descriptor is left
        return False
    return any(target == f"socket:[{inode}]" for pid in family for _, target in _links(pid))


def _waits(pid: int, wanted: str) -> bool:
    links = dict(_links(pid))
    numbers = {number for number, target in links.items() if target == wanted}
    if not numbers:
        return False
    polled = (_polled(pid, number) for number, target in links.items() if target == "anon_inode:[eventpoll]")
    if any(numbers & each for each in polled):
        return True
    if any(numbers & set(_waited_for(pid, thread)) for thread in _entries(f"/proc/{pid}/task")):
        return True
    others = [number for number, target in links.items() if target.startswith("socket:") and target != wanted]
    return _has_accepted(pid, min(numbers), others[:_MOST_CONNECTIONS])


def _has_accepted(pid: int, listening: int, others: Iterable[int]) -> bool:
    """Whether one of the other sockets is a connection that came to the listening one."""
    door = _door(pid, listening)
    return door is not None and any(door == _door(pid, number, is_connection=True) for number in others)


def _door(pid: int, number: int, *, is_connection: bool = False) -> tuple[int, object] | None:
    """The family of a socket, and its port or path; None if it is none that clients come to, or come by."""
    try:
        with socket.socket(fileno=seccomp.copy_of(pid, number)) as sock:
            if is_connection:
                sock.getpeername()
            name = sock.getsockname()
            is_stream = sock.type == socket.SOCK_STREAM
            has_name = sock.family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX) and is_stream and name
            return (sock.family, name if sock.family == socket.AF_UNIX else name[1]) if has_name else None
    except OSError:
        return None


def _links(pid: int) -> Iterator[tuple[int, str]]:
    for name in _entries(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            yield int(name), os.readlink(f"/proc/{pid}/fd/{name}")


def _polled(pid: int, number: int) -> set[int]:
    """What an epoll watches: lines of `tfd: NUMBER events: ...`."""
    try:
        lines = procfs.read_text(f"/proc/{pid}/fdinfo/{number}").splitlines()
        return {int(line.split()[1]) for line in lines if line.startswith("tfd:")}
    except OSError:
        return set()


def _waited_for(pid: int, thread: str) -> Iterable[int]:
    """The descriptors that the system call names in which a thread is."""
    try:
        words = procfs.read_text(f"/proc/{pid}/task/{thread}/syscall").split()
        if not words[0].isdigit():  # it runs, or is not in a call
            return ()
        number, first, second = int(words[0]), int(words[1], 16), int(words[2], 16)
        if number in _ACCEPT:
            return (first,)
        if number in _POLL:
            raw = _read(pid, first, min(second, _MOST_POLLED) * _POLLFD.size)
            return [descriptor for descriptor, _, _ in _POLLFD.iter_unpack(raw)]
        if number in _SELECT and second:
            return _selected(_read(pid, second, -(-first // (8 * _WORD.size)) * _WORD.size))
    except (OSError, struct.error):
        return ()
    return ()


def _selected(raw: bytes) -> list[int]:
    bits = 8 * _WORD.size
    words = [word for (word,) in _WORD.iter_unpack(raw)]
    return [index * bits + bit for index, word in enumerate(words) for bit in range(bits) if word >> bit & 1]


def _read(pid: int, where: int, size: int) -> bytes:
    memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    try:
        return os.pread(memory, size, where)
    finally:
        close(memory)


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
