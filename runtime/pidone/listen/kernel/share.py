"""`share = "kernel"`: one process, and its children, whose bind() and listen() are answered by us.

At bind() our socket takes the place of the program's, behind the same number; at listen() we learn that it
serves. Everything else goes on untouched: this shares ports and is no boundary for anybody.
"""

import asyncio
import contextlib
import errno
import fcntl
import importlib
import os
import socket
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Final, TypeVar

from pidone.descriptors import close
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.errors import is_shortage
from pidone.init import proctree
from pidone.listen import needs
from pidone.listen.kernel import entangled, seccomp, waiting
from pidone.listen.kernel.caller import Caller
from pidone.listen.kernel.seccomp import Call
from pidone.listen.sockets.address import Address, Kind
from pidone.listen.sockets.member import MemberSockets, NoRoomError

_BACKLOG: Final = 511
_REMOVALS: Final = 10
"""How often others may remove the file of a socket while we look at it: each program does so once."""
_LISTEN_S: Final[Seconds] = 1.0
"""How long a call that goes on may take, on a machine that is busy."""
_LOOK_S: Final[Seconds] = 0.002
_FIRST_LOOK_S: Final[Seconds] = 0.05
_LAST_LOOK_S: Final[Seconds] = 0.5
"""Pauses between looks at a process that has bound and does not call listen(): they double."""
_MESSAGE_BYTES: Final = 64
MOST_SOCKETS: Final = 4096
"""Of those that one program opens one after the other, so many are known: ours is not the memory for all."""
_T = TypeVar("_T")


