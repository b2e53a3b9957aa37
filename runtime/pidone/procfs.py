"""What the kernel tells in /proc: read by the calls themselves, and the fields of /proc/PID/stat.

A file object of Python makes None of EAGAIN (io.RawIOBase.read), and of that a TypeError somewhere else,
which nobody expects who is prepared for an OSError. Protocol: proc_pid_stat(5).
"""

import os

from pidone.descriptors import close

# Fields of /proc/PID/stat, which count from the state, number 3.
STATE, PPID, PGRP, SESSION = range(4)
CPU_TIMES = slice(11, 15)
"""User and system time, then those of children that were waited for, in clock ticks."""
NICE, THREADS, START_TICKS, RSS_PAGES = 16, 17, 19, 21

_PART = 1 << 16


def read_bytes(path: str, limit: int = 1 << 24) -> bytes:
    """At most so much of it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = part = os.read(descriptor, min(_PART, limit))
        while part and len(data) < limit:
            data += (part := os.read(descriptor, min(_PART, limit - len(data))))
    finally:
        close(descriptor)
    return data


def read_text(path: str) -> str:
    """As many characters as bytes, whatever they are. Raises OSError."""
    return read_bytes(path).decode("latin-1")


def state(pid: int) -> str:
    """One letter, such as `R`, `T` or `Z`; nothing where that cannot be told, or the process is gone."""
    try:
        return fields(read_text(f"/proc/{pid}/stat"))[STATE]
    except (OSError, IndexError):
        return ""


def fields(line: str) -> list[str]:
    """Of a line of /proc/PID/stat, from the state on.

    What is before it ends at the last parenthesis: a name may hold any byte.
    """
    return line.rpartition(")")[2].split()
