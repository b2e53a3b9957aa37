"""The file of a shared unix socket stays, though every program of an app believes that it is its own.

Programs remove the file before they bind it, and again when they stop; whoever connects then finds nothing,
while others still serve. So a hard link is kept beside it, and put in its place again: connect(2) looks for
the socket by the inode that the name leads to (unix_find_bsd() in net/unix/af_unix.c).
"""

import contextlib
import os


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
