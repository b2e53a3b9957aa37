"""Everything one app listens on: opened once, kept for the app's life, whichever process comes and goes."""

import asyncio
import contextlib
import errno
import itertools
import socket
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final, Protocol

from pidone.descriptors import close
from pidone.ecosystem.spec import AppSpec, Balance, Listen
from pidone.errors import ListenError, PortTakenError, SilentError
from pidone.listen import needs
from pidone.listen.node.inspector import Inspector
from pidone.listen.sockets import words
from pidone.listen.sockets.address import ANY_V6, Address, Kind, number_of, of_listen
from pidone.listen.sockets.bind import explain, is_theirs, open_socket
from pidone.listen.sockets.hangup import HangupWatch
from pidone.listen.sockets.member import MemberSockets, NoRoomError, PortKey, beside, outdated
from pidone.listen.sockets.ports import COMMON, Port, SinglePort, TcpPort
from pidone.listen.sockets.steering import Retirement, Steering

if TYPE_CHECKING:
    from pidone.listen.sockets.cut import OpenConnections

MOST_PORTS: Final = 256
"""One app that opens port after port must not leave the runtime without descriptors for the others."""
QUIET: Final = 1.0
"""Seconds between explanations why a port cannot be had."""
RESTORE: Final = 0.02
"""Seconds between looks after files of sockets that a process which ends may remove."""


class EventLog(Protocol):
    """The part of the log sink that is needed here."""

    def event(self, level: str, event: str, /, message: str = "", **fields: object) -> None:
        """One record of the runtime's own."""


