"""What a process that waits in bind() or listen() has there: its arguments, and a copy of its socket.

All of it takes the right to trace the process: the same user, or CAP_SYS_PTRACE. Errors pass as OSError.
"""

import fcntl
import os
import socket
import struct
from functools import cached_property
from typing import Final

from pidone import procfs
from pidone.descriptors import close
from pidone.listen.kernel import entangled, seccomp
from pidone.listen.kernel.seccomp import Call
from pidone.listen.sockets.address import ANY_V4, ANY_V6, Address, Kind

_SOCKADDR_BYTES: Final = 128  # struct sockaddr_storage
_MPTCP: Final = 262  # what Go listens with; ours is of plain TCP, and so are those of its clients then
_KINDS: Final = {
    (socket.SOCK_STREAM, socket.IPPROTO_TCP): Kind.TCP,
    (socket.SOCK_STREAM, _MPTCP): Kind.TCP,
    (socket.SOCK_DGRAM, socket.IPPROTO_UDP): Kind.UDP,
}
_FREE: Final = {  # IP_FREEBIND, IP_TRANSPARENT and the same of IPv6: linux/in.h, linux/in6.h
    socket.AF_INET: (socket.IPPROTO_IP, (15, 19)),
    socket.AF_INET6: (socket.IPPROTO_IPV6, (78, 75)),
}
_DEVICE_BYTES: Final = 16  # IFNAMSIZ
_CAP_NET_BIND_SERVICE: Final = 1 << 10  # linux/capability.h
_UNPRIVILEGED_PORTS: Final = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_FIRST_UNPRIVILEGED_PORT: Final = 1024  # before Linux 4.11 nobody could change it


