"""When a program listens on a port of its own: looked up in the kernel's tables, for nobody tells us.

For apps that share nothing and declare nothing, whose port is known (`PORT`). No filter, no privilege, no
question to the program: the socket that listens there has to be one of its process or of a descendant. Until
then time counts as without this (`ready_delay`), except that one which is still at work (Java, a bundler,
an interpreter that imports) gets time until it is at rest: listen_timeout at most, of its own time.
"""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from pidone.contracts import Clock, Report
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.record import EMPTY

if TYPE_CHECKING:
    from pidone.listen.readiness.looks import StartLooks
    from pidone.listen.readiness.rest import Idleness


class OwnPort:
    """Looked at until it listens, is online for another reason, or has ended."""

    def __init__(self, all_: "StartLooks", clock: Clock, app: AppSpec, port: int, report: Report) -> None:
        """`report` hears when the process listens on `port`."""
        self.pid = 0
        self._all = all_
        self._clock = clock
        self._app = app
        self._port = port
        self._report = report
        self._began_at: Seconds = 0.0
        self._rest: Idleness | None = None

    def spawned(self, pid: int) -> None:
        """The process runs."""
        self.pid = pid
        self._began_at = self._clock.time()
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
        from pidone.demand import demand  # noqa: PLC0415 (after the start)
        from pidone.listen.readiness.rest import MORE, Idleness  # noqa: PLC0415 (likewise)
        from pidone.listen.sockets import diag  # noqa: PLC0415 (likewise)

        inodes = frozenset(listeners.get(self._port, ()))
        if inodes and any(not inodes.isdisjoint(diag.sockets_of(pid)) for pid in family):
            self.close()
            self._report.ready("listening")
            return
        if self._rest is None:
            self._rest = Idleness(self._began_at)
        self._rest.add(demand(family), self._clock.time())
        if self._rest.own_time >= max(self._app.listen_timeout, self._app.ready_delay):
            self.close()
        elif not self._rest.is_proven:
            self._report.extend(MORE + again_in)


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

    def close(self, _code: int | None = None, /) -> None:
        self._look.close()
