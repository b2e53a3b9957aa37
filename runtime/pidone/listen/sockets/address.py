"""Where a socket listens: one value for what Node, Python and configuration files each write differently."""

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pidone.ecosystem.spec import Listen
from pidone.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable
    from socket import AddressFamily

ANY_V4: Final = "0.0.0.0"  # noqa: S104 (what files ask for)
ANY_V6: Final = "::"
ANY: Final = ("", "*")
"""Host spellings that mean every address of both families."""


class Kind(StrEnum):
    """What travels over the socket."""

    TCP = "tcp"
    UDP = "udp"
    UNIX = "unix"


class Address(Record):
    """An address to bind, before it is known whether that works."""

    kind: Kind
    host: str = ""
    """IP address, or the path for `unix` (NUL first: an abstract name).

    Empty means every address, both families where there is IPv6.
    """
    port: int = 0
    """0 lets the kernel choose."""
    v6_only: bool = False
    reuse: bool = False
    """UDP only: SO_REUSEADDR, which lets several sockets have the same port (multicast)."""
    device: str = ""
    """SO_BINDTODEVICE: who comes by another network interface does not come."""
    is_free: bool = False
    """IP_FREEBIND: the address need not be one of this machine (yet)."""

    def __str__(self) -> str:
        if self.kind is Kind.UNIX:
            return "unix:" + self.host.replace("\0", "@", 1)  # as systemd writes an abstract address
        host = self.host or "*"
        return f"{self.kind}:[{host}]:{self.port}" if ":" in host else f"{self.kind}:{host}:{self.port}"

    @property
    def families(self) -> "tuple[AddressFamily, ...]":
        """Families to try in order: `every address` prefers one dual-stack socket, as Node does."""
        import socket  # noqa: PLC0415 (3 ms that an app without a port does not wait for)

        if self.kind is Kind.UNIX:
            return (socket.AF_UNIX,)
        if not self.host:
            return (socket.AF_INET6, socket.AF_INET)
        return (socket.AF_INET6,) if ":" in self.host else (socket.AF_INET,)

    @property
    def is_any(self) -> bool:
        """Whether it takes connections for every local address of at least one family."""
        return self.kind is not Kind.UNIX and self.host in ("", "::", "0.0.0.0")  # noqa: S104 (a comparison)

    @property
    def is_abstract(self) -> bool:
        """Whether it is a name of unix(7) without a file."""
        return self.host.startswith("\0")

    def covers(self, other: "Address") -> bool:
        """Whether a socket bound here already serves what `other` asks for."""
        if self.kind is Kind.UNIX or other.kind is Kind.UNIX:
            return self.kind is other.kind and self.host == other.host
        if self.kind is not other.kind or self.port != other.port or self.port == 0:
            return False
        if self.host == other.host:
            return (self.v6_only, self.device) == (other.v6_only, other.device)
        return not self.host and other.is_any and self.device == other.device

    def on_port(self, port: int) -> "Address":
        """The same with the port the kernel chose."""
        return self.but(port=port)


def of_listen(listen: Listen) -> Address:
    """The address of one entry of `listen = [...]`."""
    host = "" if listen.host in ANY else listen.host
    if listen.host == "localhost":
        host = "127.0.0.1"
    return Address(Kind(listen.kind), host.strip("[]"), listen.port)


def number_of(listens: "Iterable[Listen]", address: Address) -> int | None:
    """Which descriptor that we were started with is at this address; None if it is to be bound."""
    numbers = (each.number for each in listens if each.number is not None and of_listen(each) == address)
    return next(numbers, None)
