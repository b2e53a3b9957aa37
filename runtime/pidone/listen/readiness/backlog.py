"""Finds a program that accepts nobody any more, by its queue: the kernel tells who waits there.

Whether anybody was accepted between two looks follows from the length of the queue and from who joined it: it
grows by as many as joined, and by fewer where some were accepted. Clients that gave up stay in the queue.
One that nobody has accepted has no inode.
"""

import asyncio
import struct
from collections.abc import Callable, Collection

from pidone.ecosystem.spec import Seconds
from pidone.listen.readiness.heartbeat import BEATS, Heartbeat
from pidone.listen.sockets import diag


class BacklogWatch:
    """Looks at the queue that one instance accepts from, alone or with its likes."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        patience: Seconds,
        *,
        queued: Callable[[], int],
        ports: Callable[[], Collection[int]],
        is_needed: Callable[[], bool],
        on_hung: Callable[[str], None],
    ) -> None:
        """`queued` tells how many wait, `ports` where; `is_needed`: nothing else tells of its progress."""
        self._loop = loop
        self._every = patience / BEATS / 2
        self._queued = queued
        self._ports = ports
        self._is_needed = is_needed
        lacks = "it has accepted none of those that wait in its queue"
        self._heartbeat = Heartbeat(loop, patience, lambda: True, on_hung, lacks=lacks)
        self._timer: asyncio.TimerHandle | None = None
        self._before: tuple[int, frozenset[bytes]] | None = None

    def spawned(self, pid: int) -> None:
        """Whom to look at."""
        self._heartbeat.spawned(pid)

    def watch(self) -> None:
        """It is online."""
        if self._timer is None:
            self._heartbeat.begin()
            self._look()

    def unwatch(self) -> None:
        """It is about to stop."""
        self._heartbeat.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """The process ended, or never began."""
        self.unwatch()

    def _look(self) -> None:
        self._timer = self._loop.call_later(self._every, self._look)
        length = self._queued() if self._is_needed() else 0
        if not length:
            self._before = None
            self._heartbeat.answered()
            return
        try:
            waiting = _waiting(self._ports())
        except (OSError, struct.error):  # a sandbox without it (gVisor), or an emulator that answers short
            # Nobody is accused of what cannot be seen.
            self._heartbeat.answered()
            return
        if self._before is not None:
            length_before, waiting_before = self._before
            if length - length_before < len(waiting - waiting_before):
                self._heartbeat.answered()
        self._before = length, waiting


def _waiting(ports: Collection[int]) -> frozenset[bytes]:
    """Connections to these ports that nobody has accepted: their addresses. Raises OSError."""
    connections = diag.connections(ports, diag.ESTABLISHED | diag.CLOSE_WAIT)
    return frozenset(each.addresses for each in connections if not each.inode)
