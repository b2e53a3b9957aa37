"""inotify(7) by ctypes: what Python lacks to hear of changes in folders without asking again and again."""

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import Final

from pidone.descriptors import close

# sys/inotify.h
MODIFY: Final = 0x2
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
OVERFLOW: Final = -1
"""The number of a watch in the event that says that events were lost."""
_HEADER: Final = struct.Struct("iIII")  # struct inotify_event: wd, mask, cookie, length of the name
_ENOUGH: Final = 65536


class Inotify:
    """One inotify instance; every call of `watch` after the first for a path replaces its mask."""

    def __init__(self) -> None:
        """Raises OSError, e.g. EMFILE where `fs.inotify.max_user_instances` is used up."""
        self._library = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._library.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        """Becomes readable when something has happened."""
        if self.fd < 0:
            raise _error("inotify")

    def watch(self, path: str, mask: int) -> int:
        """Hear of a file, or of what happens in a folder; the number that its events bear. Raises OSError."""
        number: int = self._library.inotify_add_watch(self.fd, os.fsencode(path), mask)
        if number < 0:
            raise _error(path)
        return number

    def forget(self, number: int) -> None:
        """Hear no more of it; without effect if the kernel has done so already."""
        self._library.inotify_rm_watch(self.fd, number)

    def read(self) -> Iterator[tuple[int, str]]:
        """What has happened: the number of a watch, or OVERFLOW, and a name in that folder."""
        try:
            data = os.read(self.fd, _ENOUGH)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            number, _, _, length = _HEADER.unpack_from(data, at)
            at += _HEADER.size
            yield number, os.fsdecode(data[at : at + length].rstrip(b"\0"))
            at += length

    def close(self) -> None:
        """Hear of nothing any more."""
        close(self.fd)


def _error(path: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)
