"""Files that people name: read with a bound on size and time, whatever they turn out to be."""

import os
import select
import stat
import sys
import time
from pathlib import Path
from typing import Final

from pidone.descriptors import close

PATIENCE_S: Final = 20.0
"""For all of what comes through a pipe: `<(command)`, `/dev/stdin`, a FIFO that somebody fills."""


def read_file(path: Path, limit: int) -> bytes:
    """At most `limit` bytes. Raises OSError, whose `strerror` says what is wrong in words."""
    try:
        # Not blocking: opening a FIFO that nobody writes to would hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in the name
        raise OSError(0, "is not a path: " + str(error)) from None
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