class AppPorts:
    """The ports of one app."""

    def __init__(
        self,
        app: AppSpec,
        loop: asyncio.AbstractEventLoop,
        log: EventLog,
        once: Callable[[AppSpec, str, str], None],
        hangups: HangupWatch,
        connections: "Callable[[], OpenConnections]",
    ) -> None:
        """`once` logs a notice of an app (event, message) that is not repeated."""
        self._hangups = hangups
        self._connections = connections
        self.steering = Steering(loop, app.balance)
        self.app = app
        """As it is now: whose they are may change, too."""
        self._loop = loop
        self._log = log
        self._once = once
        self._ports: dict[PortKey, Port] = {}
        self._retirement = Retirement(loop, self.steering, self._ports)
        self._asked: dict[PortKey, MemberSockets] = {}
        """What processes have asked for, and which one was the last."""
        self._data: dict[str, object] = {}
        self._users: set[MemberSockets] = set()
        self._quiet_until = 0.0
        self._narrowed: dict[PortKey, PortKey] = {}
        """Listed sockets of both families in whose place there is one of one family, and maybe another."""
        self._restoring: asyncio.TimerHandle | None = None
        self._kernel_shares = True
        self.inspector = Inspector(self._tell_no_inspector)
        self._has_own = False
        """One has shut down the sockets of all: each process that starts from now on gets its own."""
        self._stale: set[PortKey] = set()
        """What the configuration no longer names, but processes made from an older one still serve."""
        self._rest: list[Listen] = []
        """Listed, and not bound: processes of the app before this one listen there themselves."""

    def open(self, app: AppSpec, leaving: Collection[int]) -> bool:
        """Bind what `app.listen` names and is not bound yet. Raises ListenError; nothing has changed then.

        Another `balance` holds for processes that start from now on. Returns whether anything waits for the
        end of those who are `leaving`, and listen there themselves.
        """
        known, before, rest = set(self._ports), self.app, self._rest
        self.app, self._rest = app, []
        try:
            for entry in app.listen:
                self._open_entry(entry, leaving)
        except ListenError:
            self.app, self._rest = before, rest
            for key in set(self._ports) - known:
                self._drop(key)
            raise
        wanted = {PortKey(of_listen(entry)) for entry in app.listen}
        self._stale |= {PortKey(of_listen(entry)) for entry in before.listen}
        self._stale -= wanted
        self._drop_stale()
        self.drop_outdated()
        if app.balance is not before.balance:
            self.steering.rebalance(self._balance)
            self._retire_outdated()
        return bool(self._rest)

    def open_rest(self) -> None:
        """Bind what had to wait. Raises ListenError; it waits on then."""
        while self._rest:
            self._open_entry(self._rest[0])
            del self._rest[0]

    @property
    def _gives_own(self) -> bool:
        """Whether each process gets sockets of its own; a client of `source` keeps its slot."""
        return self._has_own and self.app.balance is not Balance.SOURCE

    @property
    def _balance(self) -> Balance:
        """By which new connections are dealt out."""
        return Balance.SPREAD if self._gives_own else self.app.balance

    def _open_entry(self, entry: Listen, leaving: Collection[int] = ()) -> None:
        if not self._kernel_shares and self.app.share == "kernel":
            return
        address = of_listen(entry)
        key = PortKey(address)
        chosen_by_app = needs.chooses_address(self.app, entry)
        if self._at(key) in self._ports or (chosen_by_app and self.has_port(entry.port)):
            return
        try:
            if chosen_by_app:
                close(open_socket(address, backlog=entry.backlog))  # it is free, and we may have it
            else:
                self._open(PortKey(address), entry.backlog)
        except OSError as error:
            if leaving and is_theirs(address, error, leaving):
                self._rest.append(entry)
                return
            message = f"{self.app.name}: listen: {explain(address, error)}"
            if error.errno == errno.EADDRINUSE:
                raise PortTakenError(message, self.app.key()) from error
            kind = SilentError if isinstance(error, TimeoutError) else ListenError
            raise kind(message, self.app.key()) from error

    def sockets_of(self, app: AppSpec, slot: int) -> MemberSockets:
        """Where a process of this app, as it is now, asks for sockets."""
        sockets = MemberSockets(self, app, slot, self._member(app, slot))
        self._users.add(sockets)
        return sockets

    def _member(self, app: AppSpec, slot: int) -> int:
        """Which member the process in a slot is.

        Where each has sockets of its own, it takes those that nobody has any more, and what waits there.
        """
        if not self._gives_own:
            return COMMON if app.balance is Balance.SHARED else slot
        used = {user.member for user in self._users}
        free = sorted(self._members() - used)
        return free[0] if free else next(each for each in itertools.count() if each not in used)

    def _members(self) -> set[int]:
        return {member for port in self._ports.values() for member in port.members}

    def obtain(
        self, address: Address, *, index: int, backlog: int, asking: MemberSockets, only: str
    ) -> tuple[PortKey, socket.socket]:
        """The socket for an address, opened if it is new. Raises OSError; the reason is logged."""
        member = asking.member
        self._retirement.give_up(member)
        wanted = PortKey(address, index)
        key = self._known(wanted)
        try:
            if key is None:
                key = beside(wanted, self._ports)
                if key not in self._ports:
                    self._open(key, backlog)
            elif only:
                key = self._of_family(wanted, key, only, backlog, member)
        except OSError as error:
            self._tell_failed(address, error)
            raise
        self._asked[key] = asking
        if needs.ask_alike(asking.app, self.app):
            self.drop_outdated()
        return key, self._ports[key].for_member(member)

    def _of_family(self, wanted: PortKey, known: PortKey, only: str, backlog: int, member: int) -> PortKey:
        """In the place of both families: the one that a program binds, which may come back for the other."""
        narrow = PortKey(wanted.address.but(host=only, v6_only=only == ANY_V6))
        if narrow == known:
            return known
        if wanted in self._narrowed:
            if narrow not in self._ports:
                self._open(narrow, backlog)
            return narrow
        return self._narrow(known, narrow, backlog) if self._may_be_narrowed(known, member) else known

    def _may_be_narrowed(self, key: PortKey, member: int) -> bool:
        """Whether a socket is of both families, and nobody is known to serve there."""
        if key.address.host or self._ports[key].for_member(member).family != socket.AF_INET6:
            return False
        return all(user.serves_at != key for user in self._users)

    def _narrow(self, wide: PortKey, narrow: PortKey, backlog: int) -> PortKey:
        """Open one family alone in the place of both, for a program that does not look for its socket.

        Its own would be of one, and it may have no room for the addresses of the other (nginx).
        """
        self._drop(wide)
        for user in self._users:
            user.held.discard(wide)
        self._open(narrow, backlog)
        self._narrowed[wide] = narrow
        return narrow

    def missing(self, sockets: MemberSockets) -> Address | None:
        """Where others serve and this process, for all we know, should and does not; None if it may serve."""
        others = (other for other in self._users if other is not sockets)
        wanting = (address for other in others if (address := sockets.lacks(other)) is not None)
        return next(wanting, None)

    def is_held_by_others(self, sockets: MemberSockets, address: Address) -> bool:
        """As Source.is_held_by_others."""
        likes = (user for user in self._users if user is not sockets and user.member == sockets.member)
        return any(key.address == address for user in likes for key in user.held)

    def holds(self, addresses: Collection[Address]) -> bool:
        """Whether it has one of these, or a port of theirs."""
        numbers = {each.port for each in addresses} - {0}
        return any(port.address in addresses or port.address.port in numbers for port in self._ports.values())

    def has_port(self, port: int) -> bool:
        """Whether a TCP port is one of this app's."""
        tcp = (known.address.port for known in self._ports.values() if known.address.kind is Kind.TCP)
        return port in tcp

    def is_open(self, address: Address) -> bool:
        """As PortSource.is_open."""
        return self._known(PortKey(address)) is not None

    def count_connections(self, pid: int) -> None:
        """As Source.count_connections."""
        with contextlib.suppress(OSError, ImportError):  # a figure, which no stop depends on
            self._connections().begin(pid, self.steering.numbers)

    def cut(self, pid: int) -> int | None:
        """As Source.cut."""
        try:
            return self._connections().end(pid)
        except (OSError, ImportError):  # not known
            return None

    def shared_data(self, key: str, offered: object) -> object:
        """What the first worker offered."""
        if offered is not None:
            self._data.setdefault(key, offered)
        return self._data.get(key)

    def leaves(self) -> None:
        """As Source.leaves: what it removes when it ends is put back until it has."""
        files = {key: port for key, port in self._ports.items() if isinstance(port, SinglePort)}
        for key, port in files.items():
            self._restore(key, port)
        if files and self._restoring is None and any(user.has_left for user in self._users):
            self._restoring = self._loop.call_later(RESTORE, self._restore_again)

    def _restore_again(self) -> None:
        self._restoring = None
        self.leaves()

    def _restore(self, key: PortKey, port: SinglePort) -> None:
        try:
            port.restore()
        except FileNotFoundError as error:  # its folder has gone, with whoever has made it for itself
            if needs.names(self.app, key.address):
                self._tell_failed(port.address, error)
            else:
                self._drop(key)
        except OSError as error:
            self._tell_failed(port.address, error)

    def left(self, sockets: MemberSockets) -> None:
        """A process ended; its ports stay open for the next, unless there are no such members any more."""
        self._users.discard(sockets)
        self.leaves()
        self._drop_stale()
        self.drop_outdated()
        self._retire_outdated()

    def abandoned(self, sockets: MemberSockets, key: PortKey) -> None:
        """A process closed its server. If it lives on and nobody else listens either, the app meant it.

        One that is being stopped does the same before it ends; so this waits longer than a stop can take.
        """
        if any(PortKey(of_listen(entry)) == key for entry in self.app.listen):
            return
        longest_stop = needs.drain_time(self.app) + self.app.kill_timeout
        self._loop.call_later(longest_stop + 1, self._drop_if_unused, sockets, key)

    def retire(self, slot: int) -> None:
        """A slot was scaled away: see that nothing stays in its queues, then close them."""
        if self.app.balance is not Balance.SHARED and not self._gives_own:
            self._retirement.begin(slot)

    def old_app_gone(self) -> None:
        """Who had them before has gone: close what only that one used, and see to its queues."""
        wanted = {self._at(PortKey(of_listen(entry))) for entry in self.app.listen}
        wanted.update(*(user.held for user in self._users))
        for key in set(self._ports) - wanted:
            self._drop(key)
        used = {COMMON, *(user.member for user in self._users)}
        for member in self._members() - used:
            self._retirement.begin(member)

    def close(self) -> None:
        """Close everything."""
        if self._restoring is not None:
            self._restoring.cancel()
        self._retirement.stop()
        self.steering.stop()
        for key in list(self._ports):
            self._drop(key)

    def _retire_outdated(self) -> None:
        """See to the members that another `balance` had, once they have no process any more.

        Where each process has its own: to those of which there is no process, unless there is none at all.
        """
        used = {user.member for user in self._users}
        is_shared = self.app.balance is Balance.SHARED
        for member in self._members() - used:
            if bool(used) if self._gives_own else (member == COMMON) is not is_shared:
                self._retirement.begin(member)

    def _known(self, wanted: PortKey) -> PortKey | None:
        """Where the wanted socket is, or another that covers it."""
        wanted = self._at(wanted)
        if wanted in self._ports:
            return wanted
        if wanted.index > 0:
            return None
        listed = (PortKey(of_listen(entry)) for entry in self.app.listen)
        return next(
            (key for key in listed if key in self._ports and key.address.covers(wanted.address)), None
        )

    def _tell_failed(self, address: Address, error: OSError) -> None:
        """Say why. To find who holds a port takes a while, and an app may try again without a pause."""
        if self._loop.time() >= self._quiet_until:
            self._quiet_until = self._loop.time() + QUIET
            self._log.event("warning", "listen.failed", str(explain(address, error)), **self.app.labels())

    def _open(self, key: PortKey, backlog: int) -> None:
        if len(self._ports) >= MOST_PORTS:
            self.drop_outdated(is_full=True)
        if len(self._ports) >= MOST_PORTS:
            raise NoRoomError(errno.EMFILE, f"an app has {MOST_PORTS} ports at most")
        blocking = needs.wants_blocking(self.app)
        port: Port
        number = number_of(self.app.listen, key.address)
        if number is not None:
            from pidone.listen.sockets.adopted import AdoptedPort  # noqa: PLC0415 (few are given sockets)

            port = AdoptedPort(key.address, number, blocking=blocking)
        elif key.address.kind is Kind.TCP:
            port = TcpPort(
                self._loop,
                key.address,
                backlog=backlog,
                blocking=blocking,
                balance=self._balance,
                may_shut_down=needs.may_shut_down(self.app),
                hangups=self._hangups,
                notices=self,
            )
        else:
            shares = needs.shares_kernel(self.app)
            port = SinglePort(key.address, backlog=backlog, blocking=blocking, keeps_file=shares)
        self._ports[key] = port
        has_file = key.address.kind is Kind.UNIX and not key.address.is_abstract
        if has_file and number is None and self.app.uid is not None:
            from pidone.listen.sockets.unix_file import give  # noqa: PLC0415 (most apps have ports)

            give(key.address.host, self.app.uid, -1 if self.app.gid is None else self.app.gid)
        self.steering.add(port)
        self._log.event("debug", "listen.open", str(port.address), **self.app.labels())

    def _drop(self, key: PortKey) -> None:
        port = self._ports.pop(key, None)
        self._asked.pop(key, None)
        if port is not None:
            self.steering.remove(port)
            port.close()

    def _drop_stale(self) -> None:
        unused = {key for key in self._stale if not any(self._at(key) in user.held for user in self._users)}
        self._stale -= unused
        for key in unused:
            self._drop(self._at(key))
            if self._narrowed.pop(key, None) is not None:
                for other in [other for other in self._ports if key.address.covers(other.address)]:
                    self._drop(other)

    def drop_outdated(self, *, is_full: bool = False) -> None:
        """As Source.drop_outdated; `is_full`: there is no room for what nobody has right now."""
        for key in outdated(self._asked, self.app, self._users, is_full=is_full):
            self._drop(key)

    def _at(self, key: PortKey) -> PortKey:
        """Where a listed socket is now."""
        return self._narrowed.get(key, key)

    def _drop_if_unused(self, sockets: MemberSockets, key: PortKey) -> None:
        if sockets in self._users and not any(key in user.held for user in self._users):
            self._drop(key)

    def not_serving(self, sockets: MemberSockets, where: Address) -> None:
        """As Source.not_serving."""
        held = ", ".join(sorted(str(key.address) for key in sockets.held))
        self._once(self.app, "listen.elsewhere", words.elsewhere(sockets.slot, held, str(where)))

    def _tell_no_inspector(self) -> None:
        self._once(self.app, "node.no_inspector", words.starts_without(self.app.name))

    def kernel_may_share(self) -> bool:
        """Whether `share = "kernel"` can be tried: nothing has refused it yet."""
        return self._kernel_shares

    def kernel_refuses(self, why: str) -> None:
        """Processes are on their own from now on, and so are the ports that they would have had from us."""
        self._kernel_shares = False
        self._once(self.app, "listen.unshared", words.unshared(self.app, why))
        for entry in self.app.listen if self.app.share == "kernel" else ():
            self._drop(self._at(PortKey(of_listen(entry))))

    def restored(self, address: Address, error: OSError | None) -> None:
        """As Notices.restored."""
        if error is None:
            text = f"{address}: a process had shut the socket down for all; it listens again"
            self._log.event("debug", "listen.restored", text, **self.app.labels())
            self._give_own()
        else:
            text = f"{address}: a process has shut the socket down for all: {explain(address, error)}"
            self._log.event("error", "listen.failed", text, **self.app.labels())

    def _give_own(self) -> None:
        """Whoever starts from now on has sockets of its own, which nobody ends for it; told once."""
        if self._has_own:
            return
        self._has_own = True
        self.steering.rebalance(self._balance)
        self._log.event("info", "listen.own", words.own(self.app.name), **self.app.labels())

    def is_deserted(self, member: int) -> bool:
        """As Notices.is_deserted."""
        has_others = any(user.member != member and not user.has_left for user in self._users)
        likes = (user for user in self._users if user.member == member)
        return self._gives_own and has_others and all(user.has_left for user in likes)

    def queue_unknown(self) -> None:
        """As Notices.queue_unknown."""
        self._once(self.app, "listen.queue_unknown", words.queue_unknown(self.app.name))

    def steering_refused(self) -> None:
        """As Notices.steering_refused."""
        self._once(self.app, "listen.steering", words.steering_refused(self.app.name, self._balance))
