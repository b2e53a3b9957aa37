"""Alerts at work: sample, judge, and tell who wants to know; only where the ecosystem has alerts."""

import asyncio
import json
from collections.abc import Mapping
from typing import Final

from pidone.control.alerts.watch import AlertWatch, AppReading, Fired, InstanceReading
from pidone.ecosystem.spec import Alert, AppSpec, Seconds
from pidone.host.cgroup import Box
from pidone.in_time import in_time
from pidone.interpreter import module_argv
from pidone.supervise.app import App
from pidone.supervise.process.commands import Commands
from pidone.supervise.run.session import Parts

INTERVAL: Final[Seconds] = 2.0
COMMAND_TIME: Final[Seconds] = 30.0
WEBHOOK: Final = "pidone.control.alerts.webhook"
"""Delivered by a child: TLS alone would add 5 MB to the supervisor for good."""
_OURS: Final = AppSpec(name="pidone", argv=(), cwd="/")
"""In whose name it is delivered: an app's user could read the URL, a secret, from the environment."""


class Alarm:
    """Looks every two seconds."""

    def __init__(self, parts: Parts, environ: Mapping[str, str]) -> None:
        """Begins to look, if there is anything to look for."""
        self._parts = parts
        self._usage = parts.features.usage()
        self._commands = Commands(parts.reaper, environ)
        self._watch = AlertWatch(parts.supervisor.ecosystem.alerts)
        self._box = Box.find()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer = parts.loop.call_later(INTERVAL, self._look)

    def close(self) -> None:
        """No more alerts; commands that still run are killed."""
        self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _look(self) -> None:
        self._timer = self._parts.loop.call_later(INTERVAL, self._look)
        supervisor = self._parts.supervisor
        self._watch.alerts = supervisor.ecosystem.alerts  # the file may have been read again
        readings = [self._read(app) for app in supervisor.apps.values()]
        ceiling = self._box.memory().ceiling
        for fired in self._watch.judge(readings, self._parts.loop.time(), ceiling=ceiling):
            self._tell(fired)

    def _read(self, app: App) -> AppReading:
        usage = self._usage.usage()
        counts = self._parts.relay.counts()
        streams = [counts.get((app.spec.key(), stream)) for stream in ("stdout", "stderr")]
        lines = [0 if each is None else each.lines for each in streams]
        instances = []
        for instance in app.instances.values():
            used = usage.get(instance.pid or 0)
            instances.append(
                InstanceReading(
                    index=instance.index,
                    incarnation=instance.incarnation,
                    memory=None if used is None else used.tree.rss,
                    cpu_percent=None if used is None else used.cpus * 100,
                )
            )
        return AppReading(
            key=app.spec.key(),
            ready=app.is_ready or not app.wanted.is_on,
            restarts=self._parts.ledger.unplanned_restarts(app.spec.key()),
            lines=sum(lines),
            error_lines=lines[1],
            instances=tuple(instances),
        )

    def _tell(self, fired: Fired) -> None:
        alert, spec = fired.alert, self._parts.supervisor.apps[fired.app].spec
        self._parts.ledger.event("warning", "alert.fired", fired.message, alert=alert.name, **spec.labels())
        facts = {"PIDONE_ALERT": alert.name, "PIDONE_APP": spec.name, "PIDONE_MESSAGE": fired.message}
        if alert.exec:
            self._begin(spec, alert, spec.but(env={**spec.env, **facts}, argv=alert.exec))
        if alert.webhook is not None:
            body = {"alert": alert.name, "app": spec.name, "message": fired.message}
            # By the environment: a URL of a webhook is a secret, and argv is for everybody to see.
            hidden = {"PIDONE_WEBHOOK": alert.webhook, "PIDONE_BODY": json.dumps(body)}
            self._begin(spec, alert, _OURS.but(env=hidden, argv=module_argv(WEBHOOK)))

    def _begin(self, app: AppSpec, alert: Alert, command: AppSpec) -> None:
        task = self._parts.loop.create_task(self._run(app, alert, command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, app: AppSpec, alert: Alert, command: AppSpec) -> None:
        try:
            code, said = await in_time(
                self._commands.run(command, command.argv), COMMAND_TIME, self._parts.deadlines
            )
            why = f"ended with code {code}" + (f": {said}" if said else "") if code else ""
        except TimeoutError:
            why = f"was killed after {COMMAND_TIME:g} s"
        if why:
            what = "webhook" if "PIDONE_WEBHOOK" in command.env else "command"
            self._parts.ledger.event(
                "error", "alert.failed", f"its {what} {why}", alert=alert.name, **app.labels()
            )
