"""Measures the apps that have memory limits, asks the policy, and files what it wishes."""

import os
import signal
from collections.abc import Callable
from typing import Final

from pidone.contracts import Clock, InstanceId, LogSink, Timer
from pidone.ecosystem.spec import AppSpec, Bytes, MemoryLimit, MemoryScope, RuntimeSpec
from pidone.host.cgroup import Box
from pidone.host.processes import TreeUsage, read_process, tree_memory
from pidone.host.usage import UsageBook
from pidone.supervise.app import App
from pidone.supervise.instances.states import State
from pidone.supervise.memory.limits import check_guard, check_limits, mib
from pidone.supervise.memory.policy import Act, MemoryPolicy, Wish
from pidone.supervise.wanted import Replacement

_SHARED: Final = 0.2
"""Figures that somebody else had measured this share of an interval ago are good enough."""


class MemoryDriver:
    """Watches the size of all instances. It is told that an app changed, and looks for itself how."""

    def __init__(
        self,
        runtime: RuntimeSpec,
        *,
        clock: Clock,
        log: LogSink,
        random: Callable[[], float],
        box: Box,
        usage: UsageBook,
        on_sample: Callable[[], None],
    ) -> None:
        """`on_sample` is called with each look at the figures of `usage`."""
        self._clock = clock
        self._log = log
        self._box = box
        self._usage = usage
        self._on_sample = on_sample
        self._apps: dict[tuple[str, str], App] = {}
        self._policy = MemoryPolicy(random=random, guard=runtime.memory_guard)
        self._timer: Timer | None = None
        self._unreadable: set[str] = set()
        self._ceiling = box.memory().ceiling
        self._check_guard()
        if read_process(os.getpid()) is None:
            problem = "/proc cannot be read: no memory limit has an effect"
            self._log.event("warning", "host.unreadable", problem)

    def sync(self, app: App) -> None:
        """Follow an app: its settings, its size, which incarnations are ready and which have gone."""
        policy, key = self._policy, app.spec.key()
        if not app.wanted.is_on:
            policy.forget(key)
            self._apps.pop(key, None)
            return
        self._apps[key] = app
        if policy.adopt(app.spec, instances=len(app.instances)):
            self._check_limits(app.spec, len(app.instances))
            self._plan()
        members = app.members()
        alive = {member.who for member in members if member.state.has_process}
        for who in [who for who in policy.lives(key) if who not in alive]:
            policy.gone(who)
        ready = {member.who for member in members if member.state is State.ONLINE}
        for who in sorted(ready.difference(policy.lives(key)), key=lambda who: (who.incarnation, who.index)):
            policy.online(who, self._clock.time())
        asked = policy.recycling(key)
        if asked is not None and not app.wanted.is_due(asked):
            self._over(app, asked)

    def guard(self, limit: MemoryLimit | None) -> None:
        """The container's limit is another one from now on."""
        if limit != self._policy.guard:
            self._policy.guard = limit
            self._check_guard()
        self._plan()

    def stop(self) -> None:
        """Measure nothing any more: the runtime ends."""
        if self._timer is not None:
            self._timer.cancel()

    # -- one sample --------------------------------------------------------------------------------------

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(self._policy.interval, self._tick)

    def _tick(self) -> None:
        self._plan()  # first: should this one fail, the next one comes all the same
        now = self._clock.time()
        used = self._usage.usage(within=self._policy.interval * _SHARED)
        memory = self._box.memory()
        if memory.ceiling != self._ceiling:
            before, self._ceiling = self._ceiling, memory.ceiling
            self._policy.resized(before)
            self._tell_resized(before, memory.ceiling)
        self._on_sample()
        self._tell_unreadable()
        sizes: dict[InstanceId, Bytes] = {}
        for spec, exact_from in self._policy.due(memory.ceiling, now):
            for member in self._apps[spec.key()].members():
                if member.state.has_process and member.pid is not None and member.pid in used:
                    sizes[member.who] = _size(spec, used[member.pid].tree, exact_from)
        for wish in self._policy.judge(sizes, memory, now):
            self._file(wish)

    def _file(self, wish: Wish) -> None:
        app = None if wish.who is None else self._apps[wish.who.key]
        labels = {} if app is None else app.spec.labels()
        if app is not None and wish.act is Act.GIVE_UP:
            app.give_up(wish.message)
        elif app is not None and wish.act is Act.SOFTEN:
            self._soften(app, wish)
        else:
            self._log.event(wish.level, wish.event, wish.message, **labels, **wish.fields)
        if app is not None and wish.act is Act.REPLACE:
            app.replace(Replacement(who=wish.who, reason=wish.reason, overlap=wish.overlap))

    def _soften(self, app: App, wish: Wish) -> None:
        process = next((member.process for member in app.members() if member.who == wish.who), None)
        if process is None:
            return
        action, where = app.spec.memory_soft_action, {**app.spec.labels(), **wish.fields}
        if action != "message":
            process.signal(signal.Signals[action])
        elif not process.send({"type": "gc"}):
            advice = 'but it has no IPC channel for the message; set memory_soft_action = "SIGUSR2"'
            self._log.event("warning", "instance.memory_soft", f"{wish.message}, {advice}", **where)
            return
        message = f"{wish.message}: it was asked to free memory"
        self._log.event("info", "instance.memory_soft", message, action=action, **where)

    def _over(self, app: App, who: InstanceId) -> None:
        """What we asked for is not due any more: it was done, called off, or has failed."""
        present = app.instances.get(who.index)
        if present is not None and present.who == who and present.state is State.ONLINE:
            self._policy.postponed(who, self._clock.time())
        elif present is None or present.state not in (State.PREPARING, State.STARTING):
            self._policy.released(who)  # else the new one is on its way

    # -- what is told ------------------------------------------------------------------------------------

    def _tell_resized(self, before: Bytes | None, now: Bytes | None) -> None:
        """The container has another limit: shares of it follow by themselves, what makes no sense is told."""
        sizes = ["nothing that is known" if size is None else mib(size) for size in (now, before)]
        message = f"the container has {sizes[0]} of memory instead of {sizes[1]}"
        self._log.event("info", "host.resize", message, resource="memory", previous=before, now=now)
        for spec, instances in self._policy.adopted():
            self._check_limits(spec, instances)
        self._check_guard()

    def _check_guard(self) -> None:
        if problem := check_guard(self._policy.guard, self._box.memory()):
            self._log.event("warning", "config.warning", problem)

    def _check_limits(self, spec: AppSpec, instances: int) -> None:
        for problem in check_limits(spec, ceiling=self._ceiling, instances=instances):
            self._log.event("warning", "config.warning", problem, **spec.labels())

    def _tell_unreadable(self) -> None:
        """What of the container cannot be read and limits nothing: each reason once."""
        for note in self._box.take_notes():
            if note not in self._unreadable:
                self._unreadable.add(note)
                self._log.event("warning", "host.unreadable", note)


def _size(app: AppSpec, tree: TreeUsage, exact_from: Bytes | None) -> Bytes:
    if app.memory_scope is MemoryScope.PROCESS:
        return tree.root.rss
    return tree_memory(tree, exact_from)
