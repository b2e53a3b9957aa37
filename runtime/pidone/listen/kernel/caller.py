"""What a process that waits in bind() or listen() has there: its arguments, and a copy of its socket.

All of it takes the right to trace the process: the same user, or CAP_SYS_PTRACE. Errors pass as OSError.
"""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from typing import Final

from pidone.listen.kernel import seccomp
from pidone.listen.kernel.seccomp import Call
from pidone.listen.sockets.address import Address, Kind

_SOCKADDR_BYTES: Final = 128  # struct sockaddr_storage
_KINDS: Final = {socket.SOCK_STREAM: Kind.TCP, socket.SOCK_DGRAM: Kind.UDP}


class Caller:
    """One call, looked at; `close` when it has been answered."""

    def __init__(self, call: Call) -> None:
        self._tid = call.tid
        descriptor, *rest = self._words(call.arguments[1]) if call.indirect else call.arguments
        self.descriptor = descriptor & 0xFFFFFFFF
        self._rest = rest
        copy = seccomp.copy_of(self._process(), self.descriptor)
        try:
            self.socket = socket.socket(fileno=copy)
        except OSError:  # it is no socket
            os.close(copy)
            raise

    def address(self) -> Address | None:
        """What bind() names: a port of TCP or UDP. None for all else, and for one of the kernel's choice."""
        where, size = self._rest[:2]
        if self.socket.family not in (socket.AF_INET, socket.AF_INET6) or self.socket.type not in _KINDS:
            return None
        raw = self._read(where, min(size & 0xFFFFFFFF, _SOCKADDR_BYTES))
        v4, v6 = struct.Struct("=H2s4s"), struct.Struct("=H2s4s16sI")  # struct sockaddr_in, sockaddr_in6
        if len(raw) < (v6.size if self.socket.family == socket.AF_INET6 else v4.size):
            return None
        family, port = struct.unpack_from("=H", raw)[0], int.from_bytes(raw[2:4], "big")
        if family != self.socket.family or port == 0:
            return None
        kind = _KINDS[self.socket.type]
        if family == socket.AF_INET:
            return Address(kind, socket.inet_ntop(family, raw[4:8]), port)
        v6_only = bool(self.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
        host = socket.inet_ntop(family, raw[8:24])
        if scope := int.from_bytes(raw[24:28], "little"):
            host += f"%{socket.if_indextoname(scope)}"
        return Address(kind, host, port, v6_only=v6_only)

    def closes_on_exec(self) -> bool:
        """Whether its descriptor does."""
        with open(f"/proc/{self._tid}/fdinfo/{self.descriptor}") as file:
            flags = _field(file, "flags:")
        return bool(int(flags, 8) & os.O_CLOEXEC)

    def blocks(self) -> bool:
        """Whether its socket does, at this moment."""
        return not fcntl.fcntl(self.socket.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK

    def close(self) -> None:
        """Let go of the copy."""
        self.socket.close()

    def _process(self) -> int:
        with open(f"/proc/{self._tid}/status") as file:
            return int(_field(file, "Tgid:"))

    def _words(self, where: int) -> tuple[int, ...]:
        return struct.unpack("=3I", self._read(where, 12))

    def _read(self, where: int, size: int) -> bytes:
        memory = os.open(f"/proc/{self._tid}/mem", os.O_RDONLY)
        try:
            return os.pread(memory, size, where)
        finally:
            os.close(memory)


def _field(lines: Iterable[str], name: str) -> str:
    """A field of a file of proc(5)."""
    for line in lines:
        if line.startswith(name):
            return line.split()[1]
    raise OSError(errno.ENODATA, f"no {name} in /proc")
