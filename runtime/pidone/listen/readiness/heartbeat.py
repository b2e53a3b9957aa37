"""Finds a worker whose event loop does not turn any more, though its process lives and its port is open.

It is asked over a channel that its loop has to answer, or has agreed to tell that it turns. What looks like
silence and is none: a process that was stopped (a debugger, SIGSTOP, a frozen container), one that gets no
processor, and a time in which we did not run ourselves. So only two things count: that it waits for something
else than a processor whenever we look, and what it has used of one.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Final

from pidone import procfs
from pidone.ecosystem.spec import Seconds

BEATS: Final = 6
"""How often it is asked before it counts as hung, within the time it has."""
_LATE: Final = 0.5
"""Share of the time between two looks by which ours may come late: beyond that nobody ran as they should."""
_IDLE: Final = 0.1
"""One that uses less than that of the time, and does not want to run, waits for something."""
_TICK: Final[Seconds] = 1 / os.sysconf("SC_CLK_TCK")
_STOPPED: Final = "Tt"
"""States of a process that somebody holds: SIGSTOP, a freezer of its own, a debugger."""


class Heartbeat:
    """Asks one thread of a process, from the time it is online until it is told to stop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        patience: Seconds,
        ask: Callable[[], bool],
        on_hung: Callable[[str], None],
        *,
        lacks: str = "its event loop has not turned",
        proc: str = "/proc",
    ) -> None:
        """`ask` sends a question (False: nobody is there); `answered` is called for the answer.

        `lacks` is what is said of one that hangs; `proc` is where the kernel tells of processes.
        """
        self._loop = loop
        self._every = patience / BEATS
        self._patience = patience
        self._ask = ask
        self._on_hung = on_hung
        self._lacks = lacks
        self._proc = proc
        self._timer: asyncio.TimerHandle | None = None
        self._path = ""
        self._is_awaited = False
        self._waited = 0
        """Looks since it was heard last at which it waited for something, not for a processor."""
        self._due = 0.0
        self._used_before = 0.0
        self._burnt = 0.0
        """Seconds of CPU that it has used since it was heard last."""
        self._heard = 0.0

    def spawned(self, pid: int, thread: int | None = None) -> None:
        """Whom to look at: the main thread of a process, or another one of it."""
        self._path = f"{self._proc}/{pid}/task/{thread or pid}"

    def begin(self) -> None:
        """It serves now."""
        if self._timer is None:
            self._used_before = self._used()[1]
            self._heard = self._loop.time()
            self._next()

    def answered(self) -> None:
        """Its loop turns."""
        self._is_awaited = False
        self._waited = 0
        self._burnt = 0.0
        self._heard = self._loop.time()

    def close(self) -> None:
        """It is told to stop, or has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> None:
        if not self._is_awaited:
            self._is_awaited = self._ask()
        self._due = self._loop.time() + self._every
        self._timer = self._loop.call_later(self._every, self._look)

    def _look(self) -> None:
        state, used = self._used()
        was_late = self._loop.time() - self._due > _LATE * self._every
        got, self._used_before = (used - self._used_before) / self._every, used
        if not state:  # it has ended; others hear of that
            self._timer = None
            return
        if not self._is_awaited or state in _STOPPED or self._is_traced():
            self._waited, self._burnt = 0, 0.0  # begin anew
        elif state != "R" and got < _IDLE:
            self._waited += not was_late
        else:
            self._burnt += got * self._every
        if self._has_had_its_chance():
            self._timer = None
            self._on_hung(f"{self._lacks} for {self._patience:g} s: {self._doing(state, got)}")
        else:
            self._next()

    def _has_had_its_chance(self) -> bool:
        """Whether it has been silent for long, and not because others kept it from running.

        What it has used counts twice: on a busy machine half of the processor is more than its share.
        """
        evidence = self._waited * self._every + 2 * self._burnt
        is_silent = self._loop.time() - self._heard >= self._patience - self._every / 2
        return self._is_awaited and is_silent and evidence >= self._patience - self._every / 2

    def _used(self) -> tuple[str, Seconds]:
        """State and CPU time in seconds."""
        try:
            fields = procfs.fields(procfs.read_text(f"{self._path}/stat"))
        except OSError:
            return "", self._used_before
        return fields[procfs.STATE], sum(map(int, fields[procfs.CPU_TIMES][:2])) * _TICK

    def _is_traced(self) -> bool:
        with contextlib.suppress(OSError):
            for line in procfs.read_bytes(f"{self._path}/status").splitlines():
                if line.startswith(b"TracerPid:"):
                    return line.split()[1] != b"0"
        return False

    def _doing(self, state: str, got: float) -> str:
        """What the kernel sees of the thread."""
        if state == "R" or got > 0.5:
            return f"it computes without an end ({got:.0%} of a CPU)"
        where = ""
        with contextlib.suppress(OSError), open(f"{self._path}/wchan", encoding="ascii") as file:
            where = file.read().strip("0")
        return f"it waits in the kernel{f' ({where})' if where else ''}"
