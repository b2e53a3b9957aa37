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


def gains_rights(path: str, *, is_root: bool) -> bool:
    """Whether a program is more than whoever starts it: setuid, setgid, or with capabilities of its file."""
    try:
        status = os.stat(path)
    except OSError:  # it is not there
        return False
    try:
        has_capabilities = "security.capability" in os.listxattr(path)
    except OSError:  # on a file system without such things
        has_capabilities = False
    becomes_another = status.st_mode & stat.S_ISUID and not (is_root and status.st_uid == 0)
    joins_others = status.st_mode & stat.S_ISGID and not (is_root and status.st_gid == 0)
    return bool(becomes_another or joins_others or (has_capabilities and not is_root))


def shebang(path: str) -> list[str]:
    """The first words of a script's first line; empty for anything else."""
    try:
        first = read_regular(path, _SHEBANG_BYTES).partition(b"\n")[0]
    except OSError:
        return []
    return first[2:].decode(errors="replace").split()[:3] if first.startswith(b"#!") else []
