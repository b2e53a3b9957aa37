"""Writing to stdout, whatever it is, without ever waiting and without changing it for those who share it.

`O_NONBLOCK` belongs to the open file description, which fd 1 shares with whoever started us and with every
process that inherits it: setting it would make *their* writes fail with EAGAIN. So each kind of file has its
own way to a write that does not block.
"""

import errno
import os
import select
import stat
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from pidone.descriptors import close
from pidone.record import Record

Buffers: TypeAlias = Sequence[bytes | memoryview]

IOV_MAX: Final = 1024  # limits.h; writev() takes no more
_PIPE_BUF: Final = 4096  # pipe(7): a pipe that polls writable takes this much at once
_NO_SUCH_FLAG: Final = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE)
_TTY_ROOM: Final = 256  # n_tty.c wakes writers when fewer than WAKEUP_CHARS are waiting


class Writer(Record):
    """One way to write."""

    fd: int
    """For polling and closing."""
    write: Callable[[Buffers], int]
    """Bytes taken. Raises BlockingIOError when there is no room now, other OSErrors when it is broken."""
    close: Callable[[], object]
    """Lets go of what was opened here."""


def open_writer(fd: int) -> Writer:
    """Choose the way to write to `fd`. Raises OSError if it is not open for writing."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return _socket(fd)
    if stat.S_ISFIFO(mode):
        return _reopened(fd) or _polled(fd, _PIPE_BUF)
    if stat.S_ISCHR(mode) and os.isatty(fd):
        return _reopened(fd) or _polled(fd, _TTY_ROOM)
    return Writer(fd, lambda buffers: os.writev(fd, buffers[:IOV_MAX]), close=_nothing)


def _socket(fd: int) -> Writer:
    """`MSG_DONTWAIT` is per call."""
    import socket  # noqa: PLC0415 (3 ms of a start, and stdout is hardly ever one)

    own = os.dup(fd)
    sock = socket.socket(fileno=own)

    def send(buffers: Buffers) -> int:
        return sock.sendmsg(buffers[:IOV_MAX], [], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    return Writer(own, send, close=sock.close)


def _reopened(fd: int) -> Writer | None:
    """A description of our own for the same pipe or terminal; the best way, but it needs write permission.

    It fails where the file belongs to another user (`docker run --user`) or /proc is not mounted.
    """
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return None
    return Writer(own, lambda buffers: os.writev(own, buffers[:IOV_MAX]), close=lambda: close(own))


def _polled(fd: int, room: int) -> Writer:
    """Ask per call not to wait (`RWF_NOWAIT`, which pipes know since Linux 6.4), else ask poll() first.

    After poll() no more is written than what fits for sure if nobody else writes at that very moment.
    """
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    no_wait = True

    def write(buffers: Buffers) -> int:
        nonlocal no_wait
        if no_wait:
            try:
                return os.pwritev(fd, buffers[:IOV_MAX], -1, os.RWF_NOWAIT)
            except OSError as error:
                if error.errno not in _NO_SUCH_FLAG:
                    raise
                no_wait = False
        if not poll.poll(0):
            raise BlockingIOError
        return os.write(fd, memoryview(buffers[0])[:room])

    return Writer(fd, write, close=_nothing)


def _nothing() -> None:
    """What was not opened here is not closed here."""
