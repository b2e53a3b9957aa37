"""The file of a shared unix socket stays, though every program of an app believes that it is its own.

Programs remove the file before they bind it, and again when they stop; whoever connects then finds nothing,
while others still serve. So a hard link is kept beside it, and put in its place again: connect(2) looks for
the socket by the inode that the name leads to (unix_find_bsd() in net/unix/af_unix.c).
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from pidone.descriptors import close


class KeptFile:
    """The file of a socket that has just been bound."""

    def __init__(self, path: str) -> None:
        folder, name = os.path.split(path)
        self._path = path
        self._link = os.path.join(folder, f".{name}.pidone")
        with contextlib.suppress(FileNotFoundError):  # of a runtime that was killed
            os.unlink(self._link)
        try:
            os.link(path, self._link)
        except OSError:  # a file system without links: the file is as its programs leave it
            self._link = ""

    def restore(self) -> None:
        """Put the file back if a program has removed it. Raises OSError where its folder is gone, or full."""
        if self._link and not os.path.lexists(self._path):
            os.link(self._link, self._path)

    def remove(self) -> None:
        """Nobody serves any more."""
        for path in filter(None, (self._path, self._link)):
            with contextlib.suppress(OSError):  # as it should be
                os.unlink(path)


def give(path: str, uid: int, gid: int) -> None:
    """Let a socket that has just been bound belong to an app; -1 leaves the group. Raises OSError."""
    with _bound(path, os.geteuid()) as file:
        if os.path.lexists(file):
            os.chown(file, uid, gid)
        else:  # no /proc; a link would be given away, and not what it leads to
            os.chown(path, uid, gid, follow_symlinks=False)


def set_mode(path: str, mode: int, uid: int | None) -> None:
    """The rights of a socket that was bound here, and may have been given to `uid`. Raises OSError."""
    with _bound(path, os.geteuid() if uid is None else uid) as file:
        os.chmod(file, mode)


@contextlib.contextmanager
def _bound(path: str, owner: int) -> Iterator[str]:
    """A name of the socket file itself: the folder may be an app's, which puts a link there meanwhile.

    Raises OSError (EPERM) if what is there is no socket, neither ours nor the owner's, or has more names than
    its own and the one that we keep.
    """
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        is_ours = status.st_uid in (owner, os.geteuid()) and status.st_nlink <= 2
        if not (is_ours and stat.S_ISSOCK(status.st_mode)):
            raise PermissionError(errno.EPERM, "has been replaced by something else", path)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        close(descriptor)
