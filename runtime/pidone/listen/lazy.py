"""The broker at the door: an app that needs neither ports nor channels costs nothing of `listen/`."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from pidone.contracts import Clock, Handover, InstanceId, NoHandover, Report, SocketBroker
from pidone.ecosystem.spec import AppSpec, ExecMode
from pidone.listen import needs

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from pidone.listen.readiness.looks import StartLooks
    from pidone.listen.readiness.probes import RunCommand
    from pidone.listen.sockets.app_ports import EventLog


def needs_handover(app: AppSpec) -> bool:
    """Whether anything but a command line has to be handed to its processes."""
    return bool(
        app.listen
        or app.exec_mode is ExecMode.CLUSTER
        or app.share in ("python", "kernel")
        or app.ready.is_reported
        or app.health is not None
        or app.increment_var is not None
        or "WATCHDOG_USEC" in app.env
        or any("{fd" in word for word in app.argv)
        or needs.has_ipc(app)
    )


class LazyBroker:
    """Loads the real broker when the first app needs it."""

    def __init__(
        self, loop: "AbstractEventLoop", log: "EventLog", deadlines: Clock, run_command: "RunCommand"
    ) -> None:
        """The arguments are those of PortBroker."""
        self._loop = loop
        self._log = log
        self._deadlines = deadlines
        self._run_command = run_command
        self._made: SocketBroker | None = None
        self._made_looks: StartLooks | None = None

    @property
    def _real(self) -> SocketBroker:
        if self._made is None:
            from pidone.listen.broker import PortBroker  # noqa: PLC0415 (what this class is about)

            self._made = PortBroker(
                *(self._loop, self._log, self._deadlines, self._run_command), looks=lambda: self._looks
            )
        return self._made

    @property
    def _looks(self) -> "StartLooks":
        if self._made_looks is None:
            from pidone.listen.readiness.looks import StartLooks  # noqa: PLC0415 (as above)

            self._made_looks = StartLooks(self._loop)
        return self._made_looks

    def open(self, app: AppSpec, old: AppSpec | None = None, leaving: Collection[int] = ()) -> bool:
        """As `SocketBroker.open`."""
        # Made: the app may have had sockets before.
        return (self._made is not None or needs_handover(app)) and self._real.open(app, old, leaving)

    def prepare(self, app: AppSpec, who: InstanceId, report: Report) -> Handover:
        """As `SocketBroker.prepare`."""
        if needs_handover(app):
            return self._real.prepare(app, who, report)
        port = needs.seen_port(app, who.index)
        if port is None:
            return NoHandover(app.argv)
        from pidone.listen.readiness.own_port import OwnPort, OwnPortHandover  # noqa: PLC0415 (as above)

        return OwnPortHandover(app.argv, OwnPort(self._looks, self._loop, app, port, report))

    def retire(self, app: AppSpec, index: int) -> None:
        """As `SocketBroker.retire`."""
        if self._made is not None:
            self._made.retire(app, index)

    def close(self, app: AppSpec) -> None:
        """As `SocketBroker.close`."""
        if self._made is not None:
            self._made.close(app)
