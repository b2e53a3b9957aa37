"""Who waits for which outside service, since when, and what comes of it.

An app waits from the moment its dependencies are satisfied until each of its services has answered once; what
is looked at, and how often, is `look`'s business. The supervisor asks for the answer whenever it looks at an
app that waits, and hears when that may be another one.
"""

import os
from collections.abc import Iterable, Iterator
from functools import partial
from signal import SIGKILL
from typing import TYPE_CHECKING

from pidone.contracts import Clock, LogSink, Timer
from pidone.descriptors import close
from pidone.ecosystem.spec import AppSpec, OnWaitTimeout, RuntimeSpec, Seconds
from pidone.init import proctree
from pidone.init.reaper import Reaper
from pidone.supervise.app import App
from pidone.supervise.instances.delegate import Outside
from pidone.supervise.outside.look import ANSWERED, start_look
from pidone.supervise.wanted import Run

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_CHUNK = 4096
_NOT_YET = "no answer yet"
_KILLED = "whoever looked was killed"
_STOPPED = "whoever looked was stopped"


class _Look:
    """A service that is looked at, for one app or several."""

    def __init__(self, service: str, interval: Seconds) -> None:
        self.service = service
        self.interval = interval
        self.problem = _NOT_YET
        self.pid: int | None = None
        self.fd = -1
        self.again: Timer | None = None
        self.unread = b""
        self.end = _KILLED
        """What it is called when it has ended without an answer."""


class _Wait:
    """An app that waits."""

    def __init__(self, app: App, since: Seconds) -> None:
        self.app = app
        self.since = since
        self.there: set[str] = set()
        """Services that have answered."""
        self.told: dict[str, str] = {}
        """What was last told of each."""
        self.judged: Seconds = 0.0
        """What had happened until then has been heard: who has not answered by his time before it is late."""
        self.due: Seconds | None = None
        """When the time of the next one will be up."""
        self.timer: Timer | None = None


