"""Files that people name: read with a bound on size and time, whatever they turn out to be."""

import contextlib
import errno
import os
import select
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pidone.descriptors import close
from pidone.places import StrangersLinkError, place_of

PATIENCE_S: Final = 20.0
"""For all of what comes through a pipe: `<(command)`, `/dev/stdin`, a FIFO that somebody fills."""

_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""Not blocking: opening a FIFO that nobody writes to would hang."""
_NOBODYS_GROUP: Final = 65534


def read_file(path: Path, limit: int) -> bytes:
    """At most `limit` bytes. Raises OSError, whose `strerror` says what is wrong in words."""
    try:
        descriptor = os.open(path, _FLAGS)
    except ValueError as error:  # a NUL in the name
        raise OSError(0, "is not a path: " + str(error)) from None
    return _read_all(descriptor, limit)


def read_for_app(path: Path, limit: int) -> bytes:
    """The same of what an app is given, which root does not read for whoever could not read it himself.

    The file may be in a folder of the app's own user. A link counts for as much as its maker may read: root's
    as ever, another's with that user's rights. `path` is absolute.
    """
    if os.geteuid() != 0:
        return read_file(path, limit)
    try:
        with place_of(path) as place:
            follows = 0 if place.is_kernels else os.O_NOFOLLOW
            descriptor = os.open(place.name, _FLAGS | follows, dir_fd=place.folder)
    except ValueError as error:  # as above
        raise OSError(0, "is not a path: " + str(error)) from None
    except IsADirectoryError:
        raise IsADirectoryError(0, "is a directory") from None
    except StrangersLinkError as error:
        try:
            with _rights_of(error.uid):
                descriptor = os.open(path, _FLAGS)
        except OSError as refused:
            if refused.errno == errno.EINVAL:  # a user namespace that has no such user, and so no such app
                return read_file(path, limit)
            if isinstance(refused, PermissionError):
                raise error from None
            raise
    return _read_all(descriptor, limit)


@contextlib.contextmanager
def _rights_of(uid: int) -> Iterator[None]:
    """Be another user for a moment, in no group of anybody's: seteuid(2) takes root's capabilities too."""
    group, groups = os.getegid(), os.getgroups()
    try:
        os.setgroups([])
        os.setegid(_NOBODYS_GROUP)
        os.seteuid(uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def _read_all(descriptor: int, limit: int) -> bytes:
    """What is there; closes it."""
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(0, "is a directory")
        if stat.S_ISREG(mode):
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(limit)
            if data is not None:
                return data  # else it only looks like a file, as /proc/kmsg does, and has nothing yet
        elif not stat.S_ISFIFO(mode) and not stat.S_ISCHR(mode):
            raise OSError(0, "is not a file that can be read")
        return _read_slowly(descriptor, limit)
    finally:
        close(descriptor)


def read_stdin(limit: int) -> bytes:
    """The same from standard input."""
    try:
        return _read_slowly(sys.stdin.fileno(), limit)
    except (ValueError, AttributeError):  # closed: None, or ValueError on use
        raise OSError(0, "is closed") from None


def _read_slowly(descriptor: int, limit: int) -> bytes:
    """What comes within `PATIENCE_S`, until its end. A FIFO that nobody has written to yet has none."""
    data = bytearray()
    deadline = time.monotonic() + PATIENCE_S
    is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while len(data) < limit:
        left = deadline - time.monotonic()
        if left <= 0 or not (events := poll.poll(left * 1000)):
            raise TimeoutError(0, f"did not end within {PATIENCE_S:g} s")
        try:
            chunk = os.read(descriptor, min(65536, limit - len(data)))
        except BlockingIOError:
            continue
        if not chunk:
            if events[0][1] & select.POLLHUP or data or not is_pipe:
                break
            time.sleep(min(left, 0.02))  # opened before its writer: the end of file comes first
            continue
        data += chunk
    return bytes(data)
