"""What has happened so far, counted from the first event on: the figures of metrics, alerts and `describe`.

It stands between everybody who logs events and the log, so that nothing is missed while the control side is
not open yet, and so that the log level hides nothing from the counts.
"""

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from pidone.contracts import LogSink, LogSource, Outlet
from pidone.ecosystem.spec import Seconds
from pidone.record import Record

KEPT: Final = 100
"""Events that are remembered for people who ask what happened."""
READY_BUCKETS: Final[tuple[Seconds, ...]] = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram of the time from spawn to readiness."""
RELOAD_BUCKETS: Final[tuple[Seconds, ...]] = (0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds of the histogram of the time a rolling reload takes."""
_QUIET: Final = ("trace", "debug")
_REASONS: Final[Mapping[str, str]] = {
    "reload": "request",
    "max_memory_restart": "memory",
    "memory_guard": "memory",
}
"""Reasons of starts that count as another one."""
PLANNED: Final = frozenset({"request", "config", "schedule", "cron_restart", "watch", "max_age"})
"""Reasons of restarts that somebody wanted; nobody is alarmed by them."""
AppKey: TypeAlias = tuple[str, str]
"""Namespace and name."""


class Happening(Record):
    """One event of the runtime."""

    at: float
    """Wall clock, seconds."""
    level: str
    event: str
    message: str
    details: Mapping[str, object]

    @property
    def app(self) -> AppKey | None:
        """Whose it is; None if it is the runtime's own."""
        return _app_of(self.details)


Listener: TypeAlias = Callable[[Happening], None]


class Durations:
    """A histogram: how many were at most as long as each bucket's bound."""

    def __init__(self, bounds: Sequence[Seconds]) -> None:
        """Empty; `bounds` are the upper ones of its buckets."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Per bucket, not cumulated; the last is for everything longer."""
        self.total: Seconds = 0.0

    def add(self, duration: Seconds) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, duration)] += 1
        self.total += duration


class Ledger:
    """A LogSink that counts what passes through it."""

    def __init__(self, sink: LogSink, now: Callable[[], Seconds] = time.monotonic) -> None:
        """`sink` gets everything as it came; `now` measures durations."""
        self._sink = sink
        self._now = now
        self._reloading: dict[AppKey, Seconds] = {}
        """When the reload began that is under way."""
        self.recent: deque[Happening] = deque(maxlen=KEPT)
        self.listeners: list[Listener] = []
        """Called with each event above debug, in the turn in which it happens."""
        self.events: Counter[str] = Counter()
        """By name."""
        self.lost = 0
        """Events that could not be written."""
        self.restarts: Counter[tuple[AppKey, str]] = Counter()
        """By app and reason: what an instance says when it starts, in fewer words."""
        self.exits: Counter[tuple[AppKey, str, str]] = Counter()
        """By app, code and signal; one of the two is empty."""
        self.ready: dict[AppKey, Durations] = {}
        """From spawn to readiness, by app."""
        self.reloads: dict[AppKey, Durations] = {}
        """From the first new process to the last ready one, by app; those that failed do not count."""

    def open(self, source: LogSource, on_line: Callable[[str], object] | None = None) -> Outlet:
        """As the sink's."""
        return self._sink.open(source, on_line)

    def event(self, level: str, event: str, /, message: str = "", **fields: object) -> None:
        """As the sink's; counted. A log that cannot be written is no reason to do less for the apps."""
        try:
            self._sink.event(level, event, message, **fields)
        except OSError:
            self.lost += 1
        self.events[event] += 1
        app = _app_of(fields)
        if app is not None:
            self._count(app, event, fields)
        if level in _QUIET:
            return
        happening = Happening(time.time(), level, event, message, fields)
        self.recent.append(happening)
        for listener in tuple(self.listeners):
            listener(happening)

    def asked(self, action: str, peer: str, *, app: str | None = None, by: str = "") -> None:
        """Somebody wants a change; `by` is who he is in words, if `peer` does not say it all."""
        text = f"{action} asked for by {by or peer}"
        self.event("info", "control.request", text, action=action, app=app, peer=peer)

    def forget(self, app: AppKey) -> None:
        """As the sink's. What was counted stays: counters that vanish look like a restart of ours."""
        self._sink.forget(app)

    def unplanned_restarts(self, app: AppKey) -> int:
        """Those that tell of trouble."""
        return sum(count for (key, why), count in self.restarts.items() if key == app and why not in PLANNED)

    def _count(self, app: AppKey, event: str, fields: Mapping[str, object]) -> None:
        if event == "instance.start":
            reason = fields.get("reason")
            if reason not in (None, "schedule"):  # the runs of a job are no restarts
                self.restarts[app, _REASONS.get(str(reason), str(reason))] += 1
        elif event == "instance.exit":
            code, signal = fields.get("code"), fields.get("signal")
            self.exits[app, "" if code is None else str(code), str(signal or "")] += 1
        elif event == "instance.online":
            took = fields.get("after_s")
            if isinstance(took, int | float):
                self.ready.setdefault(app, Durations(READY_BUCKETS)).add(took)
        elif event == "app.reload":
            self._reloading[app] = self._now()
        elif event in ("app.reloaded", "app.reload_failed"):
            began = self._reloading.pop(app, None)
            if began is not None and event == "app.reloaded":
                self.reloads.setdefault(app, Durations(RELOAD_BUCKETS)).add(self._now() - began)


def _app_of(fields: Mapping[str, object]) -> AppKey | None:
    """As AppSpec.labels() puts it."""
    name = fields.get("app")
    return (str(fields.get("namespace", "default")), name) if isinstance(name, str) else None
