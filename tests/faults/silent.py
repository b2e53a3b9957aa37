"""`python silent.py POINT FLAG COMMAND...`: runs one beside a file system at POINT, which is kept in memory.

Once there is a file FLAG it answers nothing any more, as a server of NFS that is gone; only a signal that
ends whoever waits there is let through. What the file says are the requests that are not answered, by their
numbers; none means all, and `deaf` that signals are not let through either. Both have a mount namespace of
their own.
Protocol: linux/include/uapi/linux/fuse.h.
"""

import contextlib
import ctypes
import errno
import os
import select
import stat
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = b"#!/bin/sh\nexec sleep 1000\n"
LOOKUP, SETATTR, MKNOD, MKDIR, UNLINK, RENAME, LINK, OPEN, WRITE = 1, 4, 8, 9, 10, 12, 13, 14, 16
CREATE, RENAME2 = 35, 45
_FORGET, _GETATTR, _READ, _INIT, _OPENDIR, _READDIR = 2, 3, 15, 26, 27, 28
_INTERRUPT, _FORGET_ALL = 36, 42
_FINE = (18, 20, 25, 29, 34, 38)
"""RELEASE, FSYNC, FLUSH, RELEASEDIR, ACCESS, DESTROY."""
_HEAD = struct.Struct("=IIQQIIII")
_SETATTR = struct.Struct("=IIQQQQQQIIIIIIII")
_MOST = 1 << 18


@dataclass
class Node:
    """A file, a socket or a folder."""

    mode: int
    data: bytearray = field(default_factory=bytearray)
    names: dict[bytes, int] = field(default_factory=dict)
    links: int = 1
    uid: int = 0
    gid: int = 0


