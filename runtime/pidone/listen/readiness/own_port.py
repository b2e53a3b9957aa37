"""When a program listens on a port of its own: looked up in the kernel's tables, for nobody tells us.

For apps that share nothing and declare nothing, whose port is known (`PORT`). No filter, no privilege, no
question to the program: the socket that listens there has to be one of its process or of a descendant. Until
then time counts as without this (`ready_delay`), except that one which is still at work (Java, a bundler,
an interpreter that imports) gets time as long as it computes.
"""

import struct
from collections.abc import Callable, Collection, Mapping
from time import process_time
from typing import Final

from pidone.contracts import Clock, Report, Timer
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.record import EMPTY

_FIRST: Final[Seconds] = 0.1
"""The runtime's own start is over then, and few programs listen earlier."""
_PAUSE: Final[Seconds] = 0.05
_REST: Final = 20
"""A look is followed by a pause of so many times the CPU time it took: many cost no more than one."""
_MOST: Final = 100
"""Programs looked at in one turn; the others' turn comes next."""
_MORE: Final[Seconds] = 0.5
"""What a program at work gets beyond the next look."""
_IDLE: Final[Seconds] = 0.25
"""One that has used no CPU for this long waits for something else than itself."""


class OwnPorts:
    """All programs of a runtime that are looked at: together, since each look reads all of /proc."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[OwnPort, None] = {}
        self._timer: Timer | None = None
        self._pause: Seconds = _PAUSE

    def add(self, look: "OwnPort") -> None:
        """Look at this one too, not before a moment has passed."""
        self._waiting[look] = None
        if self._timer is None:
            self._timer = self._clock.call_later(_FIRST, self._look)

    def discard(self, look: "OwnPort") -> None:
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


class OwnPort:
    """Looked at until it listens, is online for another reason, or has ended."""

    def __init__(self, all_: OwnPorts, clock: Clock, app: AppSpec, port: int, report: Report) -> None:
        """`report` hears when the process listens on `port`."""
        self.pid = 0
        self._all = all_
        self._clock = clock
        self._app = app
        self._port = port
        self._report = report
        self._ends: Seconds = 0.0
        self._used = -1
        self._used_at: Seconds = 0.0

    def spawned(self, pid: int) -> None:
        """The process runs."""
        self.pid = pid
        self._used_at = self._clock.time()
        self._ends = self._used_at + max(self._app.listen_timeout, self._app.ready_delay)
        self._all.add(self)

    def watch(self) -> None:
        """It is online, by us or by time."""
        self.close()

    def unwatch(self) -> None:
        """It is about to stop."""
        self.close()

    def close(self) -> None:
        """Nothing more is to be found out."""
        self._all.discard(self)

    def judge(
        self, listeners: Mapping[int, Collection[int]], family: Collection[int], *, again_in: Seconds
    ) -> None:
        """By the sockets that listen at each port, and the pids of the process and its descendants.

        Raises OSError.
        """
        from pidone.listen.sockets import diag  # noqa: PLC0415 (as above)

        inodes = frozenset(listeners.get(self._port, ()))
        if inodes and any(not inodes.isdisjoint(diag.sockets_of(pid)) for pid in family):
            self.close()
            self._report.ready("listening")
            return
        now = self._clock.time()
        if now >= self._ends:
            self.close()
            return
        used = sum(map(_cpu_ticks, family))
        if used != self._used:
            self._used, self._used_at = used, now
        if now < self._used_at + _IDLE:
            self._report.extend(_MORE + again_in)


class OwnPortHandover:
    """For an app that needs nothing else: `Handover`, with this look."""

    env: Mapping[str, str] = EMPTY
    pid_vars: tuple[str, ...] = ()
    fds: Mapping[int, int] = EMPTY
    before_exec: Callable[[], None] | None = None
    announces = False
    cut: int | None = None

    def __init__(self, argv: tuple[str, ...], look: OwnPort) -> None:
        self.argv = argv
        self._look = look

    def spawned(self, pid: int) -> None:
        self._look.spawned(pid)

    def online(self) -> None:
        self._look.watch()

    def drain(self) -> bool:
        self._look.unwatch()
        return False

    def send(self, message: object) -> bool:  # noqa: ARG002
        return False

    def close(self) -> None:
        self._look.close()


def _cpu_ticks(pid: int) -> int:
    """What a process has computed so far, in the kernel's ticks; 0 if it is gone."""
    from pidone import procstat  # noqa: PLC0415

    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            fields = procstat.fields(file.read())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return sum(map(int, fields[procstat.CPU_TIMES]))
