"""Owner of every listening socket, and the place where the supervisor gets each handover from."""

import asyncio
import itertools
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

from pidone.contracts import Clock, InstanceId, Report
from pidone.ecosystem.spec import AppSpec
from pidone.errors import ListenError, PortTakenError
from pidone.listen import needs
from pidone.listen.assemble import Assembly, HandoverRequest
from pidone.listen.handover import ProcessHandover
from pidone.listen.readiness.probes import RunCommand, check_of
from pidone.listen.sockets.address import of_listen
from pidone.listen.sockets.app_ports import AppPorts, EventLog
from pidone.listen.sockets.hangup import HangupWatch

if TYPE_CHECKING:
    from pidone.listen.readiness.looks import StartLooks
    from pidone.listen.sockets.cut import OpenConnections

_NOTICES: Final = 20
"""Different notices per app: one that finds ever new nonsense must not fill log and memory."""


class PortBroker:
    """The broker in production; one per runtime."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: EventLog,
        deadlines: Clock,
        run_command: RunCommand | None = None,
        *,
        looks: "Callable[[], StartLooks]",
    ) -> None:
        """`deadlines` is the clock for what is held against somebody.

        `run_command` runs the commands of exec probes; without it they are refused.
        """
        self._loop = loop
        self._log = log
        self._deadlines = deadlines
        self._run_command = run_command
        self._looks = looks
        self._hangups = HangupWatch(loop)
        self._connections: OpenConnections | None = None
        self._ports: dict[tuple[str, str], AppPorts] = {}
        self._worker_ids = itertools.count(1)
        self._notices: dict[tuple[str, str], set[str]] = {}

    def open(self, app: AppSpec, old: AppSpec | None = None, leaving: Collection[int] = ()) -> bool:
        """Bind what `app.listen` names and check what can be checked. Raises ListenError; idempotent.

        An app that was called `old` has the ports of that one, whose processes use them until they have gone.
        What those `leaving` hold themselves waits for that, too.
        """
        app = _resolved(app)
        self._check(app)
        known = self._ports.get(app.key())
        if known is not None and known.app.key() != app.key() and known.app.key() in self._ports:
            return False  # it has left them to another app, which has the say about them
        if known is None and old is not None:
            known = self._ports.get(old.key())
        ports = known or AppPorts(
            app, self._loop, self._log, self._once, self._hangups, self._open_connections
        )
        try:
            waits = ports.open(app, leaving)
        except PortTakenError as error:
            self._close_new(ports)
            raise PortTakenError(f"{error}{self._holder(ports, app)}", app.key()) from error
        except ListenError:
            self._close_new(ports)
            raise
        self._ports[app.key()] = ports
        return waits

    def prepare(self, app: AppSpec, who: InstanceId, report: Report) -> ProcessHandover:
        """Prepare one incarnation. Raises ListenError."""
        known = self._ports.get(app.key())
        if known is None:
            self.open(app)
        else:
            known.open_rest()
        app = _resolved(app)
        request = HandoverRequest(
            loop=self._loop,
            app=app,
            who=who,
            report=report,
            ports=self._ports[app.key()],
            worker_id=next(self._worker_ids),
            run_command=self._run_command,
            deadlines=self._deadlines,
            looks=self._looks,
            on_ignored=lambda reason: self._ignored(app, who, reason),
        )
        try:
            return Assembly(request).handover()
        except OSError as error:
            raise ListenError(f"{app.name}: {error.strerror}") from error

    def retire(self, app: AppSpec, index: int) -> None:
        """A slot was scaled away: what is still queued on its sockets goes to the others."""
        if app.key() in self._ports:
            self._ports[app.key()].retire(index)

    def close(self, app: AppSpec) -> None:
        """The app is gone for good: close its sockets."""
        ports = self._ports.pop(app.key(), None)
        if ports is not None:
            if ports in self._ports.values():
                ports.old_app_gone()
            else:
                ports.close()
        self._notices.pop(app.key(), None)

    def _close_new(self, ports: AppPorts) -> None:
        if ports not in self._ports.values():
            ports.close()

    def _holder(self, ports: AppPorts, app: AppSpec) -> str:
        """Which other app has what this one wants, in words; empty if none has."""
        wanted = [of_listen(entry) for entry in app.listen]
        names = (each.app.name for each in self._ports.values() if each is not ports and each.holds(wanted))
        return next((f", where {name} listens" for name in names), "")

    def _open_connections(self) -> "OpenConnections":
        if self._connections is None:
            from pidone.listen.sockets.cut import OpenConnections  # noqa: PLC0415 (a start needs none of it)

            self._connections = OpenConnections(self._loop)
        return self._connections

    def _check(self, app: AppSpec) -> None:
        needs.check(app)
        port = needs.own_port(app, 0)
        for probe in filter(None, (app.ready.probe, app.health)):
            check_of(probe, app, port, self._run_command)
            if (probe.http or "").startswith("/") and app.instances != 1 and app.increment_var is None:
                self._once(
                    app,
                    "probe.shared",
                    f"port {port} is that of all instances: a probe of it says nothing about one",
                )

    def _ignored(self, app: AppSpec, who: InstanceId, reason: str) -> None:
        self._once(app, "channel.ignored", f"ignored what instance {who.index} sent: {reason}", key=reason)

    def _once(self, app: AppSpec, event: str, message: str, *, key: str = "") -> None:
        said = self._notices.setdefault(app.key(), set())
        if event + key not in said and len(said) < _NOTICES:
            said.add(event + key)
            self._log.event("warning", event, message, **app.labels())


def _resolved(app: AppSpec) -> AppSpec:
    """The app with real addresses in the place of `fd:NAME`. Raises ListenError."""
    if not any(entry.kind == "fd" for entry in app.listen):
        return app
    from pidone.listen.sockets.adopted import resolve  # noqa: PLC0415 (few are given sockets)

    return resolve(app)
