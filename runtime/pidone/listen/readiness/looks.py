"""All programs of a runtime whose start is judged by what the kernel shows: looked at together.

Each look reads all of /proc: many programs cost no more than one.
"""

import struct
from collections.abc import Collection, Mapping
from time import process_time
from typing import Final, Protocol

from pidone.contracts import Clock, Timer
from pidone.ecosystem.spec import Seconds

_FIRST: Final[Seconds] = 0.1
"""The runtime's own start is over then, and few programs listen earlier."""
_PAUSE: Final[Seconds] = 0.05
_REST: Final = 20
"""A look is followed by a pause of so many times the CPU time it took."""
_MOST: Final = 100
"""Programs looked at in one turn; the others' turn comes next."""


class Starting(Protocol):
    """One program that is looked at."""

    pid: int

    def judge(
        self, listeners: Mapping[int, Collection[int]], family: Collection[int], *, again_in: Seconds
    ) -> None:
        """By the sockets that listen at each port, and the pids of the process and its descendants.

        The next look is not before `again_in`. Raises OSError where it may not be looked at.
        """

    def close(self) -> None:
        """It cannot be judged."""


class StartLooks:
    """The timer, and whose turn it is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[Starting, None] = {}
        self._timer: Timer | None = None
        self._pause: Seconds = _PAUSE

    def add(self, look: Starting) -> None:
        """Look at this one too, not before a moment has passed."""
        self._waiting[look] = None
        if self._timer is None:
            self._timer = self._clock.call_later(_FIRST, self._look)

    def discard(self, look: Starting) -> None:
        """Nothing more is to be found out about this one."""
        self._waiting.pop(look, None)
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        from pidone.init import proctree  # noqa: PLC0415 (none of this is needed for a start)
        from pidone.listen.sockets import diag  # noqa: PLC0415

        began = process_time()
        self._timer = None
        turn = list(self._waiting)[:_MOST]
        try:
            listeners = diag.listeners()
            processes = proctree.Look(proctree.snapshot())
        except (OSError, struct.error):  # a sandbox that does not show it (gVisor): time has to do
            for look in list(self._waiting):
                look.close()
            self._waiting.clear()
            return
        for look in turn:
            try:
                look.judge(listeners, processes.families([look.pid]), again_in=self._pause)
            except OSError:  # another user's, whose descriptors are not ours to see
                look.close()
            if look in self._waiting:  # to the end of the line
                del self._waiting[look]
                self._waiting[look] = None
        if self._waiting and self._timer is None:
            self._pause = max(_PAUSE, _REST * (process_time() - began))
            self._timer = self._clock.call_later(self._pause, self._look)
