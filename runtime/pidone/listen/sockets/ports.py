"""One shared address of one app: a single socket, or several with the kernel choosing among them."""

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from pidone.descriptors import close
from pidone.ecosystem.spec import Balance
from pidone.listen.sockets import bpf
from pidone.listen.sockets.address import Address, Kind
from pidone.listen.sockets.bind import open_socket, port_of
from pidone.listen.sockets.hangup import HangupWatch

if TYPE_CHECKING:
    from pidone.listen.sockets.spare import Spare
    from pidone.listen.sockets.unix_file import SocketFile

_TCP_INFO_BYTES: Final = 32
_UNACKED_BYTES: Final = 4
_UNACKED: Final = 24  # struct tcp_info, linux/tcp.h: for a listening socket tcpi_unacked is the accept queue


COMMON: Final = -1
"""The member of a port that all processes with `balance = "shared"` are; otherwise each slot is one."""
_REMOVALS: Final = 10
"""How often the file of a socket may be removed in the moment in which it is opened."""
_SPARE: Final = -2
"""No member: the place of the spare socket in its group."""


class Notices(Protocol):
    """What a port has to tell about the kernel and its processes."""

    def steering_refused(self) -> None:
        """The kernel takes no program that chooses among sockets."""

    def queue_unknown(self) -> None:
        """The kernel does not say how many connections wait."""

    def restored(self, address: Address, error: OSError | None) -> None:
        """A process had ended LISTEN for all; the socket listens again, or `error` says why it cannot."""

    def is_deserted(self, member: int) -> bool:
        """Whether nobody accepts from this member any more, and others have queues of their own."""


class Port(Protocol):
    """What the instances of an app share."""

    @property
    def address(self) -> Address:
        """The address, with the port the kernel chose if it was 0."""

    @property
    def members(self) -> Collection[int]:
        """Those that have a queue of their own here."""

    def for_member(self, member: int) -> socket.socket:
        """The socket of this member. Raises OSError when there is none yet and none can be."""

    def queued(self, member: int) -> int:
        """Connections that wait in this member's own queue; 0 where members have no queue of their own."""

    def steer(self, serving: Mapping[int, int]) -> None:
        """New connections go to these members only, by weight; none means nobody is known to serve: all."""

    def rebalance(self, balance: Balance) -> None:
        """Choose among the members in another way from now on."""

    def retire(self, member: int) -> None:
        """The member is gone for good; the caller has seen to its queue."""

    def close(self) -> None:
        """Stop listening."""


class SinglePort:
    """UDP and unix: one socket, whatever the balance."""

    def __init__(self, address: Address, *, backlog: int, blocking: bool, keeps_file: bool) -> None:
        """`keeps_file`: of a unix socket, against programs that remove it. Raises OSError as bind(2) does."""
        self._file: SocketFile | None = None
        if address.kind is Kind.UNIX and not address.is_abstract:
            self._socket, self._file = _open_file(address, backlog=backlog, is_kept=keeps_file)
        else:
            self._socket = open_socket(address, backlog=backlog)
        self._socket.setblocking(blocking)
        self.address = address.on_port(port_of(self._socket))
        self.members: Collection[int] = ()

    def for_member(self, member: int) -> socket.socket:  # noqa: ARG002
        self.restore()
        return self._socket

    def restore(self) -> None:
        """See that clients find it. Raises OSError."""
        if self._file is not None:
            self._file.restore()

    def queued(self, member: int) -> int:  # noqa: ARG002
        return 0

    def steer(self, serving: Mapping[int, int]) -> None:
        """All drink from one well."""

    def rebalance(self, balance: Balance) -> None:
        """There is nothing to choose from."""

    def retire(self, member: int) -> None:
        """Whoever is left takes what is queued."""

    def close(self) -> None:
        _stop_listening(self._socket)
        if self._file is not None:
            self._file.remove()


