"""The sockets of one process: what it has been given of its app's ports, and whether it serves there."""

import functools
import os
import socket
import time
from collections.abc import Collection, Mapping
from typing import Any, Final, Protocol

from pidone import procfs
from pidone.descriptors import close
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.listen import needs
from pidone.listen.sockets.address import ANY_V4, ANY_V6, Address, Kind, of_listen
from pidone.record import Record

SETTLED_S: Final[Seconds] = 30.0
"""How long a process is online until it has bound what all of its likes bind."""
_DYNAMIC_PORTS: Final = "/proc/sys/net/ipv4/ip_local_port_range"
_NOWHERE: Final[Mapping[int, Any]] = {
    socket.AF_INET: ("127.0.0.1", 0),
    socket.AF_INET6: ("::1", 0),
    socket.AF_UNIX: "",
}


class PortKey(Record):
    """Several servers of one process on one address are told apart by `index`, as in Node's primary."""

    address: Address
    index: int = 0


class NoRoomError(OSError):
    """The app has as many ports as one can have."""


class PortSource(Protocol):
    """The ports of the app."""

    def obtain(
        self, address: Address, *, index: int, backlog: int, asking: "MemberSockets", only: str
    ) -> tuple[PortKey, socket.socket]:
        """The socket for an address, opened if it is new. Raises OSError.

        `only`: of this family alone, as its name for every address has it; empty: as it comes.
        """

    def is_held_by_others(self, sockets: "MemberSockets", address: Address) -> bool:
        """Whether another process has this socket already."""

    def has_port(self, port: int) -> bool:
        """Whether a TCP port is one of the app's."""

    def is_open(self, address: Address) -> bool:
        """Whether there is a socket for this address."""

    def missing(self, sockets: "MemberSockets") -> Address | None:
        """Where the process should serve and does not."""

    def not_serving(self, sockets: "MemberSockets", where: Address) -> None:
        """A process listens, but not where it should: said once."""

    def shared_data(self, key: str, offered: object) -> object:
        """What the first process offered."""

    def abandoned(self, sockets: "MemberSockets", key: PortKey) -> None:
        """The process closed its server and lives on."""

    def drop_outdated(self) -> None:
        """Close what nobody needs any more of that which was asked for."""

    def leaves(self) -> None:
        """A process was told to stop."""

    def left(self, sockets: "MemberSockets") -> None:
        """The process ended."""

    def count_connections(self, pid: int) -> None:
        """See how many connections this process has, until it ends."""

    def cut(self, pid: int) -> int | None:
        """How many it had when it ended; None: not known."""


