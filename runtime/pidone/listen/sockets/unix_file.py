"""The files of unix sockets, in folders that may belong to an app: no link of its leads anywhere else.

The file of a shared socket stays, though every program of an app believes that it is its own. Programs
remove the file before they bind it, and again when they stop; whoever connects then finds nothing, while
others still serve. So a hard link is kept beside it, and put in its place again: connect(2) looks for the
socket by the inode that the name leads to (unix_find_bsd() in net/unix/af_unix.c).
"""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

from pidone.descriptors import close
from pidone.ecosystem.programs.remote import mount_of
from pidone.ecosystem.spec import Seconds
from pidone.places import folder_of, status_of

_PATIENCE_S: Final[Seconds] = 2.0
_AT_THE_END_S: Final[Seconds] = 0.3
"""For one whose file system does not answer when nobody serves any more."""
_T = TypeVar("_T")


def bind(opened: socket.socket, path: str) -> None:
    """Give a socket this name: a dead one is out of the way, and what was bound is there.

    Raises OSError, with EPERM where a link of a stranger's is on the way, before or after.
    """
    _there(path, partial(_bind, opened, path), kept=(opened.fileno(),))


def _there(
    path: str, work: Callable[[], _T], *, kept: Sequence[int] = (), patience: Seconds = _PATIENCE_S
) -> _T:
    """Do it here, or in a child where the file system may not answer. Raises OSError."""
    mount = mount_of(path)
    if mount is None:
        return work()
    from pidone.init.aside import ASIDE  # noqa: PLC0415 (few file systems may hang)

    return ASIDE.ask(mount, work, kept=kept, patience=patience)


def _bind(opened: socket.socket, path: str) -> None:
    with folder_of(path) as folder:
        name = os.path.basename(path)
        _remove_dead(folder, name)
        opened.bind(path)
        status = status_of(folder, name)
        if status is None and _is_there(folder, path):  # a program has removed it already
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        if status is None or not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "has been replaced by something else", path)


def _is_there(folder: int, path: str) -> bool:
    """Whether the name still leads into this folder."""
    try:
        with folder_of(path) as found:
            return os.path.samestat(os.fstat(found), os.fstat(folder))
    except OSError:  # a link of a stranger's is on the way now, or the folder is gone
        return False


def _remove_dead(folder: int, name: str) -> None:
    """Unlink a socket file that nobody listens on any more: a container restarted on the same volume."""
    with contextlib.suppress(OSError):
        status = status_of(folder, name)
        if status is None or not stat.S_ISSOCK(status.st_mode):
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            if probe.connect_ex(f"/proc/self/fd/{folder}/{name}") == errno.ECONNREFUSED:
                os.unlink(name, dir_fd=folder)


class SocketFile:
    """The file of a socket that has just been bound."""

    def __init__(self, path: str, *, is_kept: bool) -> None:
        """`is_kept`: against programs that remove it. Raises OSError where its folder has been replaced.

        FileNotFoundError: it has been removed before it could be kept.
        """
        self._path = path
        self._name = os.path.basename(path)
        self._link = _there(path, self._keep) if is_kept else ""

    def _keep(self) -> str:
        link = f".{self._name}.pidone"
        with folder_of(self._path) as folder:
            try:
                with contextlib.suppress(FileNotFoundError):  # of a runtime that was killed
                    os.unlink(link, dir_fd=folder)
                os.link(self._name, link, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                raise
            except OSError:  # a file system without links: the file is as its programs leave it
                return ""
            return link

    def restore(self) -> None:
        """Put the file back if a program has removed it. Raises OSError where its folder is gone, or full."""
        if self._link:
            _there(self._path, self._restore)

    def _restore(self) -> None:
        with folder_of(self._path) as folder:
            if status_of(folder, self._name) is None:
                os.link(self._link, self._name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)

    def remove(self) -> None:
        """Nobody serves any more."""
        with contextlib.suppress(OSError):
            _there(self._path, self._remove, patience=_AT_THE_END_S)

    def _remove(self) -> None:
        with contextlib.suppress(OSError), folder_of(self._path) as folder:
            for name in filter(None, (self._name, self._link)):
                with contextlib.suppress(FileNotFoundError):  # as it should be
                    os.unlink(name, dir_fd=folder)


def give(path: str, uid: int, gid: int) -> None:
    """Let a socket that has just been bound belong to an app; -1 leaves the group. Raises OSError."""
    _there(path, partial(_give, path, uid, gid))


def _give(path: str, uid: int, gid: int) -> None:
    with _bound(path, os.geteuid()) as file:
        if os.path.lexists(file):
            os.chown(file, uid, gid)
        else:  # no /proc; a link would be given away, and not what it leads to
            os.chown(path, uid, gid, follow_symlinks=False)


def set_mode(path: str, mode: int, uid: int | None) -> None:
    """The rights of a socket that was bound here, and may have been given to `uid`. Raises OSError."""
    _there(path, partial(_set_mode, path, mode, uid))


def _set_mode(path: str, mode: int, uid: int | None) -> None:
    with _bound(path, os.geteuid() if uid is None else uid) as file:
        os.chmod(file, mode)


@contextlib.contextmanager
def _bound(path: str, owner: int) -> Iterator[str]:
    """A name of the socket file itself: an app may put a link in its place meanwhile, or in its folder's.

    Raises OSError (EPERM) if what is there is no socket, neither ours nor the owner's, or has more names than
    its own and the one that we keep.
    """
    with folder_of(path) as folder:
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(os.path.basename(path), flags, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        is_ours = status.st_uid in (owner, os.geteuid()) and status.st_nlink <= 2
        if not (is_ours and stat.S_ISSOCK(status.st_mode)):
            raise PermissionError(errno.EPERM, "has been replaced by something else", path)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        close(descriptor)
