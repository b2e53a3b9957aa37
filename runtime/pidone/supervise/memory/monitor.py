"""Looks at the figures of all instances on a timer, and lets the memory policy decide on them."""

from collections.abc import Mapping
from math import inf
from typing import Final, Protocol

from pidone.contracts import Clock, InstanceId, Timer
from pidone.ecosystem.spec import AppSpec, Bytes, MemoryLimit, MemoryScope, Seconds
from pidone.host.memory import Memory
from pidone.host.processes import TreeUsage, tree_memory
from pidone.supervise.memory.decisions import Decision
from pidone.supervise.memory.limits import limits_of
from pidone.supervise.memory.policy import JITTER, MemoryWatch
from pidone.supervise.memory.usage import UsageBook

IDLE_INTERVAL: Final[Seconds] = 5.0
"""Between two samples when nobody has a limit: figures for people only."""
_EARLY: Final = 0.9
"""An app is judged again when this share of its interval has passed: ticks are never exact."""
_SHARED: Final = 0.2
"""Figures that somebody else had measured this share of an interval ago are good enough."""


class Container(Protocol):
    """Measures the container: `host.cgroup.Box`."""

    def memory(self) -> Memory: ...


class Fleet(Protocol):
    """Whose processes are measured, and who acts on what follows: the supervisor."""

    def processes(self) -> Mapping[InstanceId, int]:
        """The main pid of every incarnation that has one."""

    def resized(self, before: Bytes | None, now: Bytes | None) -> None:
        """The container has another limit than at the last sample."""

    def carry_out(self, decision: Decision) -> None:
        """Replace, ask, tell or give up."""


class Monitor:
    """One tick serves every app whose interval has passed."""

    def __init__(
        self,
        *,
        clock: Clock,
        usage: UsageBook,
        container: Container,
        watch: MemoryWatch,
        fleet: Fleet,
        guarded: bool = False,
    ) -> None:
        """`guarded` says that `watch` has a guard, which wants a sample each second."""
        self._clock = clock
        self._usage = usage
        self._container = container
        self._watch = watch
        self._fleet = fleet
        self._guarded = guarded
        self._apps: dict[tuple[str, str], tuple[AppSpec, int]] = {}
        self._judged: dict[tuple[str, str], Seconds] = {}
        self._timer: Timer | None = None
        self._ceiling = container.memory().ceiling

    def guard(self, limit: MemoryLimit | None) -> None:
        """The container's limit is another one from now on."""
        self._guarded = limit is not None
        self._watch.guard(limit)
        self._plan()

    def adopt(self, app: AppSpec, *, instances: int) -> None:
        """Measure an app from now on; also when its spec or number of instances has changed."""
        self._apps[app.key()] = (app, instances)
        self._watch.adopt(app, instances=instances)
        self._plan()

    def forget(self, key: tuple[str, str]) -> None:
        """The app (by `AppSpec.key()`) was stopped or deleted."""
        self._apps.pop(key, None)
        self._judged.pop(key, None)
        self._watch.forget(key)

    def stop(self) -> None:
        """Measure nothing any more: the runtime is stopping."""
        if self._timer is not None:
            self._timer.cancel()
        self._apps.clear()

    def tick(self) -> None:
        """Look and decide."""
        now = self._clock.time()
        used = self._usage.usage(within=self._interval() * _SHARED)
        memory = self._container.memory()
        if memory.ceiling != self._ceiling:
            before, self._ceiling = self._ceiling, memory.ceiling
            self._fleet.resized(before, memory.ceiling)
        trees = {who: used[pid].tree for who, pid in self._fleet.processes().items() if pid in used}
        sizes: dict[InstanceId, Bytes] = {}
        for key, (app, instances) in self._apps.items():
            if now - self._judged.get(key, -inf) < app.memory_interval * _EARLY:
                continue
            self._judged[key] = now
            limit = _least_limit(app, memory.ceiling, instances)
            sizes |= {who: _size(app, tree, limit) for who, tree in trees.items() if who.key == key}
        for decision in self._watch.judge(sizes, memory, now):
            self._fleet.carry_out(decision)

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(self._interval(), self._wake)

    def _wake(self) -> None:
        # Planned first: should a tick ever fail, the next one comes all the same.
        self._timer = self._clock.call_later(self._interval(), self._wake)
        self.tick()

    def _interval(self) -> Seconds:
        limited = [
            app.memory_interval
            for app, _ in self._apps.values()
            if app.max_memory_restart is not None or app.memory_soft_limit is not None
        ]
        return min(limited + [1.0] * self._guarded, default=IDLE_INTERVAL)


def _least_limit(app: AppSpec, ceiling: Bytes | None, instances: int) -> Bytes | None:
    """The size from which on it matters how exact a figure is."""
    limits = limits_of(app, ceiling=ceiling, instances=instances)
    least = min((limit for limit in (limits.hard, limits.soft) if limit is not None), default=None)
    return None if least is None else int(least * (1 - JITTER))


def _size(app: AppSpec, tree: TreeUsage, limit: Bytes | None) -> Bytes:
    if app.memory_scope is MemoryScope.PROCESS:
        return tree.root.rss
    return tree_memory(tree, limit)
