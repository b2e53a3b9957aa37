"""The IPC channel of one process: a Node cluster worker, or any program that says "ready" as under PM2."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from pidone.contracts import Clock
from pidone.descriptors import close
from pidone.ecosystem.spec import Seconds
from pidone.listen.node.channel import Channel
from pidone.listen.node.cluster import Conversation
from pidone.listen.node.inspector import Inspector
from pidone.listen.readiness.heartbeat import Heartbeat
from pidone.listen.sockets.member import MemberSockets

EXIT_TIME: Final[Seconds] = 1.0
"""How long a drained worker that hung up may take to exit before it is stopped as any other process."""


class Ipc:
    """Our end of a channel and, until the process runs, the other one."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        deadlines: Clock,
        number: int,
        sockets: MemberSockets | None,
        worker_id: int,
        preload: Mapping[str, str] | None,
        stop: str,
        on_listening: Callable[[], None],
        on_drained: Callable[[], None],
        on_no_server: Callable[[int, bool], None],
        on_message: Callable[[object], None],
        on_ignored: Callable[[str], None],
        patience: Seconds | None,
        on_hung: Callable[[str, str], None],
        inspector: Inspector,
        has_options: bool,
    ) -> None:
        """`deadlines` is the clock for what is held against it; `number` is the child's descriptor.

        With sockets the process becomes a cluster worker.

        `stop` is the event of Node's `process` by which the app will be stopped; `patience` is how long its
        loop may stand still, None for ever. `inspector` hears whether it begins; if it `has_options` for it,
        it can tell its stack.
        """
        self._loop = loop
        self._deadlines = deadlines
        self._stop = stop
        self._exiting: asyncio.TimerHandle | None = None
        self._sockets = sockets
        self._has_preload = preload is not None
        self._on_drained = on_drained
        self._is_draining = False
        self._inherited: dict[int, socket.socket] = {}
        ours, self._theirs = socket.socketpair()
        self._channel = Channel(
            loop, ours, on_message=self._receive, on_nonsense=on_ignored, on_closed=self._hung_up
        )
        self._conversation = Conversation(
            self._channel,
            sockets,
            inherited=self._inherited,
            on_listening=on_listening,
            on_drained=on_drained,
            on_no_server=lambda has_loaded: on_no_server(self._pid, has_loaded),
            on_pong=self._answered,
            on_stack=self._tells_stack,
            on_inspected=self._inspected,
            on_message=on_message,
            on_ignored=on_ignored,
        )
        self._heartbeat: Heartbeat | None = None
        if patience is not None and preload is not None:
            ask = partial(self._conversation.ping, patience)
            self._heartbeat = Heartbeat(loop, patience, ask, self._is_hung)
        self._on_hung = on_hung
        self._inspector = inspector
        self._has_options = has_options
        self._has_spoken = False
        self._stack: asyncio.Future[str] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._pid = 0
        self.fds: Mapping[int, int] = {number: self._theirs.fileno()}
        self.env: Mapping[str, str] = {
            "NODE_CHANNEL_FD": str(number),
            "NODE_CHANNEL_SERIALIZATION_MODE": "json",
            **({} if sockets is None else {"NODE_UNIQUE_ID": str(worker_id)}),
            **(preload or {}),
        }

    def inherits(self, number: int, inherited: socket.socket) -> None:
        """The process has this listening socket already: `listen({fd: number})` means it."""
        self._inherited[number] = inherited

    def spawned(self, pid: int) -> None:
        """Only the process has its end from now on, so that its death closes the channel."""
        close(self._theirs)
        self._pid = pid
        if self._heartbeat is not None:
            self._heartbeat.spawned(pid)

    def watch(self) -> None:
        """It is online: see whether its loop turns, until `unwatch`."""
        if self._heartbeat is not None:
            self._heartbeat.begin()

    def unwatch(self) -> None:
        """It is about to stop."""
        if self._heartbeat is not None:
            self._heartbeat.close()
        if self._looking is not None:
            self._looking.cancel()

    def send(self, message: object) -> bool:
        """Send what `process.on('message')` shall get; False if nobody is there."""
        return self._channel.send(message)

    def ask_for_server(self) -> None:
        """`on_no_server` is called again if the process has loaded nothing to serve with until now."""
        self._conversation.ask_for_server()

    @property
    def can_drain(self) -> bool:
        """Whether the process can be asked to finish what it has."""
        return self._sockets is not None and self._channel.is_open

    def drain(self, idle: Seconds) -> None:
        """Ask for it; `on_drained` is called when it is done. Clients that are silent for `idle` are cut."""
        self._is_draining = True
        asked = (
            self._conversation.drain(idle, self._stop)
            if self._has_preload
            else self._conversation.disconnect()
        )
        if not asked:
            self._on_drained()

    def close(self) -> None:
        """The process ended, or never began."""
        self.unwatch()
        close(self._theirs)
        self._channel.close()
        if self._exiting is not None:
            self._exiting.cancel()

    def _answered(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.answered()

    def _inspected(self) -> None:
        """Its inspector was opened by its app or its user: it may stand still at a breakpoint from now on."""
        if self._heartbeat is not None:
            self._heartbeat.close()
            self._heartbeat = None

    def _tells_stack(self, stack: str) -> None:
        if self._stack is not None and not self._stack.done():
            self._stack.set_result(stack)

    def _is_hung(self, why: str) -> None:
        self._looking = self._loop.create_task(self._tell_where(why))

    async def _tell_where(self, why: str) -> None:
        from pidone.listen.node.stack import javascript_stack  # noqa: PLC0415 (for one that hangs)

        stack = ""
        if self._has_options:  # else its inspector would be open to everybody
            self._stack = self._loop.create_future()
            self._conversation.ask_for_stack()
            stack = await javascript_stack(self._pid, self._stack, self._deadlines)
        self._looking = None  # what is done now is not to be cancelled
        self._on_hung(why, stack)

    def options_refused(self) -> None:
        """It is closed, and ended with Node's code for that; where it has said anything, that was its own."""
        if self._heartbeat is not None and not self._has_spoken:
            self._inspector.refused(had_options=self._has_options)

    def _receive(self, message: object) -> None:
        if not self._has_spoken and self._heartbeat is not None:
            self._inspector.begun(had_options=self._has_options)
        self._has_spoken = True
        self._conversation.receive(message)

    def _hung_up(self) -> None:
        if self._is_draining:
            # It is about to exit, and a signal would only cut that short.
            self._exiting = self._loop.call_later(EXIT_TIME, self._on_drained)