class TcpPort:
    """One socket for all, or a SO_REUSEPORT group with one per slot; for a while both, when that changes.

    All are held here: whoever replaces a worker finds its queue intact.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        address: Address,
        *,
        backlog: int,
        blocking: bool,
        balance: Balance,
        may_shut_down: bool,
        hangups: HangupWatch,
        notices: Notices,
    ) -> None:
        """`may_shut_down`: a process could end LISTEN for all. Raises OSError: somebody has the port."""
        # SO_REUSEPORT would silently join a stranger's group of the same user: ask without it first.
        first = open_socket(address, backlog=backlog)
        self.address = address.on_port(port_of(first))
        self._backlog = backlog
        self._balance = balance
        self._blocking = blocking
        self._hangups = hangups
        self._notices = notices
        self._sockets: dict[int, socket.socket] = {}
        self._order: list[int] = []
        self._buckets: list[int] = []
        self._serving: Mapping[int, int] = {}
        self._is_group = False
        self._spare: Spare | None = None
        if balance is Balance.SHARED:
            self._keep(COMMON, first)
            if may_shut_down:
                self._add_spare(loop)
        else:
            close(first)
            self.for_member(0)

    @property
    def members(self) -> Collection[int]:
        return self._sockets.keys()

    def for_member(self, member: int) -> socket.socket:
        if member not in self._sockets:
            self._let_others_join()
            self._keep(member, open_socket(self.address, backlog=self._backlog, reuse_port=True))
            self._is_group = True
            self._share_buckets()
            self._attach()
        return self._sockets[member]

    def _let_others_join(self) -> None:
        for known in self._sockets.values():
            # The one that stood alone may still become the first of a group: the kernel looks when
            # the next one binds and listens (inet_csk_bind_conflict(), reuseport_add_sock()).
            known.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    def _add_spare(self, loop: asyncio.AbstractEventLoop) -> None:
        from pidone.listen.sockets.spare import Spare  # noqa: PLC0415 (Node's and Python's need none)

        self._let_others_join()
        try:
            self._spare = Spare(loop, self.address, backlog=self._backlog, restore=self._listen_for_all)
        except OSError:  # it is a help, and nothing depends on it
            return
        self._order.append(_SPARE)
        self._is_group = True
        self._attach()

    def _drop_spare(self, *, hang_up: bool = False) -> None:
        if self._spare is not None:
            self._spare.close(hang_up=hang_up)
            if _SPARE in self._order:
                self._leave_order(_SPARE)

    def _listen_for_all(self) -> None:
        if COMMON in self._sockets:
            self._listen_again(COMMON)

    def queued(self, member: int) -> int:
        known = self._sockets.get(member)
        if known is None:
            return 0
        try:
            info = known.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:
            info = b""
        if len(info) < _UNACKED + _UNACKED_BYTES:  # an emulator, gVisor
            self._notices.queue_unknown()
            return 0
        return int(struct.unpack_from("=I", info, _UNACKED)[0])

    def steer(self, serving: Mapping[int, int]) -> None:
        if serving != self._serving:
            self._serving = serving
            self._attach()

    def rebalance(self, balance: Balance) -> None:
        self._balance = balance
        self._attach()

    def retire(self, member: int) -> None:
        known = self._sockets.pop(member, None)
        if known is None:
            return
        self._leave_order(member)
        self._hangups.remove(known)
        _stop_listening(known)
        if member == COMMON:  # the others stand in for each other
            self._drop_spare()
        if self._order:
            self._share_buckets()
            self._attach()

    def close(self) -> None:
        for known in self._sockets.values():
            self._hangups.remove(known)
            _stop_listening(known)
        self._drop_spare(hang_up=True)
        self._sockets.clear()
        self._order.clear()

    def _keep(self, member: int, opened: socket.socket) -> None:
        opened.setblocking(self._blocking)
        self._sockets[member] = opened
        self._order.append(member)
        self._hangups.add(opened, lambda: self._listen_again(member))

    def _leave_order(self, member: int) -> None:
        # reuseport_detach_sock() in net/core/sock_reuseport.c: the last of the group takes the free index.
        index = self._order.index(member)
        self._order[index] = self._order[-1]
        self._order.pop()

    def _listen_again(self, member: int) -> None:
        """A process has called shutdown(2): the socket is still bound, and listens for all who have it."""
        known = self._sockets[member]
        if _listens(known):
            return
        if len(self._sockets) > 1 and self._notices.is_deserted(member):
            # It would listen for a moment in which the kernel's program may still name it.
            self.retire(member)
            self._notices.restored(self.address, None)
            return
        try:
            known.listen(self._backlog)
        except OSError as error:
            self._hangups.remove(known)
            self._drop_spare()
            self._notices.restored(self.address, error)
            return
        self._leave_order(member)
        self._order.append(member)
        self._attach()
        self._notices.restored(self.address, None)

    def _attach(self) -> None:
        members = [each for each in self._order if each != _SPARE]
        if not (members and self._is_group):
            return
        serving = [each for each in members for _ in range(self._serving.get(each, 0))] or members
        if self._balance is Balance.SOURCE:
            stand_ins = (serving[bucket % len(serving)] for bucket in range(bpf.BUCKETS))
            # As long as some have one queue in common, addresses do not belong to slots.
            owners = self._buckets if COMMON not in serving else ()
            chosen = (
                owner if owner in serving else stand_in
                for owner, stand_in in itertools.zip_longest(owners, stand_ins)
            )
            program = bpf.choose_by_source([self._order.index(each) for each in chosen])
        else:
            program = bpf.choose_at_random([self._order.index(each) for each in serving])
        listening = self._one_that_listens()
        if listening is None or bpf.attach(listening, program):
            return
        self._drop_spare()
        if len(members) > 1:
            self._notices.steering_refused()

    def _one_that_listens(self) -> socket.socket | None:
        """Any of the group. One that a process has shut down is of none, and would get one of its own.

        Then it could not listen again (reuseport_attach_prog() in net/core/sock_reuseport.c).
        """
        if self._spare is not None and _SPARE in self._order:  # no process has it
            return self._spare.socket
        known = self._sockets.values()
        return next(filter(_listens, known), None)

    def _share_buckets(self) -> None:
        """Share the buckets out evenly, moving as few as possible: a moved client meets another worker."""
        slots = [member for member in self._order if member >= 0]
        if slots:
            self._buckets = share_out(self._buckets, slots)


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


def _open_file(address: Address, *, backlog: int, is_kept: bool) -> "tuple[socket.socket, SocketFile]":
    """Listen at a path. Raises OSError.

    Other programs of the app may remove the file in the same moment, each of them once: then again.
    """
    from pidone.listen.sockets.unix_file import SocketFile  # noqa: PLC0415 (most apps have ports)

    left = _REMOVALS
    while True:
        left -= 1
        opened = open_socket(address, backlog=backlog)
        try:
            return opened, SocketFile(address.host, is_kept=is_kept)
        except BaseException as error:
            close(opened)
            if left == 0 or not isinstance(error, FileNotFoundError):
                raise


def _listens(known: socket.socket) -> bool:
    return bool(known.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _stop_listening(known: socket.socket) -> None:
    """Close it; processes may hold it as well: shutdown ends the listening for all of them."""
    with contextlib.suppress(OSError):  # ENOTCONN for a datagram socket
        known.shutdown(socket.SHUT_RDWR)
    close(known)
