"""Clockwork: `schedule` runs jobs, `cron_restart` replaces the instances of an app."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo

from pidone.contracts import Clock, LogSink, Timer
from pidone.ecosystem.cron import parse_schedule
from pidone.ecosystem.spec import AppSpec
from pidone.host.timezones import find_timezone, local_timezone
from pidone.supervise.app import App
from pidone.supervise.instances.restart import ON_TIME
from pidone.supervise.times.schedule import Due, RunDecision, Runs, Timetable
from pidone.supervise.wanted import Replacement


class Times:
    """The clockwork of all apps. It is told that an app changed, and looks for itself how."""

    def __init__(
        self,
        *,
        clock: Clock,
        log: LogSink,
        environ: Mapping[str, str],
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`environ` may name the container's time zone (TZ)."""
        self._clock = clock
        self._log = log
        self._environ = environ
        self._now = wall_clock
        self._alarms: dict[tuple[str, str], list[_Alarm]] = {}
        self._settings: dict[tuple[str, str], AppSpec] = {}
        self._runs: dict[tuple[str, str], Runs] = {}

    def sync(self, app: App) -> None:
        """Set the alarms of an app that is wanted, take back those of one that is not."""
        key = app.spec.key()
        if not app.wanted.is_on:
            self._drop(key)
            return
        if self._settings.get(key) != app.spec:
            self._drop(key)
            self._settings[key] = app.spec
            self._set(app)
        runs = self._runs.get(key)
        if runs is not None and runs.notice(is_down=app.is_down):
            app.resume(ON_TIME)

    def stop(self) -> None:
        """The runtime ends."""
        for key in list(self._settings):
            self._drop(key)

    def next_run(self, app: App) -> datetime | None:
        """When the next alarm of an app rings, in its time zone."""
        times = [alarm.next for alarm in self._alarms.get(app.spec.key(), ())]
        return min((time for time in times if time is not None), default=None)

    # -- helpers -----------------------------------------------------------------------------------------

    def _set(self, app: App) -> None:
        spec, alarms = app.spec, []
        zone = find_timezone(spec.timezone) if spec.timezone else local_timezone(environ=self._environ)
        if spec.schedule is not None:
            self._runs[spec.key()] = Runs(spec.overlap)
            alarms.append(self._alarm(app, spec.schedule, zone, lambda due: self._run(app, due)))
        if spec.cron_restart is not None:
            alarms.append(self._alarm(app, spec.cron_restart, zone, lambda due: self._restart(app, due)))
        self._alarms[spec.key()] = alarms

    def _alarm(self, app: App, text: str, zone: tzinfo, ring: Callable[[Due], None]) -> "_Alarm":
        def ring_if_wanted(due: Due) -> None:
            if app.wanted.is_on:  # else it was stopped in this turn of the loop, and the alarm is about to go
                ring(due)

        table = Timetable(parse_schedule(text, zone), self._now())
        alarm = _Alarm(table, zone, self._clock, self._now, ring_if_wanted)
        if alarm.next is not None:
            when = alarm.next.isoformat(" ", "seconds")
            self._log.event(
                "info", "app.scheduled", f"next at {when}", **app.spec.labels(), schedule=text, next=when
            )
        return alarm

    def _drop(self, key: tuple[str, str]) -> None:
        self._settings.pop(key, None)
        self._runs.pop(key, None)
        for alarm in self._alarms.pop(key, ()):
            alarm.cancel()

    def _restart(self, app: App, due: Due) -> None:
        if due.missed:
            self._tell_missed(app, due, "cron_restart")
        elif app.is_down:  # it completed or gave up; one that somebody stopped has no alarm
            self._log.event(
                "info", "app.due", f"{app.name} is started again", **app.spec.labels(), reason="cron_restart"
            )
            app.resume(
                "cron_restart" if app.spec.autorestart else ON_TIME
            )  # the runs of a job are no restarts
        else:
            app.replace(Replacement(reason="cron_restart"))

    def _run(self, app: App, due: Due) -> None:
        runs = self._runs[app.spec.key()]
        if due.missed:
            self._tell_missed(app, due, "schedule")
            return
        runs.notice(is_down=app.is_down)
        step = runs.due()
        if step is RunDecision.SKIP:
            message = "its last run has not ended, or another run waits: this one is left out"
            self._log.event(
                "warning", "app.skipped", message, **app.spec.labels(), overlap=app.spec.overlap.value
            )
            return
        told = {
            RunDecision.START: "its time has come",
            RunDecision.WAIT: "its time has come: it waits for the end of its last run",
            RunDecision.STOP: "its time has come: its last run is stopped first",
        }[step]
        self._log.event("info", "app.due", told, **app.spec.labels(), reason="schedule", step=step.value)
        if step is RunDecision.START:
            app.resume(ON_TIME)
        elif step is RunDecision.STOP:
            app.end_run()

    def _tell_missed(self, app: App, due: Due, reason: str) -> None:
        message = f"it was due {due.late:.0f} s ago, when nothing ran here: left out"
        self._log.event("warning", "app.skipped", message, **app.spec.labels(), reason=reason)


class _Alarm:
    """Rings whenever a timetable says so."""

    def __init__(
        self,
        table: Timetable,
        zone: tzinfo,
        clock: Clock,
        now: Callable[[], datetime],
        ring: Callable[[Due], None],
    ) -> None:
        self._table = table
        self._zone = zone
        self._clock = clock
        self._now = now
        self._ring = ring
        self._timer: Timer | None = None
        self._wait()

    @property
    def next(self) -> datetime | None:
        return None if self._table.next is None else self._table.next.astimezone(self._zone)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        wait = self._table.wait(self._now())
        self._timer = None if wait is None else self._clock.call_later(wait, self._look)

    def _look(self) -> None:
        due = self._table.take(self._now())
        self._wait()
        if due is not None:
            self._ring(due)
