"""Finds a program that accepts nobody any more, by its queue: the kernel tells who waits there.

Whether anybody was accepted between two looks follows from the length of the queue and from who joined it: it
grows by as many as joined, and by fewer where some were accepted. Clients that gave up stay in the queue.
Protocol: tcp_info(7) of a listening socket; /proc/net/tcp, where a connection that nobody has accepted has no
inode.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Final

from pidone.ecosystem.spec import Seconds
from pidone.listen.readiness.heartbeat import BEATS, Heartbeat

_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_QUEUED: Final = ("01", "08")  # ESTABLISHED, CLOSE_WAIT: include/net/tcp_states.h


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
        self._before: tuple[int, frozenset[str]] | None = None

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
        waiting = _waiting(self._ports())
        if self._before is not None:
            length_before, waiting_before = self._before
            if length - length_before < len(waiting - waiting_before):
                self._heartbeat.answered()
        self._before = length, waiting


def _waiting(ports: Collection[int]) -> frozenset[str]:
    """Connections to these ports that nobody has accepted: their two addresses."""
    found: set[str] = set()
    for table in _TABLES:
        with contextlib.suppress(OSError), open(table, encoding="ascii") as file:
            for line in file:
                fields = line.split()
                if fields[3] in _QUEUED and fields[9] == "0" and int(fields[1][-4:], 16) in ports:
                    found.add(f"{fields[1]} {fields[2]}")
    return frozenset(found)
