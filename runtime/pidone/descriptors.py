"""Descriptors: giving one back, or all, which cannot fail, and pipes that helpers write into."""

import os

from pidone.csignal import fork_quietly

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without importing typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from select import epoll
    from socket import socket

_MOST = 1 << 20


def close(held: "int | socket | epoll") -> None:
    """Give it back; the number is free afterwards, whatever Linux answers ("Dealing with error returns").

    What a file could not take is told by write(2) before; an interruption must neither be tried again nor end
    what else was to be done. EBADF would be a bug of ours, which the next use of the number shows.
    """
    try:
        if isinstance(held, int):
            os.close(held)
        else:
            held.close()
    except OSError:
        return


def null(flags: int) -> int:
    """/dev/null, opened with these flags to read or to write, or what is most like it in a root without one.

    Whoever reads is told of the end; what is written is lost there, but with EPIPE. Raises OSError.
    """
    try:
        return os.open(os.devnull, flags)
    except (FileNotFoundError, PermissionError):  # the latter on a mount without devices
        read, write = os.pipe()
        kept, other = (read, write) if flags == os.O_RDONLY else (write, read)
        close(other)
        return kept


def occupy_standard() -> None:
    """Have something behind 0, 1 and 2: else another file gets such a number, and what is said goes there.

    As glibc does for setuid programs, it is something that cannot be written to, so that a closed stdout is
    found out. Raises OSError.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null(os.O_RDONLY)  # gets the lowest free number, which is this one


def pipe_to_us() -> tuple[int, int]:
    """A pipe that a helper writes into, and where we never wait: its read end, and its write end.

    All of it is there before the helper is, so that nobody has to be taken back. Raises OSError.
    """
    read, write = os.pipe()
    try:
        os.set_blocking(read, False)
    except OSError:
        close(read)
        close(write)
        raise
    return read, write


def fork_with_pipe(child: "Callable[[int], object]") -> tuple[int, int]:
    """As `fork_quietly`, with a pipe to us: the pid, and the read end, where we never wait. Raises OSError.

    `child` gets the write end in the child, and never returns.
    """
    read, write = pipe_to_us()
    try:
        pid = fork_quietly()
        if not pid:
            child(write)
    except BaseException:
        close(read)
        raise
    finally:
        close(write)
    return pid, read


def close_all_but(*kept: int) -> None:
    """In a child of ours, which must not hold a port, a lock or a log any longer than we do."""
    try:
        last = max(map(int, os.listdir("/proc/self/fd")))
    except OSError:  # no /proc: the limit may be a thousand million, and no runtime opens so many
        last = min(os.sysconf("SC_OPEN_MAX"), _MOST)
    begin = 0
    for number in (*sorted({*kept}), last + 1):
        if begin < number:  # to CPython an empty range is that of all numbers
            os.closerange(begin, number)
        begin = number + 1
