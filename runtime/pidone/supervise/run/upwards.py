"""What whoever started us as a service is told of the whole: ready, reloading, stopping, how things stand."""

from collections.abc import Callable

from pidone.contracts import Clock, LogSink
from pidone.ecosystem.spec import Seconds
from pidone.init.service_manager import ServiceManager
from pidone.supervise.supervisor import Phase, Supervisor


class Upwards:
    """Tells a service manager (systemd, or podman with `--sdnotify=container`) when something has changed."""

    def __init__(self, manager: ServiceManager, supervisor: Supervisor, clock: Clock, log: LogSink) -> None:
        """Looks after each turn in which the supervisor has acted."""
        self._manager = manager
        self._supervisor = supervisor
        self._clock = clock
        self._log = log
        self._is_ready = False
        self._is_stopping = False
        self._is_deaf = False
        supervisor.on_turn = self.look
        self._ping()

    def look(self) -> None:
        """Say what is new."""
        supervisor, manager = self._supervisor, self._manager
        if supervisor.phase not in (Phase.NEW, Phase.RUNNING):
            if not self._is_stopping:
                self._is_stopping = True
                self._say(manager.stopping)
                self._say(lambda: manager.extend(supervisor.time_to_stop))
            return
        if supervisor.is_ready and not self._is_ready:
            self._is_ready = True
            self._say(manager.ready)
        needed = [app for app in supervisor.apps.values() if app.spec.autostart]
        ready = sum(app.is_ready for app in needed)
        self._say(lambda: manager.status(f"{ready} of {len(needed)} apps ready"))

    def reloading(self) -> None:
        """The file is read again; it is told when everything is ready then."""
        if self._is_ready:
            self._is_ready = False
            self._say(self._manager.reloading)

    def _ping(self) -> None:
        every: Seconds | None = self._manager.ping_every_s
        if every is not None:
            self._say(self._manager.alive)
            self._clock.call_later(every, self._ping)

    def _say(self, say: Callable[[], OSError | None]) -> None:
        error = say()
        if error is not None and not self._is_deaf:
            self._is_deaf = True
            why = f"the service manager at NOTIFY_SOCKET does not hear us: {error.strerror}"
            self._log.event("warning", "runtime.unheard", why)
