"""The heartbeat of a Python server: its shim tells of progress, and its stack is read when there is none.

The other side is shim/pidone_heartbeat.py.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Mapping
from typing import Final

from pidone.descriptors import close
from pidone.ecosystem.spec import Seconds
from pidone.init import proctree
from pidone.listen.readiness.datagrams import Datagrams, DatagramSender
from pidone.listen.readiness.heartbeat import BEATS, Heartbeat

VARIABLE: Final = "PIDONE_HEARTBEAT"
_DUMP_S: Final[Seconds] = 2.0
"""How long a dump may take; one that is there is complete when nothing follows for a look."""
_LOOK_S: Final[Seconds] = 0.05
_MOST_SERVERS: Final = 64
_STACK_BYTES: Final = 1 << 16  # what a pipe holds
_HELD: Final = ('/bdb.py", line', '/pdb.py", line', "in _do_wait_suspend", '/debugpy/server/api.py"')
"""In the stack of a thread that stands at a breakpoint, of pdb and its kin, or of debugpy and PyCharm."""


class PythonHeartbeat:
    """The servers of one instance: its own process, or those that it has forked."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        patience: Seconds,
        *,
        label: str,
        on_hung: Callable[[str, str], None],
        on_ignored: Callable[[str], None],
    ) -> None:
        """`on_hung` hears why, and the stacks of all its threads, as far as they could be had."""
        self._loop = loop
        self._patience = patience
        self._on_hung = on_hung
        self._on_ignored = on_ignored
        self._mailbox = Datagrams(loop, label, on_datagram=self._receive, on_stranger=on_ignored)
        self.env: Mapping[str, str] = {VARIABLE: f"{self._mailbox.address} {patience / BEATS:g}"}
        self._servers: dict[int, _Server] = {}
        self._is_online = False

    @property
    def is_heard(self) -> bool:
        """Whether any server has told of progress."""
        return bool(self._servers)

    def spawned(self, pid: int) -> None:
        """Listen to this process and its descendants."""
        self._mailbox.spawned(pid)

    def watch(self) -> None:
        """It is online: expect progress of those that have told of some."""
        self._is_online = True
        for server in self._servers.values():
            server.heartbeat.begin()

    def unwatch(self) -> None:
        """It is about to stop."""
        self._is_online = False
        for server in self._servers.values():
            server.unwatch()

    def close(self) -> None:
        """The process ended, or never began."""
        self._is_online = False
        self._mailbox.close()
        for pid in tuple(self._servers):
            self._forget(pid)

    def _receive(self, data: bytes, descriptors: list[int], sender: DatagramSender) -> None:
        try:
            told = json.loads(data)
            if descriptors:
                if not told["debugged"]:
                    self._add(sender.pid, int(told["thread"]), int(told["signal"]), descriptors[0])
            elif told.get("ended"):
                self._forget(sender.pid)
            elif sender.pid in self._servers:
                self._servers[sender.pid].heartbeat.answered()
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            self._on_ignored(f"heartbeat of the Python shim: {error!r}")

    def _add(self, pid: int, thread: int, number: int, descriptor: int) -> None:
        if not signal.SIGRTMIN <= number <= signal.SIGRTMAX:  # what the process asks to get from us
            raise ValueError(f"signal {number}")
        for other in tuple(self._servers):
            if other == pid or not os.path.exists(f"/proc/{other}"):
                self._forget(other)
        if len(self._servers) >= _MOST_SERVERS:  # each holds a descriptor
            raise ValueError(f"more than {_MOST_SERVERS} servers")
        server = self._servers[pid] = _Server(self._loop, pid, number, os.dup(descriptor), self._on_hung)
        server.heartbeat = Heartbeat(
            self._loop, self._patience, lambda: True, server.is_hung, lacks="its server has made no progress"
        )
        server.heartbeat.spawned(pid, thread)
        if self._is_online:
            server.heartbeat.begin()

    def _forget(self, pid: int) -> None:
        server = self._servers.pop(pid, None)
        if server is not None:
            server.unwatch()
            close(server.stack)


class _Server:
    """A process that has told of progress, and how its stack is had."""

    heartbeat: Heartbeat

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pid: int,
        number: int,
        stack: int,
        on_hung: Callable[[str, str], None],
    ) -> None:
        """At the signal `number` it writes to the pipe `stack`."""
        self.stack = stack
        os.set_blocking(stack, False)
        self._loop = loop
        self._pid = pid
        self._number = number
        self._on_hung = on_hung
        self._dump: asyncio.TimerHandle | None = None

    def unwatch(self) -> None:
        """Expect nothing of it any more."""
        self.heartbeat.close()
        if self._dump is not None:
            self._dump.cancel()

    def is_hung(self, why: str) -> None:
        """Ask for its stack, and tell."""
        proctree.deliver(self._pid, self._number)
        self._look(why, b"", self._loop.time() + _DUMP_S)

    def _look(self, why: str, before: bytes, until: Seconds) -> None:
        """Wait until the dump is there and grows no more."""
        more = b""
        with contextlib.suppress(BlockingIOError):
            more = os.read(self.stack, _STACK_BYTES)
        stack = before + more
        if (more or not stack) and self._loop.time() < until:
            self._dump = self._loop.call_later(_LOOK_S, self._look, why, stack, until)
        else:
            self._judge(why, stack.decode(errors="replace").rstrip())

    def _judge(self, why: str, stack: str) -> None:
        if any(mark in stack for mark in _HELD):
            self.heartbeat.answered()
            self.heartbeat.begin()
        else:
            self._on_hung(why, stack)
