"""The beginning of a file that somebody else may own: read at once, or not at all."""

import errno
import os
import stat

from pidone.descriptors import close

_SHEBANG_BYTES = 256


def read_regular(path: str, limit: int) -> bytes:
    """At most `limit` bytes of a regular file.

    A pipe that nobody fills would stop whoever opens it for ever, process 1 included, and what a terminal or
    another device gives belongs to others. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "is not a regular file", path)
        data = bytearray()
        while len(data) < limit and (chunk := os.read(descriptor, min(65536, limit - len(data)))):
            data += chunk
        return bytes(data)
    finally:
        close(descriptor)


def shebang(path: str) -> list[str]:
    """The first words of a script's first line; empty for anything else."""
    try:
        first = read_regular(path, _SHEBANG_BYTES).partition(b"\n")[0]
    except OSError:
        return []
    return first[2:].decode(errors="replace").split()[:3] if first.startswith(b"#!") else []
