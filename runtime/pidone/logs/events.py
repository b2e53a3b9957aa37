"""The runtime's own events: stable names and fields to write alerts on; docs/logging.md lists them."""

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from pidone.record import Record


class Meaning(Record):
    """What one event means."""

    meaning: str
    fields: tuple[str, ...] = ()
    """Fields beyond `timestamp`, `level`, `event` and `message`; a field without a value may be absent."""


_OTHER_NAMESPACE: Final = ("namespace",)
_SLOT: Final = ("app", "instance")
_HOOK: Final = ("outcome", "hook", "app", "instance")
_INSTANCE: Final = (*_SLOT, "pid")

EVENTS: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "runtime.start": Meaning(
            "pidone runs and has read its configuration", ("version", "pid", "cpus", "apps")
        ),
        "runtime.stop": Meaning("everything is being stopped", ("reason", "delay_s")),
        "runtime.idle": Meaning(
            "nothing runs any more, and `auto_exit = false` keeps the container", ("reason",)
        ),
        "runtime.hurry": Meaning("a second request to stop: what is left is killed at once"),
        "runtime.deadline": Meaning("the time for the whole stop is up: what is left is killed"),
        "runtime.exit": Meaning("pidone ends; the last record", ("code", "reason")),
        "runtime.unheard": Meaning("the service manager at NOTIFY_SOCKET does not hear us"),
        "runtime.warning": Meaning("a library complained", ("logger",)),
        "runtime.refused": Meaning("the system refuses the runtime a call that it makes again"),
        "runtime.error": Meaning(
            "a bug in pidone, or an operation that failed", ("logger", "exc_info", "state")
        ),
        "host.resize": Meaning(
            "the container was given more or less (`cpus`, or `memory` in bytes) while it runs",
            ("resource", "previous", "now"),
        ),
        "config.warning": Meaning("something in the ecosystem file is doubtful", ("app",)),
        "config.notice": Meaning("something about the ecosystem file that is good to know"),
        "config.reload": Meaning(
            "the ecosystem file was read again", ("added", "removed", "changed", "scaled", "unchanged")
        ),
        "config.rejected": Meaning("the ecosystem file cannot be used; nothing was changed"),
        "app.blocked": Meaning("an app waits for another one that will not come so far", ("app",)),
        "app.reload": Meaning("a reload without downtime begins", ("app", "reason", "instances", "overlap")),
        "app.reloaded": Meaning("a reload is complete", ("app", "replaced", "reason", "down_s", "cut")),
        "app.reload_failed": Meaning(
            "a reload was given up; processes not yet replaced stay", ("app", "replaced", "reason", "cut")
        ),
        "app.scale": Meaning(
            "somebody, or a resize of the container, changed the number of instances",
            ("app", "instances", "previous"),
        ),
        "instance.start": Meaning("a process was started", (*_INSTANCE, "restarts", "reason")),
        "instance.spawn_failed": Meaning("a process could not be started", _SLOT),
        "instance.online": Meaning("a process is ready", (*_SLOT, "after_s", "by")),
        "instance.not_ready": Meaning("a process did not get ready in time", _SLOT),
        "instance.exit": Meaning(
            "a process ended", (*_INSTANCE, "code", "signal", "uptime_s", "restarts", "cut", "reason")
        ),
        "instance.backoff": Meaning("a restart waits", (*_SLOT, "delay_s", "restarts")),
        "instance.errored": Meaning("an instance is not restarted any more", _SLOT),
        "instance.flapping": Meaning(
            "an instance fails again and again, after `min_uptime` or for want of memory; told once",
            (*_SLOT, "restarts"),
        ),
        "preload.ready": Meaning(
            "an app is imported, and its workers are forked from this process (`preload`)",
            ("app", "pid", "after_s", "modules"),
        ),
        "preload.shared": Meaning(
            "an app's import has left files or the like open, which all its workers have in common",
            ("app", "pid"),
        ),
        "preload.refused": Meaning(
            "an app cannot be preloaded, for this reason: each worker is started by itself",
            ("app", "pid", "after_s"),
        ),
        "preload.failed": Meaning("a worker could not be forked, and was started by itself", ("app", "pid")),
        "preload.exit": Meaning(
            "the process that workers are forked from ended; they go on, and it is begun again",
            ("app", "pid", "retry_in_s"),
        ),
        "preload.end": Meaning("it is not needed any more", ("app", "pid", "forks")),
        "service.waiting": Meaning(
            "an app waits for an outside service (`wait_for`), for this reason", ("app", "service", "problem")
        ),
        "service.ready": Meaning("the service answers", ("app", "service", "after_s")),
        "service.timeout": Meaning(
            "it did not answer in time: the app is given up (error), or starts nevertheless (warning)",
            ("app", "service", "problem"),
        ),
        "instance.unhealthy": Meaning("a health check or watchdog gave up on a process", _SLOT),
        "instance.hung": Meaning("a process lives, but makes no progress: it is replaced", (*_SLOT, "stack")),
        "instance.stop": Meaning("a process was told to stop", (*_SLOT, "signal", "how")),
        "instance.kill": Meaning("a process did not stop in time and is killed", _SLOT),
        "instance.leftovers": Meaning(
            "a main process ended before its children, which are cleared away", _SLOT
        ),
        "instance.message": Meaning("a process sent a message that nobody awaits", (*_SLOT, "data")),
        "instance.memory": Meaning(
            "a process uses too much memory and is replaced", (*_SLOT, "rss_bytes", "limit_bytes")
        ),
        "instance.memory_soft": Meaning(
            "a process was asked to free memory", (*_SLOT, "rss_bytes", "action")
        ),
        "instance.memory_softened": Meaning(
            "a process freed memory when asked", (*_SLOT, "before_bytes", "after_bytes")
        ),
        "runtime.memory": Meaning("the container comes close to its memory limit"),
        "runtime.oom": Meaning("the kernel ended helper processes for want of memory", ("processes",)),
        "app.scheduled": Meaning("an app has a timetable", ("app", "schedule", "next")),
        "app.due": Meaning("a scheduled app's time has come", ("app", "reason", "step")),
        "app.skipped": Meaning("a scheduled run is left out", ("app", "reason", "overlap")),
        "app.files_changed": Meaning("watched files of an app changed", ("app", "files")),
        "watch.failed": Meaning("files are not watched for now"),
        "hook.done": Meaning("a hook's command ended well", _HOOK),
        "hook.failed": Meaning("a hook's command failed", _HOOK),
        "runtime.signal": Meaning(
            "a signal arrived that goes to nobody, though it may have been meant", ("signal",)
        ),
        "rights.missing": Meaning(
            "the rights of this process do not allow something for an app",
            ("setting", "capability", "pid", "app"),
        ),
        "host.unreadable": Meaning("something about the container cannot be read and is taken as absent"),
        "listen.open": Meaning("a socket was opened for an app", ("app",)),
        "listen.failed": Meaning("a socket for an app cannot be opened", ("app",)),
        "listen.elsewhere": Meaning("a process does not listen where those beside it do", ("app",)),
        "listen.own": Meaning("a process ends sockets for all: each one gets its own from now on", ("app",)),
        "listen.queue_unknown": Meaning("the kernel does not say how many connections wait", ("app",)),
        "listen.restored": Meaning("a process had ended a socket for all; it listens again", ("app",)),
        "listen.steering": Meaning("the kernel refuses the program that spreads connections", ("app",)),
        "listen.unshared": Meaning("an app in cluster mode has no means to share its ports", ("app",)),
        "node.no_inspector": Meaning(
            "the Node of an app does not take the options by which a worker that hangs tells its stack",
            ("app",),
        ),
        "channel.ignored": Meaning("a message of a process was not understood", ("app",)),
        "probe.shared": Meaning("a probe asks a port that all instances share", ("app",)),
        "log.dropped": Meaning("lines of an app were dropped", ("app", "lines", "reason")),
        "log.pipe_failed": Meaning(
            "an app's lines are read late because the kernel does not watch its pipe",
            ("app", "error", "count"),
        ),
        "log.pattern_failed": Meaning(
            "a pattern takes too long on lines of an app, and is not looked for in them", ("app", "count")
        ),
        "log.file_failed": Meaning(
            "a log file cannot be written, rotated or packed for now", ("app", "path", "error", "count")
        ),
        "log.file_restored": Meaning("a log file is written again", ("app", "path", "lines")),
        "control.listening": Meaning("the control socket or admin address is served", ("address",)),
        "control.taken": Meaning(
            "another user held the socket's name and had to give way", ("address", "uid")
        ),
        "control.error": Meaning(
            "the control socket or admin address cannot be served", ("address", "error")
        ),
        "control.request": Meaning("somebody asked for a change", ("action", "app", "peer")),
        "alert.fired": Meaning("an alert of the ecosystem holds", ("alert", "app")),
        "alert.failed": Meaning("an alert's command or webhook did not work", ("alert", "app")),
    }
)


def check(event: str, level: str, fields: Iterable[str]) -> None:
    """Refuse what the documentation does not know, where tests run (`PIDONE_STRICT` is set)."""
    if "PIDONE_STRICT" not in os.environ:
        return
    known = EVENTS.get(event)
    if known is None or level not in LEVEL_NUMBERS:
        raise ValueError(f"no such event or level: {event!r}, {level!r}")
    if unknown := {*fields} - {*known.fields, *(_OTHER_NAMESPACE if "app" in known.fields else ())}:
        raise ValueError(f"{event} has no such fields: {sorted(unknown)}")


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
    }
)
"""Names to `logging`'s numbers; `quiet` is only a threshold."""
