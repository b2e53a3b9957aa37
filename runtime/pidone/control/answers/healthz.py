"""Kubernetes' probes, answered from memory: nothing is measured, asked or waited for."""

from typing import Final

from pidone.control.answers.diagnosis import Diagnoser
from pidone.control.answers.views import app_state
from pidone.control.http.messages import TEXT, Answer, Request, Response
from pidone.control.http.router import Access, Handler, Route
from pidone.supervise.app import App
from pidone.supervise.ledger import Happening
from pidone.supervise.run.session import Parts
from pidone.supervise.supervisor import Phase, Supervisor

_YES: Final = Response(200, b"ok\n", TEXT)
_NO: Final = Response(503, b"not ready\n", TEXT)


class Probes:
    """/livez, /readyz and /startupz."""

    def __init__(self, parts: Parts) -> None:
        """Looks once whenever an instance comes online, so that a short readiness counts for /startupz."""
        self._supervisor: Supervisor = parts.supervisor
        self._loop = parts.loop
        self._diagnosis = Diagnoser(parts.relay)
        self._was_ready = False
        parts.ledger.listeners.append(self._heard)
        self._look()

    def routes(self) -> list[Route]:
        """The three paths."""
        return [
            _probe("/livez", self.live, "The runtime's loop turns."),
            _probe("/readyz", self.ready, "Every app that must be ready is, and no stop was asked for."),
            _probe("/startupz", self.started, "Everything has been ready at least once."),
        ]

    def live(self, request: Request) -> Answer:
        """Whoever gets this answer has proof that the loop turns; nothing else counts here."""
        del request
        return _YES

    def ready(self, request: Request) -> Answer:
        """Every app that must be ready is, and nobody has asked for a stop."""
        is_ready = self._supervisor.is_ready
        if "verbose" not in request.query:
            return _YES if is_ready else _NO
        lines = [self._line(app) for app in self._needed()]
        if self._supervisor.phase is not Phase.RUNNING and not is_ready:
            lines.append(f"[-] runtime {self._supervisor.phase.name.lower()}")
        elif self._supervisor.is_draining:
            lines.append("[-] runtime draining")
        lines.append("ok" if is_ready else "not ready")
        return Response(200 if is_ready else 503, ("\n".join(lines) + "\n").encode(), TEXT)

    def started(self, request: Request) -> Answer:
        """Everything has been ready at least once."""
        del request
        self._look()
        return _YES if self._was_ready else _NO

    def _line(self, app: App) -> str:
        why = self._diagnosis.of(app, self._supervisor.waits_for(app))[0].why
        return f"[{'+' if app.is_ready else '-'}] {app.name} {app_state(app)}" + (f": {why}" if why else "")

    def _needed(self) -> list[App]:
        return [app for app in self._supervisor.apps.values() if app.spec.autostart]

    def _heard(self, happening: Happening) -> None:
        if not self._was_ready and happening.event == "instance.online":
            self._loop.call_soon(self._look)  # the event comes before the state it tells of

    def _look(self) -> None:
        self._was_ready = self._was_ready or self._supervisor.is_ready


def _probe(path: str, handler: Handler, summary: str) -> Route:
    query = ("verbose",) if path == "/readyz" else ()
    return Route("GET", path, Access.READ, handler, summary, "Text", query=query, content=(TEXT,))
