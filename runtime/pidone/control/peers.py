"""Whom a command believes at the other end of a unix socket: root, its own user, and its container's runtime.

A socket's name proves nothing: where several users may write, /tmp first of all, whoever binds a name first
has it. So the kernel is asked who listens (SO_PEERCRED, unix(7)) before a byte is sent.

A name without a file (unix(7), abstract; written `@name`) is known to all who share the network, as every
container of a pod and of `--network host` does. There both ends believe nobody of another PID namespace.
"""

import errno
import os
import socket
import stat
import struct
from typing import Final, NamedTuple

from pidone import procfs
from pidone.descriptors import close

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing at run time
if TYPE_CHECKING:
    from pidone.ecosystem.spec import Seconds

ABSTRACT: Final = "@"
"""What a socket's name without a file begins with, as in /proc/net/unix."""
_UCRED: Final = struct.Struct("iII")
"""`struct ucred` of unix(7): pid, uid, gid. Users of user namespaces may be beyond 2^31."""
_TIMEVAL: Final = struct.Struct("ll")
"""`struct timeval` of socket(7)."""
_MOST_LINKS: Final = 8
_NOBODY: Final = -1
"""No user has this number."""
_NAMES: Final = (b"pidone", b"pidone-direct", b"pm2-runtime", b"pm2-docker")
_FIRST_WORDS: Final = 12
"""An interpreter, its options (bin/launcher.c), the program: where a command line says that it is ours."""


class Peer(NamedTuple):
    """The process that called listen(2), or connect(2) on our socket."""

    pid: int
    """0 if it is of a PID namespace that we cannot see."""
    uid: int


def of(sock: socket.socket) -> Peer:
    """Who is at the other end of a connected socket."""
    pid, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(pid, uid)


def is_ours(uid: int) -> bool:
    """Whether a user could do everything that we do."""
    return uid in (0, os.geteuid())


def is_abstract(path: str) -> bool:
    """Whether it names a socket without a file."""
    return path.startswith(ABSTRACT)


def address(path: str) -> str:
    """What bind(2) and connect(2) take for it."""
    return "\0" + path.removeprefix(ABSTRACT) if is_abstract(path) else path


def may_operate(peer: Peer, sock: socket.socket) -> bool:
    """Whether somebody who has connected to a listening socket of ours may ask anything there."""
    has_file = isinstance(sock.getsockname(), str)  # an abstract name is of bytes
    return is_ours(peer.uid) and (has_file or is_of_our_namespace(peer.pid))


def listening(path: str) -> Peer | None:
    """Who listens at a socket, None if nobody does. Never waits.

    Somebody whose queue is full cannot be asked for; the file's owner stands for him then, and without a file
    nobody does.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address(path))
        except BlockingIOError:  # EAGAIN of unix(7)
            return Peer(0, _NOBODY if is_abstract(path) else os.lstat(path).st_uid)
        except OSError:
            return None
        return of(probe)


def is_believed(path: str, peer: Peer) -> bool:
    """Whether what `peer` says through the socket at `path` may be taken for a runtime's word."""
    if not (is_of_our_namespace(peer.pid) if is_abstract(path) else _is_named_by(path, peer.uid)):
        return False
    if is_ours(peer.uid):
        return True
    # Root operates the runtimes of ordinary users too. Their apps are theirs, but an app of root's runtime
    # may be of that user as well.
    is_at_home = _uid(1) == peer.uid or (
        not is_abstract(path) and _is_closed(os.path.dirname(path) or ".", peer.uid)
    )
    return os.geteuid() == 0 and is_at_home and _is_outermost_runtime(peer)


def _is_named_by(path: str, uid: int) -> bool:
    """Whether a file is root's, ours or that user's."""
    try:
        owner = os.lstat(path).st_uid
    except OSError:  # it has just gone
        return False
    return owner == uid or is_ours(owner)


