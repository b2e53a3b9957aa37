"""Fills the history: from every sample that anybody takes, and from one of its own each ten seconds."""

import time
from collections.abc import Mapping
from typing import Final

from pidone.control.history.marks import Marks
from pidone.control.history.series import STEP, Rings
from pidone.ecosystem.spec import Seconds
from pidone.host.cgroup import Box, CpuTime
from pidone.host.usage import Usage
from pidone.supervise.ledger import AppKey
from pidone.supervise.run.session import Parts

InstanceKey = tuple[AppKey, int]
"""An app and the index of a slot: whoever comes after is the same line of a chart."""
CONTAINER: Final = "container"
UNKNOWN: Final = -1.0
_SHARED: Final = 0.2
"""A sample that somebody took this share of a slot ago is good enough."""


class Recorder:
    """Begins with the control side and ends with it."""

    def __init__(self, parts: Parts) -> None:
        """Watches from now on; what has happened before is in the ledger."""
        self._parts = parts
        self._book = parts.features.usage()
        self.instances: Rings[InstanceKey] = Rings(2)
        """CPUs in use (mean of the slot), and bytes (the most of the slot)."""
        self.container: Rings[str] = Rings(6)
        """Bytes, CPUs, and percent: of quota periods throttled, of waiting for CPU, memory and io."""
        self.marks = Marks()
        self.ended = time.time()
        """Wall clock at the end of the last slot."""
        self._sums: dict[InstanceKey, tuple[float, Seconds, float]] = {}
        """Of the slot under way: CPU seconds, seconds, most bytes."""
        self._sampled: Seconds = parts.loop.time()
        self._box: Box | None = None
        self._cpu_before: tuple[Seconds, CpuTime] | None = None
        self._due = parts.loop.time() + STEP
        self._closed = False
        for happening in parts.ledger.recent:
            self.marks.hear(happening)
        parts.ledger.listeners.append(self.marks.hear)
        self._book.listeners.append(self._hear)
        self._look_at_container()
        self._timer = parts.loop.call_later(STEP, self._wake)

    def close(self) -> None:
        """Record no more."""
        if not self._closed:
            self._closed = True
            self._timer.cancel()
            self._parts.ledger.listeners.remove(self.marks.hear)
            self._book.listeners.remove(self._hear)

    def _hear(self, usage: Mapping[int, Usage]) -> None:
        """A sample was taken."""
        now = self._parts.loop.time()
        passed = min(now - self._sampled, STEP)
        self._sampled = now
        used: dict[InstanceKey, tuple[float, float]] = {}
        for app in self._parts.supervisor.apps.values():
            for member in app.members():  # during a rollout two of them share a slot
                if member.pid is not None and (each := usage.get(member.pid)) is not None:
                    key = (app.spec.key(), member.index)
                    cpus, size = used.get(key, (0.0, 0.0))
                    used[key] = (cpus + each.cpus, size + each.tree.rss)
        for key, (cpus, size) in used.items():
            cpu_s, seconds, most = self._sums.get(key, (0.0, 0.0, 0.0))
            self._sums[key] = (cpu_s + cpus * passed, seconds + passed, max(most, size))

    def _wake(self) -> None:
        # Planned first: should a look ever fail, the next one comes all the same.
        now = self._parts.loop.time()
        missed = int((now - self._due) / STEP)  # the machine slept, or was much too busy
        self._due += STEP * (1 + missed)
        self._timer = self._parts.loop.call_later(max(0.0, self._due - now), self._wake)
        self._book.usage(within=STEP * _SHARED)
        self._parts.loop.call_soon(self._close_slot, missed)  # of many processes both take long

    def _close_slot(self, missed: int) -> None:
        if self._closed:
            return
        sums, self._sums = self._sums, {}
        self.instances.close_slot(
            {key: (cpu_s / max(seconds, 1e-3), most) for key, (cpu_s, seconds, most) in sums.items()},
            missed=missed,
        )
        self.container.close_slot({CONTAINER: self._look_at_container()}, missed=missed)
        self.ended = time.time()

    def _look_at_container(self) -> tuple[float, ...]:
        if self._box is None:
            self._box = Box.find()
        memory, cpu, pressure = self._box.memory(), self._box.cpu_time(), self._box.pressure()
        self._box.take_notes()  # whoever shows the container tells them
        now = self._parts.loop.time()
        before, self._cpu_before = self._cpu_before, (now, cpu)
        stalls = [pressure.get(name) for name in ("cpu", "memory", "io")]
        return (
            UNKNOWN if memory.working_set is None else float(memory.working_set),
            *_shares(before, now, cpu),
            *(UNKNOWN if each is None or each.some is None else each.some.avg10 for each in stalls),
        )


def _shares(before: tuple[Seconds, CpuTime] | None, now: Seconds, cpu: CpuTime) -> tuple[float, float]:
    """CPUs in use since `before`, and percent of the quota's periods in which it was used up."""
    if before is None or now <= before[0]:
        return UNKNOWN, UNKNOWN
    at, earlier = before
    cpus = UNKNOWN
    if cpu.usage_s is not None and earlier.usage_s is not None:
        cpus = max(0.0, cpu.usage_s - earlier.usage_s) / (now - at)
    periods = cpu.periods - earlier.periods
    throttled = cpu.throttled_periods - earlier.throttled_periods
    return cpus, (100.0 * throttled / periods if periods > 0 else 0.0)
