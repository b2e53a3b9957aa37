"""How many connections end with the processes that have them.

What a program does with its open connections when it is told to stop is its own. While it stops, those that
it has are looked at again and again; what was open at the last look, milliseconds before its end, was cut.
"""

import asyncio
import struct
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

from pidone.ecosystem.spec import Seconds
from pidone.init import proctree
from pidone.listen.sockets import diag

_PAUSE: Final[Seconds] = 0.005
_PAUSE_OF_OWNERS: Final[Seconds] = 0.05
_REST: Final = 20
"""A look is followed by a pause of this many times its length, so that many connections cost no more."""


class OpenConnections:
    """Those that the processes of one app have which were told to stop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ports: Callable[[], Collection[int]]) -> None:
        """`ports` are those of TCP where its clients come."""
        self._loop = loop
        self._ports = ports
        self._owned: dict[int, frozenset[int]] = {}
        """Inodes of the sockets that a leaving process and its descendants have."""
        self._open: dict[int, int | None] = {}
        """How many connections each has, as far as that can be seen."""
        self._owners_at: Seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, root: int) -> None:
        """A process is told to stop."""
        if root in self._open or not self._ports():
            return
        self._open[root] = None
        self._owners_at = 0.0
        if self._timer is not None:
            self._timer.cancel()
        self._look()

    def end(self, root: int) -> int | None:
        """It has ended: how many connections went with it. None: that could not be seen."""
        self._owned.pop(root, None)
        cut = self._open.pop(root, None)
        if not self._open:
            self.close()
        return cut

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        began = self._loop.time()
        try:
            if began >= self._owners_at:
                self._owned = _owned(self._open)
                self._owners_at = began + max(_PAUSE_OF_OWNERS, _REST * (self._loop.time() - began))
            found = [each.inode for each in diag.connections(self._ports(), diag.ESTABLISHED)]
        except (OSError, struct.error):
            self._open = dict.fromkeys(self._open)
            return
        for root, inodes in self._owned.items():
            self._open[root] = sum(inode in inodes for inode in found)
        pause = max(_PAUSE, _REST * (self._loop.time() - began))
        self._timer = self._loop.call_later(pause, self._look)


def _owned(roots: Collection[int]) -> dict[int, frozenset[int]]:
    """Inodes of the sockets of each process and its descendants; none whose descriptors are not shown to us.

    Raises OSError.
    """
    look = proctree.Look(proctree.snapshot())
    owned = {}
    for root in roots:
        with suppress(PermissionError):
            owned[root] = frozenset(inode for pid in look.families([root]) for inode in diag.sockets_of(pid))
    return owned
