"""What a program wants of processors: what it had, and how long it stood in their queue.

By these, time can be told that is a program's own, on a machine that has too little for all, or in a
container whose CPU limit is used up.
Protocol: proc_pid_stat(5); /proc/PID/task/TID/schedstat, Documentation/scheduler/sched-stats.rst.
"""

import os
from collections.abc import Iterable
from typing import Final

from pidone import procfs
from pidone.ecosystem.spec import Seconds

_QUEUED: Final = "R"
"""Runs, or would like to."""
_HELD: Final = "DTt"
"""Waits for a disk, or is held by somebody (SIGSTOP, a debugger)."""
_ALL_BUT: Final = 0.05
"""Share of a time that may be wanting of it."""
_AGAIN: Final[Seconds] = 0.25
"""Until somebody who lacks time is looked at again, at least."""
_JUST_NOW: Final[Seconds] = 2 * _AGAIN
"""Who has moved since a look that is no older does not stand in the queue for long."""
_TICK: Final[Seconds] = 1 / os.sysconf("SC_CLK_TCK")
_NS: Final = 1e-9


class Demand:
    """What some processes, and those of their children that they have buried, have wanted of processors."""

    __slots__ = ("had", "lacked", "of", "states")

    def __init__(
        self, of: frozenset[int], *, had: Seconds = 0.0, lacked: Seconds = 0.0, states: str = ""
    ) -> None:
        self.of = of
        """Their pids."""
        self.had = had
        self.lacked = lacked
        """Time that they stood in a processor's queue; it counts when they have left that."""
        self.states = states
        """Of all their threads at this moment, as letters of ps."""

    @property
    def is_queued(self) -> bool:
        """Whether one of them runs, or would like to."""
        return _QUEUED in self.states

    @property
    def wants_now(self) -> bool:
        """Whether one of them is not just waiting for something that may come."""
        return self.is_queued or any(state in self.states for state in _HELD)

    def own_time(self, passed: Seconds) -> Seconds:
        """How much of the time that has passed since they began was their own: all but what they lacked.

        Of many that want at once, some have what others lack: then it is the share that they had.
        """
        wanted = self.had + self.lacked
        return passed - self.lacked * min(1.0, passed / wanted) if wanted > 0 else passed


class Shortage:
    """Whether somebody has had so much time of its own, over the looks at it so far."""

    def __init__(self, patience: Seconds) -> None:
        """Nobody has looked."""
        self._patience = patience
        self._looked: Seconds | None = None
        """When it was looked at last."""
        self._wanted: Seconds = 0.0
        """At that look."""

    def left(self, passed: Seconds, now: Demand) -> Seconds:
        """What it still lacks, for want of a processor, when so much has passed since it began; 0: nothing.

        What it waits for at this moment is counted when it is over: where that may be much, we look again.
        """
        looked, before = self._looked, self._wanted
        self._looked, self._wanted = passed, now.had + now.lacked
        enough = _ALL_BUT * self._patience
        lacking = self._patience - now.own_time(passed)
        if lacking > enough:
            return max(lacking, _AGAIN)
        has_moved = looked is not None and passed - looked <= _JUST_NOW and self._wanted > before
        return _AGAIN if now.is_queued and not has_moved and passed - self._wanted > enough else 0.0


def demand(pids: Iterable[int]) -> Demand:
    """Of these processes at this moment. Those that are gone want nothing."""
    had = lacked = 0.0
    states = ""
    seen = frozenset(pids)
    for pid in seen:
        of_children = 0.0
        for thread in _entries(f"/proc/{pid}/task"):
            fields = procfs.fields(_text(f"/proc/{pid}/task/{thread}/stat"))
            if not fields:  # it has ended meanwhile
                continue
            states += fields[procfs.STATE]
            own, children = fields[procfs.CPU_TIMES][:2], fields[procfs.CPU_TIMES][2:]
            of_children = sum(map(int, children)) * _TICK  # each thread's says the same
            times = _text(f"/proc/{pid}/task/{thread}/schedstat").split()
            if len(times) > 1:
                had, lacked = had + int(times[0]) * _NS, lacked + int(times[1]) * _NS
            else:  # a kernel without CONFIG_SCHED_INFO
                had += sum(map(int, own)) * _TICK
        had += of_children
    return Demand(seen, had=had, lacked=lacked, states=states)


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _text(path: str) -> str:
    try:
        return procfs.read_text(path)
    except OSError:
        return ""
