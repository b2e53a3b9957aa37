"""How many connections end with the processes that have them.

What a program does with its open connections when it is told to stop is its own. While it stops, those that
it has are looked at again and again; what was open at the last look, milliseconds before its end, was cut.
"""

import asyncio
import struct
from collections.abc import Collection, Iterable
from time import process_time
from typing import Final

from pidone.ecosystem.spec import Seconds
from pidone.init import proctree
from pidone.listen.sockets import diag

_PAUSE: Final[Seconds] = 0.005
_PAUSE_OF_OWNERS: Final[Seconds] = 0.05
_REST: Final = 20
"""A look is followed by a pause of so many times the CPU time it took: many cost no more than one."""


class OpenConnections:
    """Those of all processes of a runtime that were told to stop, looked at together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._leaving: dict[int, _Leaving] = {}
        self._owners_at: Seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._moment: _Moment | None = None
        """What was seen in this turn of the loop, in which many may be told to stop."""

    def begin(self, root: int, ports: Collection[int]) -> None:
        """A process is about to be told to stop; `ports` are those of TCP where its clients come."""
        if root in self._leaving or not ports:
            return
        if self._moment is None:
            self._moment = _Moment()
            self._loop.call_soon(self._end_moment)
        leaving = self._leaving[root] = _Leaving(root, ports)
        self._count([leaving], self._moment, owners=True)
        if self._timer is None:
            self._timer = self._loop.call_later(_PAUSE, self._look)

    def end(self, root: int) -> int | None:
        """It has ended: how many connections went with it. None: that could not be seen."""
        leaving = self._leaving.pop(root, None)
        if not self._leaving and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return None if leaving is None else leaving.open

    def _end_moment(self) -> None:
        self._moment = None

    def _look(self) -> None:
        began, now = process_time(), self._loop.time()
        is_due = now >= self._owners_at
        self._count(self._leaving.values(), _Moment(), owners=is_due)
        took = process_time() - began
        if is_due:
            self._owners_at = now + max(_PAUSE_OF_OWNERS, _REST * took)
        self._timer = self._loop.call_later(max(_PAUSE, _REST * took), self._look)

    @staticmethod
    def _count(those: "Iterable[_Leaving]", moment: "_Moment", *, owners: bool) -> None:
        """With `owners`, which sockets they have is looked up anew."""
        for leaving in those:
            try:
                owned = moment.sockets_of(leaving.root) if owners else leaving.owned
                found = sum(moment.connections(leaving.ports, among=owned))
            except (OSError, struct.error):  # a sandbox that does not show it, or another user's process
                leaving.open = None
                continue
            process = proctree.read(leaving.root)
            if process is not None and not process.is_dead:  # else it was seen after its end, with nothing
                leaving.owned, leaving.open = owned, found


class _Leaving:
    """A process that was told to stop."""

    def __init__(self, root: int, ports: Collection[int]) -> None:
        self.root = root
        self.ports = ports
        self.owned: frozenset[int] = frozenset()
        """Inodes of the sockets that it and its descendants have."""
        self.open: int | None = None
        """How many connections it has, as far as that can be seen."""


class _Moment:
    """What the kernel's tables show at one moment: each is read once, and not before somebody asks."""

    def __init__(self) -> None:
        self._processes: proctree.Look | None = None
        self._connections: dict[int, list[int]] = {}

    def sockets_of(self, root: int) -> frozenset[int]:
        """Inodes of the sockets that a process and its descendants have. Raises OSError."""
        if self._processes is None:
            self._processes = proctree.Look(proctree.snapshot())
        family = self._processes.families([root])
        return frozenset(inode for pid in family for inode in diag.sockets_of(pid))

    def connections(self, ports: Iterable[int], *, among: Collection[int]) -> Iterable[bool]:
        """For each connection to these ports, whether it is one of those. Raises OSError, struct.error."""
        for port in ports:
            if port not in self._connections:
                found = diag.connections([port], diag.ESTABLISHED)
                self._connections[port] = [each.inode for each in found]
        return (inode in among for port in ports for inode in self._connections[port])
