"""When a program listens on a port of its own: looked up in the kernel's tables, for nobody tells us.

For apps that share nothing and declare nothing, whose port is known (`PORT`). No filter, no privilege, no
question to the program: the socket that listens there has to be one of its process or of a descendant. Until
then time counts as without this (`ready_delay`), except that one which is still at work (Java, a bundler,
an interpreter that imports) gets time as long as it computes.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Final

from pidone.contracts import Clock, Report, Timer
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.record import EMPTY

_FIRST: Final[Seconds] = 0.1
"""The runtime's own start is over then, and few programs listen earlier."""
_PAUSE: Final[Seconds] = 0.05
_MORE: Final[Seconds] = 0.5
"""What a program at work gets, from each look on."""
_IDLE: Final[Seconds] = 0.25
"""One that has used no CPU for this long waits for something else than itself."""


class OwnPort:
    """Looks until it listens, is online for another reason, or has ended."""

    def __init__(self, clock: Clock, app: AppSpec, port: int, report: Report) -> None:
        """`report` hears when the process listens on `port`."""
        self._clock = clock
        self._app = app
        self._port = port
        self._report = report
        self._pid = 0
        self._timer: Timer | None = None
        self._ends: Seconds = 0.0
        self._used = -1
        self._used_at: Seconds = 0.0

    def spawned(self, pid: int) -> None:
        """The process runs."""
        self._pid = pid
        self._used_at = self._clock.time()
        self._ends = self._used_at + max(self._app.listen_timeout, self._app.ready_delay)
        self._timer = self._clock.call_later(_FIRST, self._look)

    def watch(self) -> None:
        """It is online, by us or by time."""
        self.close()

    def unwatch(self) -> None:
        """It is about to stop."""
        self.close()

    def close(self) -> None:
        """Nothing more is to be found out."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        try:
            listens, is_at_work = self._see()
        except (OSError, struct.error):  # a sandbox that does not show it (gVisor): time has to do
            return
        if listens:
            self._report.ready("listening")
            return
        if self._clock.time() >= self._ends:
            return
        if is_at_work:
            self._report.extend(_MORE)
        self._timer = self._clock.call_later(_PAUSE, self._look)

    def _see(self) -> tuple[bool, bool]:
        """Whether it listens, and whether it is still at work. Raises OSError, struct.error."""
        from pidone.init import proctree  # noqa: PLC0415 (none of this is needed for a start)
        from pidone.listen.sockets import diag  # noqa: PLC0415

        listeners = {each.inode for each in diag.connections([self._port], diag.LISTEN)}
        family = proctree.Look(proctree.snapshot()).families([self._pid])
        if any(not listeners.isdisjoint(diag.sockets_of(pid)) for pid in family if listeners):
            return True, False
        used = sum(map(_cpu_ticks, family))
        now = self._clock.time()
        if used != self._used:
            self._used, self._used_at = used, now
        return False, now < self._used_at + _IDLE


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
