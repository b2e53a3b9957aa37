"""Sockets that came from outside: `listen = ["fd:web"]` names one of systemd, podman or another manager.

Protocol: sd_listen_fds(3). LISTEN_PID has to be our own, LISTEN_FDS counts the descriptors from 3 on, and
LISTEN_FDNAMES names them, several by the same name if one unit has several addresses.
"""

import os
import socket
from collections.abc import Collection, Mapping
from functools import cache
from typing import Final

from pidone.descriptors import close
from pidone.ecosystem.spec import AppSpec, Balance, Listen
from pidone.errors import ListenError
from pidone.listen.sockets.activation import FIRST
from pidone.listen.sockets.address import Address, Kind
from pidone.record import Record

_MOST: Final = 1024
"""A count beyond what any manager passes is a mistake, not a loop for us."""
_KINDS: Final = {
    (socket.AF_INET, socket.SOCK_STREAM): Kind.TCP,
    (socket.AF_INET6, socket.SOCK_STREAM): Kind.TCP,
    (socket.AF_INET, socket.SOCK_DGRAM): Kind.UDP,
    (socket.AF_INET6, socket.SOCK_DGRAM): Kind.UDP,
    (socket.AF_UNIX, socket.SOCK_STREAM): Kind.UNIX,
}


class Passed(Record):
    """One descriptor that we were started with."""

    number: int
    name: str


@cache
def passed() -> tuple[Passed, ...]:
    """All of them, for as long as we live. Raises ListenError that says why there are none."""
    return read_passed(os.environ, os.getpid())


def read_passed(environ: Mapping[str, str], pid: int) -> tuple[Passed, ...]:
    """What these variables say to the process of this number. Raises ListenError."""
    count, meant = environ.get("LISTEN_FDS", ""), environ.get("LISTEN_PID", "")
    if not count:
        raise ListenError(
            "LISTEN_FDS is not set: whoever starts pidone has to pass sockets (a .socket unit of systemd or "
            "Quadlet, systemd-socket-activate)"
        )
    if not (count.isascii() and count.isdigit() and 0 < int(count) <= _MOST):
        raise ListenError(f"LISTEN_FDS={count!r} is not a number from 1 to {_MOST}")
    if meant != str(pid):
        raise ListenError(
            f"LISTEN_PID={meant!r} is not this process ({pid}): sockets are passed to one process only, so "
            "whatever stands between (a shell, another init) has to exec pidone"
        )
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * (int(count) - len(names))
    return tuple(Passed(FIRST + position, names[position]) for position in range(int(count)))


def resolve(app: AppSpec) -> AppSpec:
    """The app with the real addresses of its `fd:NAME` entries. Raises ListenError."""
    listens: list[Listen] = []
    for entry in app.listen:
        listens += _found(app, entry) if entry.kind == "fd" else [entry]
    return app.but(listen=tuple(listens))


def _found(app: AppSpec, entry: Listen) -> list[Listen]:
    """The sockets of this name; else the one of this number."""
    try:
        return [_as_listen(each, entry) for each in _chosen(entry.host)]
    except ListenError as error:
        raise ListenError(f'{app.name}: listen = "fd:{entry.host}": {error}') from None


def _chosen(name: str) -> list[Passed]:
    known = passed()
    chosen = [each for each in known if each.name == name]
    chosen = chosen or [each for each in known if str(each.number) == name]
    if not chosen:
        had = ", ".join(f"{each.name or 'without a name'} ({each.number})" for each in known)
        raise ListenError(f"no such socket among those passed: {had}")
    return chosen


def _as_listen(each: Passed, entry: Listen) -> Listen:
    address = address_of(each.number)
    return entry.but(kind=str(address.kind), host=address.host, port=address.port, number=each.number)


def address_of(number: int) -> Address:
    """Where a descriptor listens. Raises ListenError if it does not."""
    try:
        with socket.socket(fileno=os.dup(number)) as known:
            kind = _KINDS.get((known.family, known.type))
            if kind is None:
                raise ListenError(f"descriptor {number} is {known.family.name} {known.type.name}")
            if kind is not Kind.UDP and not known.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise ListenError(f"descriptor {number} is a connection (Accept=yes): it has to listen")
            name = known.getsockname()
            if kind is Kind.UNIX:
                return Address(kind, os.fsdecode(name))
            if known.family is socket.AF_INET6:
                v6_only = bool(known.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))
                if name[0] == "::" and not v6_only:
                    return Address(kind, "", name[1])
            return Address(kind, name[0], name[1])
    except OSError as error:
        raise ListenError(f"descriptor {number} is no socket: {error.strerror}") from error


class AdoptedPort:
    """A socket that its giver keeps too: one queue whatever the balance, never shut down, no file of ours."""

    def __init__(self, address: Address, number: int, *, blocking: bool) -> None:
        """A duplicate: the descriptor itself stays for whatever names it after a reload."""
        self._socket = socket.socket(fileno=os.dup(number))
        self._socket.setblocking(blocking)
        self.address = address
        self.members: Collection[int] = ()

    def for_member(self, member: int) -> socket.socket:  # noqa: ARG002
        return self._socket

    def queued(self, member: int) -> int:  # noqa: ARG002
        return 0

    def steer(self, serving: Mapping[int, int]) -> None:
        """All drink from one well."""

    def rebalance(self, balance: Balance) -> None:
        """There is nothing to choose from."""

    def retire(self, member: int) -> None:
        """Whoever is left takes what is queued."""

    def close(self) -> None:
        """Whoever gave it may go on listening."""
        close(self._socket)
