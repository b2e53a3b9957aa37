"""What else a process has of a socket when ours takes its place: copies of its descriptor, and epolls.

Some register a socket before they bind it (Boost.Asio, Netty's native transport), or bind a copy. Ours has to
take the place of all copies, and has to be registered where the other one was, as that leaves with its last
copy. Protocol: proc_pid_fdinfo(5), epoll_ctl(2), pidfd_getfd(2). Errors pass as OSError.
"""

import contextlib
import ctypes
import fcntl
import os
import struct
from collections.abc import Iterator
from typing import Final

from pidone import procfs
from pidone.descriptors import close
from pidone.listen.kernel import seccomp
from pidone.record import Record

_EPOLL: Final = "anon_inode:[eventpoll]"
_ADD: Final = 1
_EVENT: Final = struct.Struct("=IQ" if os.uname().machine == "x86_64" else "=IxxxxQ")  # struct epoll_event


class Registration(Record):
    """One of a process's descriptors in one of its epolls."""

    epoll: int
    number: int
    events: int
    data: int


class Entangled(Record):
    """All that a process has of one socket."""

    pid: int
    copies: tuple[int, ...]
    """Numbers behind which the same socket is."""
    registrations: tuple[Registration, ...]


def look(pid: int, descriptor: int, inode: int) -> Entangled:
    """What the process has of the socket behind a descriptor, beside that."""
    copies: list[int] = []
    registrations: list[Registration] = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # another thread has closed it
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target == _EPOLL:
                registrations += _registered(pid, int(name), inode)
            elif target == f"socket:[{inode}]" and int(name) != descriptor:
                copies.append(int(name))
    return Entangled(pid, tuple(copies), tuple(registrations))


def register(entangled: Entangled, ours: int) -> None:
    """Our socket, which has taken the place of the other one, is looked at where that was."""
    for each in entangled.registrations:
        epoll = seccomp.copy_of(entangled.pid, each.epoll)
        try:
            with _behind(each.number, ours):
                _add(epoll, each)
        finally:
            close(epoll)


def _registered(pid: int, epoll: int, inode: int) -> Iterator[Registration]:
    """Lines are `tfd: 5 events: 19 data: 5 pos:0 ino:4d2 sdev:8`; all but the first in hexadecimal."""
    for line in procfs.read_text(f"/proc/{pid}/fdinfo/{epoll}").splitlines():
        if line.startswith("tfd:"):
            words = line.replace(":", ": ").split()
            fields = dict(zip(words[::2], words[1::2], strict=False))
            if int(fields["ino:"], 16) == inode:
                yield Registration(
                    epoll, int(fields["tfd:"]), int(fields["events:"], 16), int(fields["data:"], 16)
                )


@contextlib.contextmanager
def _behind(number: int, ours: int) -> Iterator[None]:
    """For a moment our socket has this number here: an epoll knows who is in it by socket and number.

    Nothing else runs meanwhile in this process of one thread, and what had the number has it again.
    """
    try:
        flags = fcntl.fcntl(number, fcntl.F_GETFD)
    except OSError:  # it is free
        os.dup2(ours, number, inheritable=False)
        try:
            yield
        finally:
            close(number)
        return
    kept = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    os.dup2(ours, number, inheritable=False)
    try:
        yield
    finally:
        os.dup2(kept, number, inheritable=not flags & fcntl.FD_CLOEXEC)
        close(kept)


def _add(epoll: int, registration: Registration) -> None:
    """As the process had it, which Python's own epoll cannot say: the data is a word of its choice."""
    libc = ctypes.CDLL(None, use_errno=True)
    event = _EVENT.pack(registration.events, registration.data)
    if libc.epoll_ctl(epoll, _ADD, registration.number, event) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
