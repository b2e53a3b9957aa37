"""The runtime's own events: stable names and fields to write alerts on; docs/logging.md lists them."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from runtime.record import Record


class Event(Record):
    """What one event means."""

    meaning: str
    fields: tuple[str, ...] = ()
    """Fields beyond `timestamp`, `level`, `event` and `message`; a field without a value may be absent."""


_INSTANCE: Final = ("app", "instance", "pid")

EVENTS: Final[Mapping[str, Event]] = MappingProxyType(
    {
        "runtime.start": Event(
            "pidone runs and has read its configuration", ("version", "pid", "apps", "source")
        ),
        "runtime.warning": Event(
            "something in the configuration or the environment is doubtful", ("app", "key")
        ),
        "runtime.signal": Event("a signal arrived and was acted on", ("signal", "action")),
        "runtime.stop": Event("everything is being stopped", ("reason", "signal", "timeout_s")),
        "runtime.exit": Event("pidone ends; the last record", ("code", "reason", "app", "uptime_s")),
        "runtime.error": Event(
            "a bug in pidone, or an operation that failed", ("logger", "error", "exc_info")
        ),
        "config.reload": Event(
            "the ecosystem file was read again", ("source", "added", "removed", "changed", "unchanged")
        ),
        "config.error": Event("the ecosystem file cannot be used; nothing was changed", ("source", "error")),
        "app.start": Event("an app is being started", ("app", "instances", "exec_mode")),
        "app.ready": Event("every instance of an app is ready", ("app", "instances", "duration_s")),
        "app.stop": Event("an app is being stopped", ("app", "reason")),
        "app.stopped": Event("no process of an app is left", ("app",)),
        "app.completed": Event("every instance of a job ended with a success code", ("app", "code")),
        "app.errored": Event("an app was given up", ("app", "reason", "code", "restarts")),
        "app.scale": Event("the number of instances changes", ("app", "instances", "previous")),
        "app.reload": Event("a reload without downtime begins", ("app", "instances", "max_surge")),
        "app.reloaded": Event("a reload is complete", ("app", "instances", "duration_s")),
        "app.reload_failed": Event("a reload was aborted; the old processes stay", ("app", "reason")),
        "app.waiting": Event("an app waits for another one", ("app", "depends_on", "condition")),
        "app.delete": Event("an app was removed", ("app",)),
        "instance.start": Event("a process was started", (*_INSTANCE, "incarnation", "reason", "restarts")),
        "instance.online": Event("a process is ready", (*_INSTANCE, "how", "duration_s")),
        "instance.exit": Event(
            "a process ended",
            (*_INSTANCE, "code", "signal", "uptime_s", "restarts", "reason", "core_dumped"),
        ),
        "instance.restart": Event("a process is replaced", (*_INSTANCE, "reason", "restarts")),
        "instance.backoff": Event("a restart waits", (*_INSTANCE, "delay_s", "restarts", "reason")),
        "instance.errored": Event(
            "an instance is not restarted any more", (*_INSTANCE, "reason", "restarts", "code")
        ),
        "instance.completed": Event(
            "a process ended with a success code and stays ended", (*_INSTANCE, "code")
        ),
        "instance.stopping": Event(
            "a process was told to stop", (*_INSTANCE, "reason", "signal", "timeout_s")
        ),
        "instance.stopped": Event(
            "a process that was told to stop has ended", (*_INSTANCE, "code", "signal")
        ),
        "instance.kill": Event(
            "a process did not stop in time and is killed", (*_INSTANCE, "timeout_s", "processes")
        ),
        "instance.draining": Event("a process finishes what it has", (*_INSTANCE, "timeout_s")),
        "instance.drained": Event("a process has finished what it had", (*_INSTANCE, "duration_s")),
        "instance.unready": Event("a process was not ready in time", (*_INSTANCE, "timeout_s", "action")),
        "instance.unhealthy": Event(
            "a health check or watchdog gave up on a process", (*_INSTANCE, "reason")
        ),
        "instance.memory": Event(
            "a process outgrew its memory limit", (*_INSTANCE, "rss_bytes", "limit_bytes")
        ),
        "instance.status": Event("what a process says of itself (sd_notify STATUS=)", (*_INSTANCE, "status")),
        "instance.spawn_failed": Event(
            "a process could not be started", ("app", "instance", "error", "code")
        ),
        "instance.message": Event("a process sent an IPC message that nobody awaits", (*_INSTANCE, "value")),
        "listen.open": Event("a socket was opened for an app", ("app", "name", "address")),
        "listen.error": Event("a socket cannot be opened or shared", ("app", "name", "address", "error")),
        "orphan.reaped": Event("an adopted process ended", ("pid", "code", "signal")),
        "log.dropped": Event("lines of an app were dropped", ("app", "lines", "reason")),
        "log.file_failed": Event("a log file is not written any more", ("app", "path", "error")),
        "control.listening": Event("the control socket or admin address is served", ("address",)),
        "control.error": Event("the control socket or admin address cannot be served", ("address", "error")),
        "control.request": Event("somebody asked for a change", ("action", "app", "peer")),
        "alert.fired": Event("an alert of the ecosystem holds", ("alert", "app")),
        "alert.failed": Event("an alert's command or webhook did not work", ("alert", "app")),
    }
)


def check(event: str, level: str) -> None:
    """Refuse names that the documentation does not know, where tests run (`PIDONE_STRICT` is set)."""
    if "PIDONE_STRICT" in os.environ and (event not in EVENTS or level not in LEVEL_NUMBERS):
        raise ValueError(f"no such event or level: {event!r}, {level!r}")


LEVEL_NUMBERS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "trace": 5,
        "debug": 10,
        "info": 20,
        "warn": 30,
        "warning": 30,
        "error": 40,
        "fatal": 50,
        "critical": 50,
        "quiet": 100,
        "none": 100,
        "off": 100,
        "silent": 100,
    }
)
"""Names to `logging`'s numbers; the last four are only thresholds."""