class MemberSockets:
    """One process's access to the ports of its app."""

    def __init__(self, ports: PortSource, app: AppSpec, slot: int, member: int) -> None:
        """`app` is what the process was made from; the ports may have a later one.

        `member` of each port is the process: whose queue it accepts from.
        """
        self.app = app
        self.slot = slot
        self.member = member
        self.held: set[PortKey] = set()
        """What the process listens on."""
        self.serves_at: PortKey | None = None
        """What made it ready."""
        self._ports = ports
        self._pid = 0
        self._by_address: dict[tuple[Address, int], PortKey] = {}
        self.has_left = False
        """It was told to stop."""
        self._online_at: float | None = None
        self._deserted: list[socket.socket] = []

    def obtain(self, address: Address, *, index: int, backlog: int, only: str = "") -> socket.socket:
        """As Sockets.obtain. A process that was told to stop gets one to which nobody ever connects.

        `only`: as PortSource.obtain; clients of a socket of both families have longer addresses.
        """
        if self.has_left:
            return self._desert(address)
        key, found = self._ports.obtain(address, index=index, backlog=backlog, asking=self, only=only)
        self.held.add(key)
        self._by_address[address, index] = key
        return found

    def release(self, address: Address, *, index: int) -> None:
        """As Sockets.release."""
        key = self._by_address.pop((address, index), None)
        if key is not None:
            self.held.discard(key)
            self._ports.abandoned(self, key)

    def is_held_by_others(self, address: Address) -> bool:
        """Whether another process of the app has this socket already."""
        return self._ports.is_held_by_others(self, address)

    def has_port(self, port: int) -> bool:
        """Whether it has been given this TCP port."""
        return any(key.address.kind is Kind.TCP and key.address.port == port for key in self.held)

    def is_open(self, address: Address) -> bool:
        """Whether the app has a socket there, this process or another."""
        return self._ports.is_open(address)

    @property
    def is_online(self) -> bool:
        """Whether it has become able to work."""
        return self._online_at is not None

    @property
    def is_settled(self) -> bool:
        """Whether it has worked for long: what it has not bound by now is not what all its likes have."""
        return self._online_at is not None and time.monotonic() - self._online_at >= SETTLED_S

    def is_for_one_client(self, address: Address) -> bool:
        """Whether it opens this port for one of its clients, or to ask from it, and will close it again.

        Passive FTP, calls (RTP), a resolver's questions, a kernel of Jupyter. Kept here it would be open for
        ever, and be another client's the next time.
        """
        is_theirs = self.is_settled and address.kind is not Kind.UNIX and not self._ports.is_open(address)
        return is_theirs and not needs.names(self.app, address)

    def has_unnamed(self, address: Address) -> bool:
        """Whether it has been given this port, which nobody has named."""
        key = self._by_address.get((address, 0))
        return key in self.held and address.kind is not Kind.UNIX and not needs.names(self.app, address)

    def has_only_others(self, port: int) -> bool:
        """Whether a TCP port is one of the app's, and this process has not been given it."""
        return not self.has_port(port) and self._ports.has_port(port)

    def shared_data(self, key: str, offered: object) -> object:
        """As Sockets.shared_data."""
        return self._ports.shared_data(key, offered)

    def begins_to_serve(self, *, on_its_own: bool = False) -> bool:
        """It listens on something. Whether that makes it ready: where its predecessor does, for instance.

        `on_its_own`: what it listens on need not be of ours.
        """
        if self.has_left:
            return False
        own = [key for key in self.held if not self._is_private(key.address)]
        if not (own or on_its_own):
            return False
        where = self._ports.missing(self)
        if where is not None:
            self._ports.not_serving(self, where)
            return False
        if self.serves_at is None and own:
            self.serves_at = min(own, key=self._rank)
        return True

    def lacks(self, other: "MemberSockets") -> Address | None:
        """Where the other serves and this one should too; None if it need not, or does.

        Programs that find their port busy take another one (`serve`), though it is shared. The successor in a
        slot serves where its predecessor does, unless the ecosystem has moved it; other slots may have ports
        of their own, but not one of the kernel's choice.
        """
        wanted = other.serves_at
        if wanted is None or wanted in self.held or other.is_random(wanted.address):
            return None
        is_astray = wanted.address.port > 0 and all(key.address.port == 0 for key in self.held)
        if self.slot != other.slot:
            return wanted.address if is_astray else None
        has_moved = needs.names(other.app, wanted.address) and not needs.names(self.app, wanted.address)
        return None if has_moved or self.app.increment_var is not None else wanted.address

    def online(self) -> None:
        """It can work: what it has not asked for by now is not what the one before it had."""
        self._online_at = time.monotonic()
        self._ports.drop_outdated()

    def leave(self) -> None:
        """The process was told to stop: it gets nothing any more, and cannot become ready."""
        self.has_left = True
        self._ports.leaves()

    def count_connections(self) -> None:
        """The process is about to stop: see how many connections it has, until it ends."""
        self._ports.count_connections(self._pid)

    def cut(self) -> int | None:
        """How many it had when it ended; None: not known."""
        return self._ports.cut(self._pid)

    def spawned(self, pid: int) -> None:
        """The process runs."""
        self._pid = pid

    def close(self) -> None:
        """The process ended, or never began."""
        for deserted in self._deserted:
            close(deserted)
        self._deserted.clear()
        self._ports.left(self)

    def is_random(self, address: Address) -> bool:
        """Whether the number is likely to be another one in the next process: the kernel chose it, once.

        Helpers look for a free port, and bind it by its number then.
        """
        is_dynamic = address.kind is not Kind.UNIX and address.port in _dynamic_ports()
        return is_dynamic and not needs.names(self.app, address)

    def _rank(self, key: PortKey) -> tuple[bool, bool, str, int]:
        """Which is most likely to be where clients come, first."""
        address = key.address
        return address.port == 0, self.is_random(address), str(address), key.index

    def _is_private(self, address: Address) -> bool:
        """A path with its own pid is for its helpers (tsx), and says nothing about the app."""
        return address.kind is Kind.UNIX and str(self._pid) in os.path.basename(address.host)

    def _desert(self, address: Address) -> socket.socket:
        kind = socket.SOCK_DGRAM if address.kind is Kind.UDP else socket.SOCK_STREAM
        family = address.families[-1]
        deserted = socket.socket(family, kind)
        self._deserted.append(deserted)
        deserted.setblocking(False)
        deserted.bind(_NOWHERE[family])
        if kind == socket.SOCK_STREAM:
            deserted.listen(1)
        return deserted


@functools.cache
def _dynamic_ports() -> range:
    """The ports among which the kernel chooses."""
    try:
        first, last = map(int, procfs.read_text(_DYNAMIC_PORTS).split())
    except (OSError, ValueError):
        return range(0)
    return range(first, last + 1)


def beside(wanted: PortKey, known: Collection[PortKey]) -> PortKey:
    """Where to open what is wanted: IPv6 alone in the place of both, where the app has IPv4 already.

    Tools look by every address in turn whether their port is free (Vite), and what they close stays with us.
    """
    address = wanted.address
    is_dual = address.host in ("", ANY_V6) and not address.v6_only and address.port > 0
    if not is_dual or PortKey(address.but(host=ANY_V4), wanted.index) not in known:
        return wanted
    return PortKey(address.but(host=ANY_V6, v6_only=True), wanted.index)


def outdated(
    asked: Mapping[PortKey, MemberSockets], app: AppSpec, users: Collection[MemberSockets], *, is_full: bool
) -> list[PortKey]:
    """What nobody needs any more of that which was asked for, by whom it was asked for last.

    A port that the configuration does not list is kept for the next process, as long as that may want it: not
    if it is made from another configuration and cannot ask, or has asked for others. What had one that is
    gone, without which another one of its slot works, was its own: a path at once, a port when that one
    has bound what it binds. `is_full`: nothing is kept of those who are gone.
    """
    others = [key for key, by in asked.items() if not needs.ask_alike(by.app, app)]
    if needs.asks_for_ports(app) and len(others) == len(asked):
        others.clear()
    at_work = {user.slot for user in users if user.is_online}
    settled = {user.slot for user in users if user.is_settled}
    for key, by in asked.items():
        is_path = key.address.kind is Kind.UNIX
        is_left = by not in users and by.slot in (at_work if is_path else settled)
        if is_left or (is_full and (is_path or by not in users)):
            others.append(key)
    held = {key for user in users for key in user.held}
    listed = [of_listen(entry) for entry in app.listen]
    return [
        key
        for key in dict.fromkeys(others)
        if key not in held and not any(each.covers(key.address) for each in listed)
    ]