class Caller:
    """One call, looked at; `close` when it has been answered."""

    def __init__(self, call: Call) -> None:
        self._tid = call.tid
        descriptor, *rest = self._words(call.arguments[1]) if call.indirect else call.arguments
        self.descriptor = descriptor & 0xFFFFFFFF
        self._rest = rest
        copy = seccomp.copy_of(self._holder(), self.descriptor)
        try:
            self.socket = socket.socket(fileno=copy)
        except OSError:  # it is no socket
            close(copy)
            raise

    def address(self) -> Address | None:
        """What bind() names: a port of TCP or UDP, or a path. None for all else.

        That is: what the kernel shall choose, and what is not where we would bind it (another network or
        root).
        """
        where, size = self._rest[:2]
        raw = self._read(where, min(size & 0xFFFFFFFF, _SOCKADDR_BYTES))
        if len(raw) < 2 or struct.unpack_from("=H", raw)[0] != self.socket.family:
            return None
        if self.socket.family == socket.AF_UNIX:
            return self._path(raw[2:])
        return self._port(raw) if self._is_same("ns/net") else None

    def only_family(self) -> str:
        """The one family that its socket is of, by its name for every address; empty for both."""
        if self.socket.family == socket.AF_INET:
            return ANY_V4
        if self.socket.family != socket.AF_INET6:
            return ""
        return ANY_V6 if self.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) else ""

    def may_bind(self, address: Address) -> bool:
        """Whether it could do so without us: what nobody has listed must give no rights to anyone."""
        if address.kind is Kind.UNIX:  # who may write where is more than a uid, but the same uid it is
            return int(self._status["Uid"].split()[-1]) == os.geteuid()
        return (
            address.port >= _first_unprivileged_port()
            or int(self._status["CapEff"], 16) & _CAP_NET_BIND_SERVICE != 0
        )

    def joins(self) -> bool:
        """Whether several sockets with these options may have one address of UDP, without us."""
        return self._has(socket.SO_REUSEADDR) or self.stands_beside()

    def stands_beside(self) -> bool:
        """Whether several sockets with its options may listen at one port, without us."""
        return self._has(socket.SO_REUSEPORT)

    def _has(self, option: int) -> bool:
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, option))

    def mode(self) -> int:
        """The permissions that its umask leaves to a socket's file."""
        return 0o777 & ~int(self._status["Umask"], 8)

    def _port(self, raw: bytes) -> Address | None:
        kind = _KINDS.get((self.socket.type, self.socket.proto))
        if self.socket.family not in (socket.AF_INET, socket.AF_INET6) or kind is None:
            return None
        v4, v6 = struct.Struct("=H2s4s"), struct.Struct("=H2s4s16sI")  # struct sockaddr_in, sockaddr_in6
        is_v4 = self.socket.family == socket.AF_INET
        port = int.from_bytes(raw[2:4], "big")
        if len(raw) < (v4.size if is_v4 else v6.size) or port == 0:
            return None
        if is_v4:
            host = socket.inet_ntop(socket.AF_INET, raw[4:8])
            return Address(kind, host, port, device=self._device(), is_free=self._is_free())
        v6_only = bool(self.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
        host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
        if scope := int.from_bytes(raw[24:28], "little"):
            host += f"%{socket.if_indextoname(scope)}"
        return Address(kind, host, port, v6_only=v6_only, device=self._device(), is_free=self._is_free())

    def _device(self) -> str:
        name = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _DEVICE_BYTES)
        return name.rstrip(b"\0").decode()

    def _is_free(self) -> bool:
        level, options = _FREE[self.socket.family]
        return any(self.socket.getsockopt(level, option) for option in options)

    def _path(self, raw: bytes) -> Address | None:
        if self.socket.type != socket.SOCK_STREAM or not raw:
            return None
        if raw.startswith(b"\0"):
            return Address(Kind.UNIX, os.fsdecode(raw)) if self._is_same("ns/net") else None
        if not self._is_same("root"):
            return None
        path = os.fsdecode(raw.partition(b"\0")[0])
        return Address(Kind.UNIX, os.path.join(os.readlink(f"/proc/{self._tid}/cwd"), path))

    def _is_same(self, what: str) -> bool:
        """Whether a thing in /proc is the same for it as for us."""
        return os.path.samefile(f"/proc/{self._tid}/{what}", f"/proc/self/{what}")

    def closes_on_exec(self, descriptor: int) -> bool:
        """Whether one of its descriptors does."""
        flags = _fields(f"/proc/{self._tid}/fdinfo/{descriptor}")["flags"]
        return bool(int(flags, 8) & os.O_CLOEXEC)

    def blocks(self) -> bool:
        """Whether its socket does, at this moment."""
        return not fcntl.fcntl(self.socket.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK

    def bind_by_itself(self, address: Address) -> None:
        """Its own socket gets the address, as by its own call, and leaves room for ours. Raises OSError."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address.host, address.port))

    @property
    def process(self) -> int:
        """The process that its thread is of."""
        return int(self._status["Tgid"])

    def entangled(self) -> entangled.Entangled:
        """What else its process has of the socket."""
        return entangled.look(self._holder(), self.descriptor, self.inode())

    def inode(self) -> int:
        """Of the socket."""
        return os.fstat(self.socket.fileno()).st_ino

    def close(self) -> None:
        """Let go of the copy."""
        close(self.socket)

    def _holder(self) -> int:
        """Who has its descriptors: the first thread may have others, or have ended."""
        return self._tid if seccomp.opens_threads() else self.process

    @cached_property
    def _status(self) -> dict[str, str]:
        return _fields(f"/proc/{self._tid}/status")

    def _words(self, where: int) -> tuple[int, ...]:
        return struct.unpack("=3I", self._read(where, 12))

    def _read(self, where: int, size: int) -> bytes:
        memory = os.open(f"/proc/{self._tid}/mem", os.O_RDONLY)
        try:
            return os.pread(memory, size, where)
        finally:
            close(memory)


def _fields(path: str) -> dict[str, str]:
    """The fields of a file of proc(5). Raises OSError."""
    lines = (line.partition(":") for line in procfs.read_text(path).splitlines())
    return {name: value.strip() for name, _, value in lines}


def _first_unprivileged_port() -> int:
    try:
        return int(procfs.read_text(_UNPRIVILEGED_PORTS))
    except OSError:
        return _FIRST_UNPRIVILEGED_PORT