class KernelShare:
    """The listener of one process's filter."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        app: AppSpec,
        sockets: MemberSockets,
        *,
        above: int,
        own_port: int | None,
        inherits: Iterable[int],
        spares_main: bool = False,
        on_listening: Callable[[], None],
        on_guess: Callable[[int], None],
        on_refused: Callable[[str], None],
    ) -> None:
        """`above`: the child puts its own descriptors into the numbers below.

        Where nothing is shared, only listen() is looked at: of `own_port`, or of any if that is None.
        `inherits` are sockets that it gets by number. `on_guess` hears, a while later, the pid of one that
        listens somewhere, though not where it is known to serve. `spares_main`: another channel serves the
        process itself, and only the TCP ports of those that it starts are shared.

        `on_refused` hears why the process could not be asked about, or could not be looked at.
        """
        self._loop = loop
        self._app = app
        self._sockets = sockets
        self._shares = spares_main or needs.shares_kernel(app)
        self._spares_main = spares_main
        self._own_port = own_port
        self._on_listening = on_listening
        self._on_guess = on_guess
        self._guess: asyncio.TimerHandle | None = None
        self._on_refused = on_refused
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._theirs = socket.socket(fileno=fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, above))
        self._ours.setblocking(False)
        self._install = seccomp.prepare()
        self._listener = -1
        self._pid = 0
        self._judged_at = loop.time() + max(app.listen_timeout, app.reload_timeout)
        self._looks: set[asyncio.TimerHandle] = set()
        self._given = {os.fstat(number).st_ino for number in inherits}
        """Inodes of the sockets that it has from us, and serves on."""
        self._heard: dict[int, None] = {}
        """Those for which it has called listen(), the latest of them."""
        self._bound: dict[int, Address] = {}
        """The latest sockets of its own, by inode: ours comes in their place when their holder listens."""

    def before_exec(self) -> None:
        """In the child, last before exec: install the filter and send its listener, or why there is none."""
        try:
            listener = self._install()
        except OSError as error:
            self._theirs.send(str(error.errno).encode())
            return
        socket.send_fds(self._theirs, [b"0"], [listener])
        close(listener)

    @property
    def is_working(self) -> bool:
        """Whether the process is asked about; known when it runs."""
        return self._listener >= 0

    def spawned(self, pid: int) -> None:
        """Take the listener."""
        self._pid = pid
        close(self._theirs)
        self._take()

    def _take(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._ours, _MESSAGE_BYTES, 1)
        except BlockingIOError:  # the child has not come that far yet
            self._loop.add_reader(self._ours.fileno(), self._take)
            return
        self._stop_waiting()
        if descriptors:
            self._listener = descriptors[0]
            os.set_inheritable(self._listener, False)
            self._loop.add_reader(self._listener, self._serve)
            _options()  # while the child becomes its program, so that its first bind() need not wait for it
            for inode in self._given:
                self._look_later(inode, _FIRST_LOOK_S, is_known=True)
        elif data not in (b"", b"0"):  # "0": it was lost for want of a descriptor
            self._on_refused(_explain(int(data)))

    def close(self) -> None:
        """The process ended. What it left behind gets ENOSYS from now on, by the kernel."""
        close(self._theirs)
        self._stop_waiting()
        if self._guess is not None:
            self._guess.cancel()
        for look in self._looks:
            look.cancel()
        if self._listener >= 0:
            self._loop.remove_reader(self._listener)
            close(self._listener)
            self._listener = -1

    def _stop_waiting(self) -> None:
        if self._ours.fileno() >= 0:
            self._loop.remove_reader(self._ours.fileno())
            close(self._ours)

    def _serve(self) -> None:
        """Answer one call; the loop comes back while there are more."""
        try:
            call = seccomp.receive(self._listener)
        except OSError:  # ENOTCONN: nobody is left who has this filter
            self._loop.remove_reader(self._listener)
            return
        if call is None:
            return
        try:
            if not self._answer(call):
                seccomp.let_go(self._listener, call.id)
        except OSError as error:
            is_gone = not seccomp.is_waiting(self._listener, call.id)
            try:
                if not is_gone and (why := _cannot_look(error)):
                    self._on_refused(why)  # first: it may make room for what the call binds
            finally:
                seccomp.let_go(self._listener, call.id)
            if not is_gone and is_shortage(error):  # the loop tells it
                raise

    def _answer(self, call: Call) -> bool:
        """Whether the call has been answered; otherwise it goes on by itself. Raises OSError as False."""
        caller = Caller(call)
        with contextlib.closing(caller):
            if self._spares_main and caller.process == self._pid:
                return False
            if not call.is_bind:
                return self._answer_listen(call, caller)
            return self._answer_bind(call, caller)

    def _answer_bind(self, call: Call, caller: Caller) -> bool:
        """Give it ours, if that is what it shall have."""
        address = self._wanted(caller) if self._shares else None
        if address is None or not seccomp.is_waiting(self._listener, call.id):
            return False
        if self._binds_by_itself(caller, address):
            seccomp.finish(self._listener, call.id)
            return True
        own = caller.inode()
        try:
            self._refuse_twice(caller, address)
            given = self._give(call, caller, address)
        except NoRoomError:
            return False
        except OSError as error:
            seccomp.finish(self._listener, call.id, error.errno or errno.EINVAL)
            return True
        remember(self._bound, own, address)  # another process may have it too, and listen there
        seccomp.finish(self._listener, call.id)
        if address.kind is Kind.UDP:  # nobody listens there
            self._tell(is_sure=self._is_known(address))
        else:
            self._look_later(_inode(given), _FIRST_LOOK_S, is_known=self._is_known(address))
        return True

    def _answer_listen(self, call: Call, caller: Caller) -> bool:
        """It serves; where ours is in its place by now, the call goes on with that."""
        listening = caller.socket
        address = self._bound.get(caller.inode())
        if address is not None and seccomp.is_waiting(self._listener, call.id):
            try:
                listening = self._give(call, caller, address)
            except NoRoomError:
                pass  # it goes on with its own
            except OSError as error:
                seccomp.finish(self._listener, call.id, error.errno or errno.EINVAL)
                return True
        self._listens(listening)
        return False

    def _binds_by_itself(self, caller: Caller, address: Address) -> bool:
        """The first one to bind a port has it: it may mean to connect from there, or only look if it is free.

        Ours comes in its place when it listens; whoever binds after that gets ours at once.
        """
        is_ours = self._app.listen or self._sockets.has_left or self._sockets.is_open(address)
        if address.kind is not Kind.TCP or is_ours:
            return False
        try:
            caller.bind_by_itself(address)
        except OSError:  # as ours will: that tells why
            return False
        remember(self._bound, caller.inode(), address)
        return True

    def _refuse_twice(self, caller: Caller, address: Address) -> None:
        """A port that nobody has named, and this program has: as the kernel would. Raises OSError.

        It chooses among ports (a server of FTP), and must not get the clients of another session.
        """
        if not self._sockets.has_unnamed(address) or caller.stands_beside():
            return
        if waiting.is_had(self._pid, _inode(self._obtain(caller, address))):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

    def _look_later(self, inode: int, pause: Seconds, *, is_known: bool) -> None:
        """Whether it waits for connections there without a word: it came by number, or is seen to listen.

        Asked until it has long been judged: it may have bound in order to connect from there.
        """

        def look() -> None:
            self._looks.discard(handle)
            if inode in self._heard:
                return
            if waiting.waits_on(self._pid, inode):
                self._tell(is_sure=is_known)
            elif self._loop.time() < self._judged_at:
                self._look_later(inode, min(2 * pause, _LAST_LOOK_S), is_known=is_known)

        handle = self._loop.call_later(pause, look)
        self._looks.add(handle)

    def _wanted(self, caller: Caller) -> Address | None:
        """What it shall have from us; None if that is its own business."""
        exact = caller.address()
        if self._spares_main and exact is not None and exact.kind is not Kind.TCP:
            return None  # how it talks to its launcher
        shared = None if exact is None else needs.shared_as(self._app, exact)
        if shared is None or exact is None or self._app.listen:
            return shared
        is_own = self._sockets.is_for_one_client(exact) or (exact.kind is Kind.UDP and caller.joins())
        return None if is_own or not caller.may_bind(exact) else shared

    def _give(self, call: Call, caller: Caller, address: Address) -> socket.socket:
        """Put our socket in the place of its own; which it is. Raises OSError with what bind() would say."""
        own = caller.entangled()
        is_alone = self._sockets.has_left or not self._sockets.is_held_by_others(address)
        found = self._obtain(caller, address)
        if is_alone or not caller.blocks():
            # The flag belongs to all who have the socket: a program that polls must never meet one that
            # blocks, and one that blocks sets the flag for its likes.
            found.setblocking(caller.blocks())
        _options().carry_over(caller.socket, found.fileno())
        for number in (caller.descriptor, *own.copies):
            cloexec = caller.closes_on_exec(number)
            seccomp.replace(self._listener, call.id, found.fileno(), number, close_on_exec=cloexec)
        caller.close()  # the last copy of its own, which leaves its epolls by that
        entangled.register(own, found.fileno())
        if self._is_known(address):
            self._given.add(_inode(found))
        return found

    def _obtain(self, caller: Caller, address: Address) -> socket.socket:
        """Ours. A path has the mode that the program gives it; while others remove it, it is put back."""
        for left in reversed(range(_REMOVALS)):
            found = self._sockets.obtain(address, index=0, backlog=_BACKLOG, only=caller.only_family())
            if address.kind is not Kind.UNIX or address.is_abstract or self._sockets.has_left:
                return found
            from pidone.listen.sockets.unix_file import set_mode  # noqa: PLC0415 (most apps have ports)

            try:
                set_mode(address.host, caller.mode(), self._app.uid)
                break
            except FileNotFoundError:
                if left == 0:
                    raise
        return found

    def _is_known(self, address: Address) -> bool:
        """Whether clients come there, and it is no door of its own (Caddy's admin port, a control socket)."""
        if self._app.listen:
            return True
        if address.kind is Kind.TCP:
            return self._own_port in (None, address.port) or needs.names(self._app, address)
        return needs.names(self._app, address)

    def _listens(self, listening: socket.socket) -> None:
        remember(self._heard, _inode(listening), None)
        if self._counts(listening):
            # Not socket.dup(): that sets the blocking mode anew, which is the program's own to set.
            copy = socket.socket(fileno=os.dup(listening.fileno()))
            self._tell_when_it_listens(copy, self._loop.time() + _LISTEN_S)
        elif self._shares and not self._spares_main:
            self._tell(is_sure=False)

    def _tell(self, *, is_sure: bool) -> None:
        if is_sure:
            self._on_listening()
        elif self._guess is None:
            self._guess = self._loop.call_later(self._app.ready_delay, self._on_guess, self._pid)

    def _tell_when_it_listens(self, copy: socket.socket, until: Seconds) -> None:
        """Our socket listens already; one of the program's own does when its call goes on, after this."""
        if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self._on_listening()
        elif self.is_working and self._loop.time() < until:
            self._loop.call_later(_LOOK_S, self._tell_when_it_listens, copy, until)
            return
        close(copy)

    def _counts(self, listening: socket.socket) -> bool:
        """Whether that it listens there makes it ready."""
        if self._shares:
            return _inode(listening) in self._given
        if listening.family not in (socket.AF_INET, socket.AF_INET6):
            return False
        port = listening.getsockname()[1]
        return port > 0 and self._own_port in (None, port)


def remember(known: dict[int, _T], inode: int, value: _T) -> None:
    """Add it, and forget the oldest of too many."""
    known[inode] = value
    if len(known) > MOST_SOCKETS:
        del known[next(iter(known))]


def _inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def _options() -> ModuleType:
    """The shim's module, which is no part of our package: an app's interpreter runs it."""
    return importlib.import_module("pidone.listen.python.shim.pidone_options")


def _cannot_look(error: OSError) -> str:
    """What keeps us from looking at any of its processes; empty if it concerns this moment only."""
    if not is_shortage(error) and (refused := seccomp.why_no_copies()):
        return f"the kernel, or the container's profile, refuses pidfd_getfd(2) ({errno.errorcode[refused]})"
    if error.errno in (errno.EPERM, errno.EACCES):
        return "to look at its processes takes their user, or CAP_SYS_PTRACE"
    return "" if proctree.is_ours() else "to look at its processes takes a /proc of ours"


def _explain(number: int) -> str:
    if number == errno.EBUSY:
        return "another program is asked about its system calls already (a filter with a listener: EBUSY)"
    return (
        f"the kernel, or the container's profile, refuses the filter ({errno.errorcode.get(number, number)})"
    )
