"""`python silent.py POINT FLAG COMMAND...`: runs one beside a file system at POINT.

Once there is a file FLAG that answers nothing any more, as a server of NFS that is gone; only a signal that
ends whoever waits there is let through. Both have a mount namespace of their own.
Protocol: linux/include/uapi/linux/fuse.h.
"""

import ctypes
import errno
import os
import select
import stat
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

PROGRAM = b"#!/bin/sh\nexec sleep 1000\n"
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _INIT, _OPENDIR = 1, 2, 3, 14, 15, 26, 27
_INTERRUPT, _FORGET_ALL = 36, 42
_FINE = (18, 25, 29, 34, 38)
"""RELEASE, FLUSH, RELEASEDIR, ACCESS, DESTROY."""
_FILE = 2
_HEAD = struct.Struct("=IIQQIIII")
_MOST = 1 << 18


def main() -> int:
    """Serve until the command has ended; its exit code."""
    point, flag, command = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"silent", os.fsencode(point), b"fuse.silent", 0, options):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    pid = os.fork()
    if pid == 0:
        os.execv(command[0], command)
    poll = select.poll()
    poll.register(fuse, select.POLLIN)
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if poll.poll(20):
            answer(fuse, os.read(fuse, _MOST), is_silent=flag.exists())


def answer(fuse: int, request: bytes, *, is_silent: bool) -> None:
    """Say what there is to be said to one request."""
    _, code, unique, node, *_ = _HEAD.unpack_from(request)
    body = request[_HEAD.size :]
    number, data = 0, b""
    if code in (_FORGET, _FORGET_ALL) or (is_silent and code != _INTERRUPT):
        return
    if code == _INTERRUPT:
        number, unique = errno.EINTR, struct.unpack_from("=Q", body)[0]
    elif code == _LOOKUP and body != b"program\0":
        number = errno.ENOENT
    elif code in _ANSWERS:
        data = _ANSWERS[code](node, body)
    elif code not in _FINE:
        number = errno.ENOSYS
    try:
        os.write(fuse, struct.pack("=IiQ", 16 + len(data), -number, unique) + data)
    except FileNotFoundError:  # nobody waits for it any more
        return


def attributes(node: int) -> bytes:
    """Of the folder, or of the program in it."""
    mode = stat.S_IFREG | 0o755 if node == _FILE else stat.S_IFDIR | 0o755
    size = len(PROGRAM) if node == _FILE else 0
    return struct.pack("=QQQQQQIIIIIIIIII", node, size, 1, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def content(body: bytes) -> bytes:
    """The part of the program that is asked for."""
    _, offset, size = struct.unpack_from("=QQI", body)
    return PROGRAM[offset : offset + size]


_ANSWERS: Mapping[int, Callable[[int, bytes], bytes]] = {
    _INIT: lambda *_: struct.pack("=IIIIHHIIHH32x", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0),
    _LOOKUP: lambda *_: struct.pack("=QQQQII", _FILE, 0, 0, 0, 0, 0) + attributes(_FILE),
    _GETATTR: lambda node, _: struct.pack("=QII", 0, 0, 0) + attributes(node),
    _OPEN: lambda *_: struct.pack("=QII", 0, 0, 0),
    _OPENDIR: lambda *_: struct.pack("=QII", 0, 0, 0),
    _READ: lambda _, body: content(body),
}


if __name__ == "__main__":
    sys.exit(main())
