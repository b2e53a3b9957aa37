"""One shared address of one app: a single socket, or one per slot with the kernel choosing among them."""

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from typing import Final, Protocol

from runtime.ecosystem.spec import Balance
from runtime.listen import bpf
from runtime.listen.address import Address, Kind
from runtime.listen.sockets import open_socket, port_of

_TCP_INFO_BYTES: Final = 32
_UNACKED: Final = 24  # struct tcp_info, linux/tcp.h: for a listening socket tcpi_unacked is the accept queue


class Port(Protocol):
    """What the instances of an app share. Slots are the indexes of instances."""

    @property
    def address(self) -> Address:
        """The address, with the port the kernel chose if it was 0."""

    def for_slot(self, slot: int) -> socket.socket:
        """The socket for the process in this slot. Raises OSError when there is none yet and none can be."""

    def queued(self, slot: int) -> int:
        """Connections that wait in this slot's own queue; 0 where slots have no queue of their own."""

    def steer(self, serving: frozenset[int]) -> None:
        """New connections go to these slots only; an empty set means nobody is known to serve: all."""

    def retire(self, slot: int) -> None:
        """The slot is gone for good; the caller has seen to its queue."""

    def close(self) -> None:
        """Stop listening."""


class SharedPort:
    """One socket that every instance accepts from: nothing is lost when one of them goes."""

    def __init__(self, address: Address, *, backlog: int) -> None:
        """Raises OSError when the address cannot be bound."""
        self._socket = open_socket(address, backlog=backlog)
        self.address = address.on_port(port_of(self._socket))

    def for_slot(self, slot: int) -> socket.socket:  # noqa: ARG002
        return self._socket

    def queued(self, slot: int) -> int:  # noqa: ARG002
        return 0

    def steer(self, serving: frozenset[int]) -> None:
        """All slots drink from one well."""

    def retire(self, slot: int) -> None:
        """Whoever is left takes what is queued."""

    def close(self) -> None:
        # Processes may hold the socket as well: shutdown ends the listening for all of them.
        _stop_listening(self._socket)
        if self.address.kind is Kind.UNIX:
            with contextlib.suppress(OSError):
                os.unlink(self.address.host)


class SlotPort:
    """A SO_REUSEPORT group, one socket per slot, all held here: a replaced worker finds its queue intact."""

    def __init__(
        self, address: Address, *, backlog: int, balance: Balance, on_refused: Callable[[], None]
    ) -> None:
        """Raises OSError when somebody else has the address. `on_refused`: the kernel takes no program."""
        # SO_REUSEPORT would silently join a stranger's group of the same user: ask without it first.
        with open_socket(address, backlog=backlog) as probe:
            self.address = address.on_port(port_of(probe))
        self._backlog = backlog
        self._balance = balance
        self._on_refused = on_refused
        self._sockets: dict[int, socket.socket] = {}
        self._order: list[int] = []
        self._buckets: list[int] = []
        self._serving: frozenset[int] = frozenset()
        self.for_slot(0)

    def for_slot(self, slot: int) -> socket.socket:
        if slot not in self._sockets:
            self._sockets[slot] = open_socket(self.address, backlog=self._backlog, reuse_port=True)
            self._order.append(slot)
            self._rebalance()
            self._attach()
        return self._sockets[slot]

    @property
    def slots(self) -> tuple[int, ...]:
        """Slots that have a socket, in the kernel's order."""
        return tuple(self._order)

    def queued(self, slot: int) -> int:
        known = self._sockets.get(slot)
        if known is None:
            return 0
        info = known.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        return int(struct.unpack_from("=I", info, _UNACKED)[0])

    def steer(self, serving: frozenset[int]) -> None:
        if serving != self._serving:
            self._serving = serving
            self._attach()

    def retire(self, slot: int) -> None:
        known = self._sockets.pop(slot, None)
        if known is None:
            return
        # reuseport_detach_sock() in net/core/sock_reuseport.c: the last of the group takes the free index.
        index = self._order.index(slot)
        self._order[index] = self._order[-1]
        self._order.pop()
        _stop_listening(known)
        if self._order:
            self._rebalance()
            self._attach()

    def close(self) -> None:
        for known in self._sockets.values():
            _stop_listening(known)
        self._sockets.clear()
        self._order.clear()

    def _attach(self) -> None:
        serving = [slot for slot in self._order if slot in self._serving] or self._order
        if self._balance is Balance.SOURCE:
            stand_ins = (serving[bucket % len(serving)] for bucket in range(bpf.BUCKETS))
            owners = (
                owner if owner in serving else stand_in
                for owner, stand_in in zip(self._buckets, stand_ins, strict=True)
            )
            program = bpf.choose_by_source([self._order.index(owner) for owner in owners])
        else:
            program = bpf.choose_at_random([self._order.index(slot) for slot in serving])
        if not bpf.attach(self._sockets[self._order[0]], program):
            self._on_refused()

    def _rebalance(self) -> None:
        """Share the buckets out evenly, moving as few as possible: a moved client meets another worker."""
        self._buckets = share_out(self._buckets, self._order)


def share_out(buckets: list[int], slots: list[int]) -> list[int]:
    """Owners of the buckets when exactly these slots exist, as close to `buckets` as an even share allows."""
    if not buckets:
        return [slots[bucket % len(slots)] for bucket in range(bpf.BUCKETS)]
    fair, extra = divmod(bpf.BUCKETS, len(slots))
    counts = {slot: buckets.count(slot) for slot in slots}
    ranked = sorted(slots, key=lambda slot: -counts[slot])
    room = {slot: fair + (rank < extra) for rank, slot in enumerate(ranked)}
    shared: list[int | None] = []
    for owner in buckets:
        kept = room.get(owner, 0) > 0
        shared.append(owner if kept else None)
        if kept:
            room[owner] -= 1
    heirs = (slot for slot in slots for _ in range(room[slot]))
    return [next(heirs) if owner is None else owner for owner in shared]


def _stop_listening(known: socket.socket) -> None:
    with contextlib.suppress(OSError):  # ENOTCONN for a datagram socket
        known.shutdown(socket.SHUT_RDWR)
    known.close()
