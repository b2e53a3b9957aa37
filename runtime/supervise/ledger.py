"""What has happened so far, counted from the first event on: the figures of metrics, alerts and `describe`.

It stands between everybody who logs events and the log, so that nothing is missed while the control side is
not open yet, and so that the log level hides nothing from the counts.
"""

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from runtime.contracts import LogSink, LogSource, Outlet
from runtime.ecosystem.spec import Seconds
from runtime.record import Record

KEPT: Final = 100
"""Events that are remembered for people who ask what happened."""
READY_BUCKETS: Final[tuple[Seconds, ...]] = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram of the time from spawn to readiness."""
_QUIET: Final = ("trace", "debug")
_CAUSES: Final[Mapping[str, str]] = {
    "instance.unhealthy": "unhealthy",
    "instance.not_ready": "not_ready",
    "instance.unready": "not_ready",
    "instance.memory": "memory",
    "instance.spawn_failed": "spawn_failed",
}
"""Events that explain the next restart of their instance better than its exit does."""


class Happening(Record):
    """One event of the runtime."""

    at: float
    """Wall clock, seconds."""
    level: str
    event: str
    message: str
    details: Mapping[str, object]


Listener: TypeAlias = Callable[[Happening], None]


class Durations:
    """A histogram: how many were at most as long as each bucket's bound."""

    def __init__(self) -> None:
        """Empty."""
        self.counts = [0] * (len(READY_BUCKETS) + 1)
        """Per bucket, not cumulated; the last is for everything longer."""
        self.total: Seconds = 0.0

    def add(self, duration: Seconds) -> None:
        """Count one."""
        self.counts[bisect_left(READY_BUCKETS, duration)] += 1
        self.total += duration


class Ledger:
    """A LogSink that counts what passes through it."""

    def __init__(self, sink: LogSink) -> None:
        """`sink` gets everything as it came."""
        self._sink = sink
        self._known: set[tuple[str, object]] = set()
        self._causes: dict[tuple[str, object], str] = {}
        self.recent: deque[Happening] = deque(maxlen=KEPT)
        self.listeners: list[Listener] = []
        """Called with each event above debug, in the turn in which it happens."""
        self.events: Counter[str] = Counter()
        """By name."""
        self.restarts: Counter[tuple[str, str]] = Counter()
        """By app and reason: `exit`, `signal`, `request`, or one of those in _CAUSES."""
        self.exits: Counter[tuple[str, str, str]] = Counter()
        """By app, code and signal; one of the two is empty."""
        self.ready: dict[str, Durations] = {}
        """From spawn to readiness, by app."""

    def open(self, source: LogSource, on_line: Callable[[str], object] | None = None) -> Outlet:
        """As the sink's."""
        return self._sink.open(source, on_line)

    def event(self, level: str, event: str, /, message: str = "", **fields: object) -> None:
        """As the sink's; counted."""
        self._sink.event(level, event, message, **fields)
        self.events[event] += 1
        app = fields.get("app")
        if isinstance(app, str):
            self._count(app, fields.get("instance"), event, fields)
        if level in _QUIET:
            return
        happening = Happening(time.time(), level, event, message, fields)
        self.recent.append(happening)
        for listener in tuple(self.listeners):
            listener(happening)

    def _count(self, app: str, instance: object, event: str, fields: Mapping[str, object]) -> None:
        slot = (app, instance)
        if event in _CAUSES:
            self._causes[slot] = _CAUSES[event]
        elif event == "instance.exit":
            self._exit(app, slot, fields)
        elif event == "instance.start":
            if slot in self._known:
                self.restarts[app, self._causes.pop(slot, "request")] += 1
            self._known.add(slot)
        elif event == "instance.online":
            took = fields.get("duration_s", fields.get("after_s"))
            if isinstance(took, int | float):
                self.ready.setdefault(app, Durations()).add(took)

    def _exit(self, app: str, slot: tuple[str, object], fields: Mapping[str, object]) -> None:
        code, signal = fields.get("code"), fields.get("signal")
        self.exits[app, "" if code is None else str(code), str(signal or "")] += 1
        asked = fields.get("reason") == "stop"
        self._causes.setdefault(slot, "request" if asked else "signal" if signal else "exit")
