"""The handover of one incarnation, put together from channels, and what its slot has to do with it."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from pidone.ecosystem.spec import Seconds
from pidone.listen.node.inspector import REFUSED
from pidone.listen.node.ipc import Ipc
from pidone.listen.sockets.member import MemberSockets
from pidone.listen.sockets.ports import COMMON
from pidone.listen.sockets.steering import Steering

if TYPE_CHECKING:
    from pidone.listen.kernel.share import KernelShare

EMPTYING: Final[Seconds] = 1.0
"""Longest wait for a slot's queue before its process is told to stop accepting."""


class Attachment(Protocol):
    """Anything a process is given, for as long as it lives."""

    def spawned(self, pid: int) -> None:
        """The process runs."""

    def close(self) -> None:
        """The process ended, or never began."""


class Watch(Protocol):
    """Something that looks whether the process makes progress."""

    def watch(self) -> None:
        """It is online."""

    def unwatch(self) -> None:
        """It is about to stop."""


class ProcessHandover:
    """Handover as the supervisor sees it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        argv: tuple[str, ...],
        env: Mapping[str, str],
        pid_vars: tuple[str, ...],
        fds: Mapping[int, int],
        attachments: Sequence[Attachment],
        watches: Sequence[Watch],
        ipc: Ipc | None,
        kernel: "KernelShare | None",
        listens_aloud: bool,
        serves_nothing: bool,
        steering: Steering,
        sockets: MemberSockets,
        longest_idle: Seconds,
        on_drained: Callable[[], None],
        ready_probe: Callable[[], Coroutine[Any, Any, None]] | None,
        health: Callable[[], Coroutine[Any, Any, None]] | None,
    ) -> None:
        """`ready_probe` runs from the start of the process, `health` from the time it is online."""
        self.argv = argv
        self.env = env
        self.pid_vars = pid_vars
        self.fds = fds
        self._loop = loop
        self._attachments = attachments
        self._watches = watches
        self._ipc = ipc
        self._kernel = kernel
        self._listens_aloud = listens_aloud
        self._serves_nothing = serves_nothing
        self.before_exec = None if kernel is None else kernel.before_exec
        self._steering = steering
        self._sockets = sockets
        self._member = sockets.member
        self._longest_idle = longest_idle
        self._on_drained = on_drained
        self._ready_probe = ready_probe
        self._health = health
        self._probing: asyncio.Task[None] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._is_online = False
        self._is_serving = False
        self._is_closed = False
        self.cut: int | None = None

    @property
    def announces(self) -> bool:
        is_heard = self._listens_aloud or (self._kernel is not None and self._kernel.is_working)
        return is_heard and not self._serves_nothing

    def spawned(self, pid: int) -> None:
        for attachment in self._attachments:
            attachment.spawned(pid)
        if self._ready_probe is not None:
            self._probing = self._loop.create_task(self._ready_probe())

    def online(self) -> None:
        if self._is_online or self._is_closed:
            return
        self._is_online = True
        self._is_serving = True
        self._sockets.online()
        self._steering.serving(self._member, +1)
        self._stop_probing()
        for watch in self._watches:
            watch.watch()
        if self._health is not None:
            self._probing = self._loop.create_task(self._health())

    def drain(self) -> bool:
        if self._draining is not None:
            return True
        can_hear = self._ipc is not None and self._ipc.can_drain
        self._sockets.count_connections()
        self.leave()
        must_empty = self._leaves_a_queue()
        if not (can_hear or must_empty):
            return False
        self._draining = self._loop.create_task(self._drain(must_empty=must_empty))
        return True

    def send(self, message: object) -> bool:
        return self._ipc is not None and self._ipc.send(message)

    def leave(self) -> None:
        """The process is about to stop: new connections go to others, and nobody judges its health."""
        self._stop_probing()
        for watch in self._watches:
            watch.unwatch()
        self._sockets.leave()
        if self._is_serving:
            self._is_serving = False
            self._steering.serving(self._member, -1)

    def close(self, code: int | None = None, /) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self.cut = self._sockets.cut()
        self.leave()
        if self._draining is not None:
            self._draining.cancel()
        for attachment in self._attachments:
            attachment.close()
        if self._ipc is not None and code == REFUSED:
            self._ipc.options_refused()

    async def _drain(self, *, must_empty: bool) -> None:
        if must_empty:
            await self._steering.empty(self._member, EMPTYING)
        if self._ipc is not None and self._ipc.can_drain:
            self._ipc.drain(self._longest_idle)
        else:
            self._on_drained()

    def _leaves_a_queue(self) -> bool:
        """Whether nobody else can take what waits for its member: then it has to accept it itself."""
        if self._steering.serves(self._member):
            return False
        # The one queue of all waits for the next process, unless all of those have queues of their own.
        return self._member != COMMON or self._steering.serves_elsewhere(COMMON)

    def _stop_probing(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None