class Services:
    """Everything that is waited for."""

    def __init__(
        self,
        runtime: RuntimeSpec,
        *,
        loop: "AbstractEventLoop",
        deadlines: Clock,
        reaper: Reaper,
        log: LogSink,
    ) -> None:
        """`runtime` names what every app waits for; nothing is looked at before an app waits."""
        self.runtime = runtime
        self._loop = loop
        self._deadlines = deadlines
        self._reaper = reaper
        self._log = log
        self._waits: dict[tuple[str, str], _Wait] = {}
        self._looks: dict[str, _Look] = {}

    def answer(self, app: App) -> Outside:
        """How it stands for an app that waits and whose dependencies are satisfied; begins to look."""
        wait = self._waits.get(app.spec.key())
        if wait is None or wait.app is not app:  # also of an app that another spec has taken the place of
            since = self._loop.time() if wait is None else wait.since
            if wait is not None:
                self._forget(app.spec.key())
            wait = self._waits[app.spec.key()] = _Wait(app, since)
        missing = self._missing(wait)
        for service, owner in missing:
            self._look_at(service, owner.wait_for_interval)
            self._tell(wait, service)
        self._set_deadline(wait, missing)
        late = [(service, owner) for service, owner in missing if self._is_late(wait, owner)]
        failures = []
        for service, owner in late:
            wait.there.add(service)
            if owner.on_wait_timeout is OnWaitTimeout.FAIL:
                failures.append(self._too_late(wait, service, owner, "error"))
            else:
                self._too_late(wait, service, owner, "warning")
        if failures:
            return Outside(failure="; ".join(failures))
        return Outside(is_there=not self._missing(wait))

    def waits_for(self, app: App) -> str:
        """What an app waits for now, for people."""
        wait = self._waits.get(app.spec.key())
        return "" if wait is None else self._in_words(service for service, _ in self._missing(wait))

    def waiting(self, app: App) -> dict[str, str]:
        """The services that an app waits for now, without logins, and what is wrong with each."""
        wait = self._waits.get(app.spec.key())
        found = () if wait is None else (service for service, _ in self._missing(wait))
        return {shown(service): self._problem(service) for service in found}

    def sync(self, app: App) -> None:
        """The app has changed: nothing is looked at for one that waits no more."""
        key = app.spec.key()
        wait = self._waits.get(key)
        if wait is not None and wait.app is app and app.wanted.run is not Run.WAITING:
            becomes = app.wanted.exchange
            if becomes is None or becomes.run is not Run.WAITING:
                self._forget(key)

    def stop(self) -> None:
        """Nobody waits any more."""
        for key in tuple(self._waits):
            self._forget(key)

    # -- helpers -----------------------------------------------------------------------------------------

    def _needs(self, app: AppSpec) -> "Iterator[tuple[str, AppSpec | RuntimeSpec]]":
        """Every service once, and whose it is: an app's own rules come before those of the whole."""
        whose: dict[str, AppSpec | RuntimeSpec] = dict.fromkeys(self.runtime.wait_for, self.runtime)
        whose |= dict.fromkeys(app.wait_for, app)
        return iter(whose.items())

    def _missing(self, wait: _Wait) -> "list[tuple[str, AppSpec | RuntimeSpec]]":
        return [need for need in self._needs(wait.app.spec) if need[0] not in wait.there]

    def _set_deadline(self, wait: _Wait, missing: "list[tuple[str, AppSpec | RuntimeSpec]]") -> None:
        """When the time of the next one is up."""
        ends = [wait.since + owner.wait_for_timeout for _, owner in missing if owner.wait_for_timeout]
        due = min((end for end in ends if end > wait.judged), default=None)
        if due == wait.due:  # which takes its turns
            return
        if wait.timer is not None:
            wait.timer.cancel()
        wait.due = due
        if due is not None:
            delay = max(0.0, due - self._loop.time())
            wait.timer = self._deadlines.call_later(delay, partial(self._time_is_up, wait, due))

    def _time_is_up(self, wait: _Wait, due: Seconds) -> None:
        wait.judged = due
        wait.app.look_again()

    def _is_late(self, wait: _Wait, owner: "AppSpec | RuntimeSpec") -> bool:
        return owner.wait_for_timeout > 0 and wait.since + owner.wait_for_timeout <= wait.judged

    def _problem(self, service: str) -> str:
        return self._looks[service].problem if service in self._looks else _NOT_YET

    def _in_words(self, services: Iterable[str]) -> str:
        return ", ".join(f"{shown(service)} ({self._problem(service)})" for service in services)

    def _tell(self, wait: _Wait, service: str) -> None:
        """That it is waited for, and once more whenever there is another reason for it."""
        problem = self._problem(service)
        if wait.told.get(service) == problem:
            return
        wait.told[service] = problem
        name = shown(service)
        text = f"waits for {name}: {problem}"
        self._log.event(
            "info", "service.waiting", text, **wait.app.spec.labels(), service=name, problem=problem
        )

    def _too_late(self, wait: _Wait, service: str, owner: "AppSpec | RuntimeSpec", level: str) -> str:
        name, problem = shown(service), self._problem(service)
        text = f"{name} did not answer within {owner.wait_for_timeout:g} s: {problem}"
        self._log.event(
            level, "service.timeout", text, **wait.app.spec.labels(), service=name, problem=problem
        )
        return text

    def _forget(self, key: tuple[str, str]) -> None:
        wait = self._waits.pop(key)
        if wait.timer is not None:
            wait.timer.cancel()
        needed = {service for other in self._waits.values() for service, _ in self._missing(other)}
        for service in self._looks.keys() - needed:
            self._end(self._looks.pop(service))

    def _look_at(self, service: str, interval: Seconds) -> None:
        if service not in self._looks:
            look = self._looks[service] = _Look(service, interval)
            self._begin(look)

    def _begin(self, look: _Look) -> None:
        look.again = None
        look.end = _KILLED
        try:
            look.pid, look.fd = start_look(look.service, look.interval)
            self._reaper.watch(
                look.pid, partial(self._ended, look, look.pid), on_stop=partial(self._be_killed, look)
            )
            self._loop.add_reader(look.fd, self._read, look)
        except OSError as error:  # no process or descriptor is to be had: the next time one may be
            self._end(look)
            look.problem = f"nobody can look: {error.strerror}"
            self._retry(look)

    def _retry(self, look: _Look) -> None:
        look.again = self._loop.call_later(look.interval, partial(self._begin, look))
        self._changed(look.service)

    def _ended(self, look: _Look, pid: int, _status: object) -> None:
        if look.pid == pid:  # else the next one looks already
            look.pid = None

    def _be_killed(self, look: _Look) -> None:
        """Stopped, it would never see an answer: another one takes its place when its pipe has ended."""
        look.end = _STOPPED
        if look.pid is not None:
            proctree.deliver(look.pid, SIGKILL)

    def _read(self, look: _Look) -> None:
        try:
            chunk = os.read(look.fd, _CHUNK)
        except BlockingIOError:
            return
        *lines, look.unread = (look.unread + chunk).split(b"\n")
        if ANSWERED in lines:
            self._answered(look)
        elif lines:
            look.problem = lines[-1].decode(errors="replace")
            self._changed(look.service)
        if not chunk and look.fd >= 0:  # it was killed
            self._close(look)
            look.problem = look.end
            self._retry(look)

    def _answered(self, look: _Look) -> None:
        self._close(look)
        if self._looks.get(look.service) is look:
            del self._looks[look.service]
        for wait in self._waits.values():
            missing = {service for service, _ in self._missing(wait)}
            if look.service in missing:
                wait.there.add(look.service)
                after = round(self._loop.time() - wait.since, 3)
                name = shown(look.service)
                self._log.event(
                    "info",
                    "service.ready",
                    f"{name} answers after {after:g} s",
                    **wait.app.spec.labels(),
                    service=name,
                    after_s=after,
                )
                wait.app.look_again()

    def _changed(self, service: str) -> None:
        for wait in self._waits.values():
            if any(service == other for other, _ in self._missing(wait)):
                wait.app.look_again()

    def _end(self, look: _Look) -> None:
        if look.again is not None:
            look.again.cancel()
        self._close(look)
        if look.pid is not None and self._reaper.owns(look.pid):
            proctree.deliver(look.pid, SIGKILL)

    def _close(self, look: _Look) -> None:
        if look.fd >= 0:
            self._loop.remove_reader(look.fd)
            close(look.fd)
            look.fd = -1


def shown(service: str) -> str:
    """A service as it may be shown: without a login."""
    scheme, _, rest = service.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
