"""When an alert of the ecosystem holds: samples and the time go in, what has fired comes out."""

from collections import deque
from typing import Final

from pidone.ecosystem.spec import Alert, Bytes, MemoryLimit, Seconds
from pidone.record import Record
from pidone.supervise.ledger import AppKey
from pidone.supervise.memory.limits import mib, resolve

HOUR: Final[Seconds] = 3600.0
ERROR_WINDOW: Final[Seconds] = 60.0
"""Over which the share of error lines is taken."""
LEAST_LINES: Final = 20
"""Fewer lines in the window say nothing about a rate."""
SETTLE: Final[Seconds] = 10.0
"""How long after a restart memory is compared with what it was before."""
FALLEN: Final = 0.9
"""Below this share of what it was, memory counts as fallen."""


class InstanceReading(Record, kw_only=True):
    """One instance at one moment."""

    index: int
    incarnation: int
    memory: Bytes | None
    cpu_percent: float | None


class AppReading(Record, kw_only=True):
    """One app at one moment."""

    key: AppKey
    ready: bool
    """Or nobody wants it to be."""
    restarts: int
    """All that were counted so far."""
    lines: int
    error_lines: int
    instances: tuple[InstanceReading, ...]


class Fired(Record):
    """An alert that holds for an app, for the first time since its cool-down."""

    alert: Alert
    app: AppKey
    message: str


class AlertWatch:
    """Remembers what conditions over time need."""

    def __init__(self, alerts: tuple[Alert, ...]) -> None:
        """Nothing has been seen yet, and no app was restarted yet."""
        self.alerts = alerts
        """May be replaced; what was seen is not forgotten then."""
        self._apps: dict[AppKey, _Past] = {}
        self._fired: dict[tuple[str, AppKey], Seconds] = {}

    def judge(self, readings: list[AppReading], now: Seconds, *, ceiling: Bytes | None) -> list[Fired]:
        """One sample of everything; `ceiling` is what a share of memory is a share of."""
        fired = []
        for reading in readings:
            past = self._apps.setdefault(reading.key, _Past())
            past.add(reading, now)
            for alert in self.alerts:
                if alert.apps and reading.key[1] not in alert.apps:
                    continue
                reasons = _reasons(alert, reading, past, now, ceiling)
                if reasons is not None and self._is_due(alert, reading.key, now):
                    fired.append(Fired(alert, reading.key, "; ".join(reasons)))
        return fired

    def _is_due(self, alert: Alert, app: AppKey, now: Seconds) -> bool:
        last = self._fired.get((alert.name, app))
        if last is not None and now - last < alert.cooldown:
            return False
        self._fired[alert.name, app] = now
        return True


class _Past:
    """What an app did before."""

    def __init__(self) -> None:
        self._restarts: deque[tuple[Seconds, int]] = deque()
        self._counted = 0
        self._lines: deque[tuple[Seconds, int, int]] = deque()
        self._slots: dict[int, _InstanceMemory] = {}
        self.unready_since: Seconds | None = None
        self.not_fallen: list[str] = []

    @property
    def restarts_in_hour(self) -> int:
        return sum(count for _, count in self._restarts)

    @property
    def error_percent(self) -> float | None:
        """None if there is too little to say."""
        (_, first_lines, first_errors), (_, lines, errors) = self._lines[0], self._lines[-1]
        count = lines - first_lines
        return None if count < LEAST_LINES else 100 * (errors - first_errors) / count

    def add(self, reading: AppReading, now: Seconds) -> None:
        new = reading.restarts - self._counted
        self._counted = reading.restarts
        if new > 0:
            self._restarts.append((now, new))
        while self._restarts and now - self._restarts[0][0] > HOUR:
            self._restarts.popleft()
        self._lines.append((now, reading.lines, reading.error_lines))
        while now - self._lines[0][0] > ERROR_WINDOW:
            self._lines.popleft()
        if reading.ready:
            self.unready_since = None
        elif self.unready_since is None:
            self.unready_since = now
        self.not_fallen = []
        for instance in reading.instances:
            slot = self._slots.setdefault(instance.index, _InstanceMemory(instance.incarnation))
            if why := slot.add(instance, now):
                self.not_fallen.append(f"instance {instance.index} {why}")


class _InstanceMemory:
    """The memory of an instance over its restarts."""

    def __init__(self, incarnation: int) -> None:
        self._incarnation = incarnation
        self._size: Bytes | None = None
        self._before: Bytes | None = None
        self._compare_at: Seconds = 0.0

    def add(self, instance: InstanceReading, now: Seconds) -> str:
        """Why its memory did not fall, at the moment when that can be said."""
        if instance.incarnation != self._incarnation:
            self._incarnation = instance.incarnation
            self._before = self._size
            self._compare_at = now + SETTLE
        if instance.memory is None:
            return ""
        self._size = instance.memory
        before = self._before
        if before is None or now < self._compare_at:
            return ""
        self._before = None
        if instance.memory < before * FALLEN:
            return ""
        return f"uses {mib(instance.memory)} after a restart, {mib(before)} before"


def _reasons(
    alert: Alert, reading: AppReading, past: _Past, now: Seconds, ceiling: Bytes | None
) -> list[str] | None:
    """Why it holds, one reason per condition; None if one of them does not."""
    reasons: list[str | None] = []
    if alert.restarts_per_hour is not None:
        count = past.restarts_in_hour
        reasons.append(f"{count} restarts in an hour" if count > alert.restarts_per_hour else None)
    if alert.not_ready_for is not None:
        since = past.unready_since
        is_long = since is not None and now - since >= alert.not_ready_for
        reasons.append(f"not ready for {now - since:.0f} s" if since is not None and is_long else None)
    if alert.memory is not None:
        reasons.append(_memory(alert.memory, reading, ceiling))
    if alert.cpu is not None:
        high = max((each.cpu_percent or 0.0 for each in reading.instances), default=0.0)
        reasons.append(f"{high:.0f}% of a CPU" if high > alert.cpu else None)
    if alert.error_rate is not None:
        rate = past.error_percent
        is_high = rate is not None and rate > alert.error_rate
        reasons.append(f"{rate:.1f}% of lines are errors" if is_high else None)
    if alert.memory_not_falling:
        reasons.append(", ".join(past.not_fallen) or None)
    known = [reason for reason in reasons if reason is not None]
    return known if known and len(known) == len(reasons) else None


def _memory(limit: MemoryLimit, reading: AppReading, ceiling: Bytes | None) -> str | None:
    least = resolve(limit, ceiling=ceiling, instances=len(reading.instances))
    most = max((each.memory or 0 for each in reading.instances), default=0)
    return f"{mib(most)} of memory" if least is not None and most > least else None
