"""Where the control socket is: one rule for the runtime that makes it and the commands that look for it."""

import os
import socket
import stat
import struct
from collections.abc import Iterator, Mapping
from typing import Final

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing at run time
if TYPE_CHECKING:
    from pidone.ecosystem.spec import Seconds

VARIABLE: Final = "PIDONE_SOCKET"
OFF: Final = "none"
_NAME: Final = "pidone"
_BACKLOG: Final = 512
_TIMEVAL: Final = struct.Struct("ll")
"""`struct timeval` of socket(7)."""


def configured(setting: str | None, environ: Mapping[str, str]) -> str | None:
    """What the user said: the variable first, then `[runtime] socket`; None is "choose a place"."""
    return environ.get(VARIABLE) or setting


def places(environ: Mapping[str, str]) -> Iterator[str]:
    """Folders for a socket without a configured path, the best first."""
    if folder := environ.get("XDG_RUNTIME_DIR"):
        yield folder
    yield "/run"
    yield "/tmp"  # noqa: S108 (the socket is 0600 and never replaces what somebody else owns)


def default_name(uid: int, pid: int | None = None) -> str:
    """`pidone.sock` for root, with the uid for others, and with the pid beside another runtime."""
    parts = [_NAME, *([f"u{uid}"] if uid else []), *([str(pid)] if pid is not None else [])]
    return "-".join(parts) + ".sock"


def bind(setting: str | None, environ: Mapping[str, str]) -> socket.socket:
    """Bind the control socket and listen. Raises OSError with the last reason if there is no place."""
    path = configured(setting, environ)
    if path is not None:
        return _bind(path)
    uid = os.geteuid()
    error: OSError = FileNotFoundError("no folder for the control socket")
    for folder in places(environ):
        for name in (default_name(uid), default_name(uid, os.getpid())):
            try:
                return _bind(os.path.join(folder, name))
            except BlockingIOError as busy:  # another runtime of ours: stand beside it
                error = busy
            except OSError as unusable:
                error = unusable
                break
    raise error


def _bind(path: str) -> socket.socket:
    """Raises BlockingIOError if a live runtime listens there, OSError if the path cannot be used."""
    if is_live(path):
        raise BlockingIOError("in use by another runtime")
    if is_socket(path):
        os.unlink(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    sock.listen(_BACKLOG)
    sock.setblocking(False)
    return sock


def is_socket(path: str) -> bool:
    """Whether something of ours to connect to, or to replace, is there."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISSOCK(status.st_mode) and (status.st_uid in (0, os.geteuid()) or os.geteuid() == 0)


def inode(path: str) -> int | None:
    """What tells the socket from a later one of the same name."""
    try:
        return os.lstat(path).st_ino
    except OSError:
        return None


def connect(path: str, timeout: "Seconds") -> socket.socket:
    """A connection whose every wait is bounded. Raises OSError.

    A socket with a timeout of Python's does not wait in connect(2) when the queue is full, but fails at once.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        whole, part = divmod(timeout, 1)
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(whole), int(part * 1e6) or 1)
        )
        sock.connect(path)
        sock.settimeout(timeout)
    except BlockingIOError:  # EAGAIN
        sock.close()
        raise TimeoutError(f"it did not take the connection within {timeout:g} s") from None
    except BaseException:
        sock.close()
        raise
    return sock


def is_live(path: str) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # EAGAIN of unix(7): it listens, and its queue is full
            return True
        except OSError:
            return False
        return True


def find(environ: Mapping[str, str]) -> list[str]:
    """Every socket a command may talk to, the configured one alone or else the best first."""
    if path := environ.get(VARIABLE):
        return [path]
    found = []
    mine = ["pidone.sock", default_name(os.geteuid())]
    for folder in places(environ):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        ours = [name for name in names if name.startswith(f"{_NAME}") and name.endswith(".sock")]
        ours.sort(key=lambda name: (name not in mine, name))
        found += [path for name in ours if is_socket(path := os.path.join(folder, name)) and is_live(path)]
    return list(dict.fromkeys(found))