class FileSystem:
    """What is there, and the answers to what is asked."""

    def __init__(self) -> None:
        program = Node(stat.S_IFREG | 0o755, bytearray(PROGRAM))
        self.nodes = {1: Node(stat.S_IFDIR | 0o755, names={b"program": 2}), 2: program}

    def answer(self, code: int, node: int, body: bytes) -> bytes:
        """Raises OSError."""
        if code in _FINE:
            return b""
        if code not in _ANSWERS:
            raise OSError(errno.ENOSYS, "")
        return _ANSWERS[code](self, node, body)

    def init(self, *_: object) -> bytes:
        return struct.pack("=IIIIHHIIHH32x", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0)

    def attributes(self, node: int) -> bytes:
        it = self.nodes[node]
        numbers = (it.mode, it.links, it.uid, it.gid, 0, 4096, 0)
        return struct.pack("=QQQQQQIIIIIIIIII", node, len(it.data), 1, 0, 0, 0, 0, 0, 0, *numbers)

    def entry(self, node: int) -> bytes:
        return struct.pack("=QQQQII", node, 0, 0, 0, 0, 0) + self.attributes(node)

    def lookup(self, node: int, body: bytes) -> bytes:
        return self.entry(self.find(node, body.rstrip(b"\0")))

    def find(self, node: int, name: bytes) -> int:
        if name not in self.nodes[node].names:
            raise OSError(errno.ENOENT, "")
        return self.nodes[node].names[name]

    def getattr(self, node: int, _: bytes) -> bytes:
        return struct.pack("=QII", 0, 0, 0) + self.attributes(node)

    def setattr(self, node: int, body: bytes) -> bytes:
        what, _, _, size, *_, mode, _, uid, gid, _ = _SETATTR.unpack_from(body)
        it = self.nodes[node]
        if what & 1:
            it.mode = stat.S_IFMT(it.mode) | stat.S_IMODE(mode)
        it.uid = uid if what & 2 else it.uid
        it.gid = gid if what & 4 else it.gid
        if what & 8:
            del it.data[size:]
        return self.getattr(node, b"")

    def make(self, node: int, mode: int, name: bytes) -> int:
        if name in self.nodes[node].names:
            raise OSError(errno.EEXIST, "")
        number = max(self.nodes) + 1
        self.nodes[number] = Node(mode)
        self.nodes[node].names[name] = number
        return number

    def mknod(self, node: int, body: bytes) -> bytes:
        return self.entry(self.make(node, struct.unpack_from("=I", body)[0], body[16:].rstrip(b"\0")))

    def mkdir(self, node: int, body: bytes) -> bytes:
        mode = stat.S_IFDIR | stat.S_IMODE(struct.unpack_from("=I", body)[0])
        return self.entry(self.make(node, mode, body[8:].rstrip(b"\0")))

    def create(self, node: int, body: bytes) -> bytes:
        mode = struct.unpack_from("=4xI", body)[0]
        return self.entry(self.make(node, mode, body[16:].rstrip(b"\0"))) + self.open()

    def unlink(self, node: int, body: bytes) -> bytes:
        name = body.rstrip(b"\0")
        self.nodes[self.find(node, name)].links -= 1
        del self.nodes[node].names[name]
        return b""

    def rename(self, node: int, body: bytes) -> bytes:
        return self.move(node, struct.unpack_from("=Q", body)[0], body[8:])

    def rename2(self, node: int, body: bytes) -> bytes:
        return self.move(node, struct.unpack_from("=Q", body)[0], body[16:])

    def move(self, node: int, target: int, names: bytes) -> bytes:
        old, new = names.split(b"\0")[:2]
        self.nodes[target].names[new] = self.find(node, old)
        del self.nodes[node].names[old]
        return b""

    def link(self, node: int, body: bytes) -> bytes:
        number = struct.unpack_from("=Q", body)[0]
        self.nodes[node].names[body[8:].rstrip(b"\0")] = number
        self.nodes[number].links += 1
        return self.entry(number)

    def open(self, *_: object) -> bytes:
        return struct.pack("=QII", 0, 0, 0)

    def read(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("=QQI", body)
        return bytes(self.nodes[node].data[offset : offset + size])

    def write(self, node: int, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("=QQI", body)
        self.nodes[node].data[offset : offset + size] = body[40 : 40 + size]
        return struct.pack("=II", size, 0)

    def readdir(self, node: int, body: bytes) -> bytes:
        offset = struct.unpack_from("=QQ", body)[1]
        told = b""
        for place, (name, number) in enumerate(self.nodes[node].names.items()):
            if place >= offset:
                kind = self.nodes[number].mode >> 12
                padded = name.ljust((len(name) + 7) // 8 * 8, b"\0")
                told += struct.pack("=QQII", number, place + 1, len(name), kind) + padded
        return told


_ANSWERS: Mapping[int, Callable[[FileSystem, int, bytes], bytes]] = {
    LOOKUP: FileSystem.lookup,
    _GETATTR: FileSystem.getattr,
    SETATTR: FileSystem.setattr,
    MKNOD: FileSystem.mknod,
    MKDIR: FileSystem.mkdir,
    UNLINK: FileSystem.unlink,
    RENAME: FileSystem.rename,
    RENAME2: FileSystem.rename2,
    LINK: FileSystem.link,
    OPEN: FileSystem.open,
    _READ: FileSystem.read,
    WRITE: FileSystem.write,
    CREATE: FileSystem.create,
    _INIT: FileSystem.init,
    _OPENDIR: FileSystem.open,
    _READDIR: FileSystem.readdir,
}


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
        os.execvp(command[0], command)
    with contextlib.suppress(PermissionError):  # on a busy machine it would be silent for want of a processor
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    poll = select.poll()
    poll.register(fuse, select.POLLIN)
    files = FileSystem()
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if poll.poll(20):
            serve(fuse, os.read(fuse, _MOST), files, flag)


def serve(fuse: int, request: bytes, files: FileSystem, flag: Path) -> None:
    """Say what there is to be said to one request."""
    _, code, unique, node, *_ = _HEAD.unpack_from(request)
    body = request[_HEAD.size :]
    number, data = 0, b""
    if code in (_FORGET, _FORGET_ALL) or _is_silent(code, flag):
        return
    if code == _INTERRUPT:
        number, unique = errno.EINTR, struct.unpack_from("=Q", body)[0]
    else:
        try:
            data = files.answer(code, node, body)
        except OSError as error:
            number = error.errno or errno.EIO
    try:
        os.write(fuse, struct.pack("=IiQ", 16 + len(data), -number, unique) + data)
    except FileNotFoundError:  # nobody waits for it any more
        return


def _is_silent(code: int, flag: Path) -> bool:
    try:
        said = flag.read_text().split()
    except FileNotFoundError:
        return False
    if code == _INTERRUPT:
        return "deaf" in said
    numbers = [word for word in said if word.isdigit()]
    return not numbers or str(code) in numbers


if __name__ == "__main__":
    sys.exit(main())
