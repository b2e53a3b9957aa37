"""Processes that were spawned in vain: what else they were to have could not be had, and nobody knows them.

They may run already, so they hear of their end as every other process does.
"""

import signal
from typing import Final

from pidone.contracts import Clock
from pidone.ecosystem.spec import Seconds
from pidone.init import proctree
from pidone.init.reaper import Reaper

PATIENCE_S: Final[Seconds] = 1.0
"""Until SIGKILL: they have done nothing yet that would take time to finish."""


class TakenBack:
    """All of a runtime's that have not ended yet."""

    def __init__(self, clock: Clock, reaper: Reaper) -> None:
        self._clock = clock
        self._reaper = reaper
        self._left: set[int] = set()

    def end(self, pid: int, number: int) -> None:
        """Ask it, with its group, by this signal."""
        self._left.add(pid)
        self._reaper.watch(pid, lambda _status: self._left.discard(pid))
        _signal(pid, number)
        self._clock.call_later(PATIENCE_S, lambda: self._kill(pid))

    def kill_all(self) -> None:
        """The runtime ends: nobody waits for them any longer."""
        for pid in tuple(self._left):
            self._kill(pid)

    def _kill(self, pid: int) -> None:
        if pid in self._left:
            _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: int) -> None:
    for target in (-pid, pid):
        proctree.deliver(target, number)
