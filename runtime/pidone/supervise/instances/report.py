"""One incarnation's voice: what it says reaches its instance only while it is the current one."""

from typing import Protocol

from pidone.ecosystem.spec import Seconds
from pidone.init.reaper import ExitStatus
from pidone.supervise.collaborators import Process
from pidone.supervise.instances.states import Event


class Hearer(Protocol):
    """Whose incarnations report: an instance."""

    incarnation: int
    process: Process | None
    status_text: str

    def handle(self, event: Event, /) -> None: ...

    def prepared(self, why_not: str) -> None: ...

    def exited(self, status: ExitStatus) -> None: ...

    def became_ready(self, how: str) -> None: ...

    def became_unhealthy(self, why: str) -> None: ...

    def became_hung(self, why: str, stack: str) -> None: ...

    def extend_timeout(self, delay: Seconds) -> None: ...

    def received(self, value: object) -> None: ...


class IncarnationReport:
    """What one incarnation has to say, whoever passes it on."""

    def __init__(self, instance: Hearer, incarnation: int) -> None:
        self._instance = instance
        self._incarnation = incarnation

    @property
    def _current(self) -> bool:
        return self._instance.incarnation == self._incarnation

    def prepared(self, why_not: str) -> None:
        if self._current:
            self._instance.prepared(why_not)

    def released(self) -> None:
        if self._current:
            self._instance.handle(Event.RELEASED)

    def exited(self, status: ExitStatus) -> None:
        if self._current:
            self._instance.exited(status)

    def gone(self) -> None:
        if self._current:
            self._instance.handle(Event.GONE)

    def ready(self, how: str) -> None:
        if self._current:
            self._instance.became_ready(how)

    def failed(self, why: str) -> None:
        if self._current:
            self._instance.became_unhealthy(why)

    def hung(self, why: str, stack: str = "") -> None:
        if self._current:
            self._instance.became_hung(why, stack)

    def status(self, text: str) -> None:
        if self._current:
            self._instance.status_text = text

    def drained(self) -> None:
        if self._current:
            self._instance.handle(Event.DRAINED)

    def extend(self, seconds: Seconds) -> None:
        if self._current:
            self._instance.extend_timeout(seconds)

    def main_pid(self, pid: int) -> None:
        if self._current and self._instance.process is not None:
            self._instance.process.follow(pid)

    def message(self, value: object) -> None:
        if self._current:
            self._instance.received(value)