def is_of_our_namespace(pid: int) -> bool:
    """Whether a process is in our own PID namespace: neither outside (its pid is 0 here) nor further inside.

    A number alone may belong to a container below us, whose root or user 4242 is somebody else; and a user
    of another user namespace may look like `nobody`, who we are perhaps. NSpid of proc_pid_status(5) has one
    number for each namespace from that of /proc on, so /proc has to be our own. Whoever cannot be looked at
    is not.
    """
    return pid > 0 and _pids(pid) == (pid,) and _pids(os.getpid()) == (os.getpid(),)


def _pids(pid: int) -> tuple[int, ...]:
    """Of a process, in the PID namespaces from that of /proc inwards; none if there is no telling."""
    try:
        lines = procfs.read_bytes(f"/proc/{pid}/status").splitlines()
    except OSError:
        return ()
    return next((tuple(map(int, line.split()[1:])) for line in lines if line.startswith(b"NSpid:")), ())


def connect(path: str, timeout: "Seconds") -> socket.socket:
    """A connection whose every wait is bounded, to somebody who is believed. Raises OSError.

    PermissionError means one who must not be asked, or of whom we must not ask anything.

    A socket with a timeout of Python's does not wait in connect(2) when the queue is full, but fails at once.
    """
    path = _followed(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        whole, part = divmod(timeout, 1)
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(whole), int(part * 1e6) or 1)
        )
        _connect(sock, path)
        _check(path, of(sock))
        sock.settimeout(timeout)
    except BlockingIOError:  # EAGAIN
        close(sock)
        raise TimeoutError(f"it did not take the connection within {timeout:g} s") from None
    except BaseException:
        close(sock)
        raise
    return sock


def _connect(sock: socket.socket, path: str) -> None:
    try:
        sock.connect(address(path))
    except PermissionError:
        raise _refused() from None


def _check(path: str, peer: Peer) -> None:
    """Raises PermissionError."""
    if not is_believed(path, peer):
        is_outside = is_abstract(path) and not is_of_our_namespace(peer.pid)
        raise _outsider() if is_outside else _stranger(peer.uid)
    if os.geteuid() not in (0, peer.uid):  # it would hang up
        raise _refused()


def _stranger(uid: int) -> PermissionError:
    return PermissionError(errno.EACCES, f"uid {uid} holds it, who is neither root nor the runtime's user")


def _refused() -> PermissionError:
    return PermissionError(errno.EACCES, "only root and the runtime's own user may")


def _outsider() -> PermissionError:
    return PermissionError(errno.EACCES, "a process of another container (PID namespace) holds it")


def _followed(path: str) -> str:
    """Where links of ours lead; those of strangers lead nowhere. Raises OSError."""
    if is_abstract(path):
        return path
    for _ in range(_MOST_LINKS):
        status = os.lstat(path)
        if not stat.S_ISLNK(status.st_mode):
            return path
        if not is_ours(status.st_uid):
            raise _stranger(status.st_uid)
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_closed(folder: str, uid: int) -> bool:
    """Whether nobody but root and `uid` can give names in a folder of his."""
    status = os.stat(folder)
    return status.st_uid == uid and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _is_outermost_runtime(peer: Peer) -> bool:
    """Whether a process is a runtime that no runtime of another user has started.

    What it says of itself can be forged; not so the runtime above it, which adopts whoever loses its parent.
    """
    from pidone.init.proctree import read  # noqa: PLC0415 (only for root, with a runtime of somebody else)

    if not _is_pidone(peer.pid):
        return False
    pid = peer.pid
    while (process := read(pid)) is not None and process.ppid > 0:
        pid = process.ppid
        if _is_pidone(pid) and _uid(pid) != peer.uid:
            return False
    return process is not None


def _is_pidone(pid: int) -> bool:
    try:
        words = procfs.read_bytes(f"/proc/{pid}/cmdline", 4096).split(b"\0")[:_FIRST_WORDS]
    except OSError:
        return False
    return any(word.rpartition(b"/")[2] in _NAMES for word in words)


def _uid(pid: int) -> int | None:
    """The effective uid of a process, of proc_pid_status(5)."""
    try:
        lines = procfs.read_bytes(f"/proc/{pid}/status").splitlines()
        fields = next(line for line in lines if line.startswith(b"Uid:")).split()
    except (OSError, StopIteration):
        return None
    return int(fields[2])
