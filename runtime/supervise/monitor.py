"""Measures all instances on a timer, keeps the latest figures, and lets the memory policy decide on them."""

from collections.abc import Mapping
from math import inf
from typing import Final, Protocol

from runtime.contracts import Clock, InstanceId, Timer
from runtime.ecosystem.spec import AppSpec, Bytes, MemoryLimit, MemoryScope, Seconds
from runtime.host.memory import Memory
from runtime.host.processes import TreeUsage, cpu_share, tree_memory
from runtime.record import EMPTY, Record
from runtime.supervise.memory import JITTER, MemoryWatch
from runtime.supervise.memory_decisions import Decision
from runtime.supervise.memory_limits import resolve

IDLE_INTERVAL: Final[Seconds] = 5.0
"""Between two samples when nobody has a limit: figures for people only."""
_EARLY: Final = 0.9
"""An app is sampled again when this share of its interval has passed: ticks are never exact."""


class Sampler(Protocol):
    """Measures process trees: `host.processes.TreeSampler`."""

    def sample(self, roots: set[int]) -> Mapping[int, TreeUsage]: ...


class Container(Protocol):
    """Measures the container: `host.cgroup.Box`."""

    def memory(self) -> Memory: ...


class Fleet(Protocol):
    """Whose processes are measured, and who acts on what follows: the supervisor."""

    def processes(self) -> Mapping[InstanceId, int]:
        """The main pid of every incarnation that has one."""

    def carry_out(self, decision: Decision) -> None:
        """Replace, ask, tell or give up."""


class Usage(Record):
    """The latest figures of one incarnation."""

    tree: TreeUsage
    cpus: float | None
    """CPUs in use since the sample before; None for the first."""


class Monitor:
    """One pass over all processes per tick; one tick serves every app whose interval has passed."""

    def __init__(
        self,
        *,
        clock: Clock,
        sampler: Sampler,
        container: Container,
        watch: MemoryWatch,
        fleet: Fleet,
        guarded: bool = False,
    ) -> None:
        """`guarded` says that `watch` has a guard, which wants a sample each second."""
        self._clock = clock
        self._sampler = sampler
        self._container = container
        self._watch = watch
        self._fleet = fleet
        self._guarded = guarded
        self._apps: dict[str, tuple[AppSpec, int]] = {}
        self._judged: dict[str, Seconds] = {}
        self._timer: Timer | None = None
        self.usage: Mapping[InstanceId, Usage] = EMPTY
        """By incarnation; what has vanished since the last sample may still be in it."""
        self.memory = Memory()
        """Of the container."""

    def guard(self, limit: MemoryLimit | None) -> None:
        """The container's limit is another one from now on."""
        self._guarded = limit is not None
        self._watch.guard(limit)
        self._plan()

    def adopt(self, app: AppSpec, *, instances: int) -> None:
        """Measure an app from now on; also when its spec or number of instances has changed."""
        self._apps[app.name] = (app, instances)
        self._watch.adopt(app, instances=instances)
        self._plan()

    def forget(self, name: str) -> None:
        """The app was stopped or deleted."""
        self._apps.pop(name, None)
        self._judged.pop(name, None)
        self._watch.forget(name)

    def stop(self) -> None:
        """Measure nothing any more: the runtime is stopping."""
        if self._timer is not None:
            self._timer.cancel()
        self._apps.clear()

    def tick(self) -> None:
        """Measure and decide."""
        now = self._clock.time()
        pids = self._fleet.processes()
        trees = self._sampler.sample(set(pids.values()))
        earlier = self.usage
        self.memory = self._container.memory()
        self.usage = {
            who: Usage(trees[pid], cpu_share(earlier[who].tree if who in earlier else None, trees[pid]))
            for who, pid in pids.items()
            if pid in trees
        }
        sizes: dict[InstanceId, Bytes] = {}
        for name, (app, instances) in self._apps.items():
            if now - self._judged.get(name, -inf) < app.memory_interval * _EARLY:
                continue
            self._judged[name] = now
            limit = self._least_limit(app, instances)
            sizes |= {
                who: _size(app, usage.tree, limit) for who, usage in self.usage.items() if who.app == name
            }
        for decision in self._watch.judge(sizes, self.memory, now):
            self._fleet.carry_out(decision)

    def _least_limit(self, app: AppSpec, instances: int) -> Bytes | None:
        """The size from which on it matters how exact a figure is."""
        limits = (
            resolve(limit, ceiling=self.memory.ceiling, instances=instances)
            for limit in (app.max_memory_restart, app.memory_soft_limit)
        )
        least = min((limit for limit in limits if limit is not None), default=None)
        return None if least is None else int(least * (1 - JITTER))

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


def _size(app: AppSpec, tree: TreeUsage, limit: Bytes | None) -> Bytes:
    if app.memory_scope is MemoryScope.PROCESS:
        return tree.root.rss
    return tree_memory(tree, limit)
