"""Replacing instances that have grown too large or too old, before they do harm."""

import os
import signal
from collections.abc import Callable, Mapping

from pidone.contracts import Clock, InstanceId, LogSink, Timer
from pidone.ecosystem.spec import AppSpec, Bytes, MemoryLimit, RuntimeSpec, Seconds
from pidone.host.cgroup import Box
from pidone.host.processes import read_process
from pidone.record import Record
from pidone.supervise.age import expires_in
from pidone.supervise.app import App
from pidone.supervise.memory.decisions import (
    Decision,
    GuardStuck,
    LimitShrank,
    LimitTooSmall,
    Recycle,
    Soften,
    Softened,
)
from pidone.supervise.memory.limits import check_guard, check_limits, mib
from pidone.supervise.memory.monitor import Monitor
from pidone.supervise.memory.policy import MemoryWatch
from pidone.supervise.memory.usage import UsageBook
from pidone.supervise.states import State
from pidone.supervise.wanted import Replacement

_WAYS = {
    True: "it is being replaced",
    False: "it is being restarted, as the container has no room for two of them",
}


class _Age(Record):
    """The end of an incarnation's time (`max_age`)."""

    timer: Timer
    ends: Seconds


class Recycler:
    """Watches size and age of all instances. It is told that an app changed, and looks for itself how."""

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
        self._random = random
        self._box = box
        self._on_sample = on_sample
        self._apps: dict[tuple[str, str], App] = {}
        self._known: dict[tuple[str, str], tuple[AppSpec, int]] = {}
        self._online: dict[InstanceId, _Age | None] = {}
        """Incarnations that are ready, with the end of their time."""
        self._asked: set[InstanceId] = set()
        """Those of which we have asked that they be replaced for their memory."""
        self._unreadable: set[str] = set()
        self._watch = MemoryWatch(random=random, guard=runtime.memory_guard)
        self._monitor = Monitor(
            clock=clock,
            usage=usage,
            container=box,
            watch=self._watch,
            fleet=self,
            guarded=runtime.memory_guard is not None,
        )

        self._check_guard(runtime.memory_guard)
        if read_process(os.getpid()) is None:
            problem = "/proc cannot be read: no memory limit has an effect"
            self._log.event("warning", "host.unreadable", problem)

    def sync(self, app: App) -> None:
        """Follow an app: its settings, its size, which incarnations are ready and which have gone."""
        key = app.spec.key()
        if not app.wanted.is_on:
            if self._known.pop(key, None):
                self._monitor.forget(key)
        elif self._known.get(key) != (now := (app.spec, len(app.instances))):
            self._adopt(app, now)
        self._apps[key] = app
        ready = {member.who: member.app for member in app.members() if member.state is State.ONLINE}
        alive = {member.who for member in app.members() if member.state.has_process}
        for who in [who for who in self._online if who.key == key and who not in alive]:
            age = self._online.pop(who)
            if age is not None:
                age.timer.cancel()
            self._watch.gone(who)
        for who in sorted(ready.keys() - self._online.keys(), key=lambda who: who.incarnation):
            self._watch.online(who, self._clock.time())
            self._online[who] = self._expire_later(app, ready[who], who)
        for who in [who for who in self._asked if who.key == key and not app.wanted.is_due(who)]:
            self._over(app, who)

    def _over(self, app: App, who: InstanceId) -> None:
        """What we asked for is not due any more: it was done, called off, or has failed."""
        present = app.instances.get(who.index)
        if present is not None and present.who == who and present.state is State.ONLINE:
            self._watch.postponed(who, self._clock.time())
        elif present is not None and present.state in (State.PREPARING, State.STARTING):
            return  # it is on its way
        else:
            self._watch.released(who)
        self._asked.discard(who)

    def guard(self, limit: MemoryLimit | None) -> None:
        """The container's limit is another one from now on."""
        if limit != self._guarded_at:
            self._check_guard(limit)
        self._monitor.guard(limit)

    def stop(self) -> None:
        """The runtime ends."""
        self._monitor.stop()
        for age in self._online.values():
            if age is not None:
                age.timer.cancel()
        self._online.clear()

    def time_left(self, who: InstanceId) -> Seconds | None:
        """How long an incarnation may go on before its `max_age`; None without one, or before it is ready."""
        age = self._online.get(who)
        return None if age is None else max(0.0, age.ends - self._clock.time())

    # -- the monitor's fleet -----------------------------------------------------------------------------

    def processes(self) -> Mapping[InstanceId, int]:
        """The main pid of every incarnation that has one."""
        self._on_sample()
        self._tell_unreadable()
        return {
            member.who: member.pid
            for app in self._apps.values()
            for member in app.members()
            if member.pid is not None and member.state.has_process
        }

    def resized(self, before: Bytes | None, now: Bytes | None) -> None:
        """The container has another limit: shares of it follow by themselves, what makes no sense is told."""
        sizes = ["nothing that is known" if size is None else mib(size) for size in (now, before)]
        message = f"the container has {sizes[0]} of memory instead of {sizes[1]}"
        fields = {"previous": before, "now": now}
        known = {name: size for name, size in fields.items() if size is not None}
        self._log.event("info", "host.resize", message, resource="memory", **known)
        for spec, instances in self._known.values():
            self._check_limits(spec, now, instances)
        self._check_guard(self._guarded_at)

    def carry_out(self, decision: Decision) -> None:
        """Do what the memory policy decided."""
        if isinstance(decision, Recycle):
            self._recycle(decision)
        elif isinstance(decision, Soften):
            self._soften(decision)
        elif isinstance(decision, Softened):
            self._tell_softened(decision)
        elif isinstance(decision, LimitTooSmall):
            self._apps[decision.app].give_up(decision.message)
        elif isinstance(decision, LimitShrank):
            labels = self._apps[decision.app].spec.labels()
            self._log.event("warning", "config.warning", decision.message, **labels)
        elif isinstance(decision, GuardStuck):
            self._log.event("warning", "runtime.memory", decision.message)

    # -- helpers -----------------------------------------------------------------------------------------

    def _check_guard(self, limit: MemoryLimit | None) -> None:
        self._guarded_at = limit
        if problem := check_guard(limit, self._box.memory()):
            self._log.event("warning", "config.warning", problem)

    def _tell_unreadable(self) -> None:
        """What of the container cannot be read and limits nothing: each reason once."""
        for note in self._box.take_notes():
            if note not in self._unreadable:
                self._unreadable.add(note)
                self._log.event("warning", "host.unreadable", note)

    def _check_limits(self, spec: AppSpec, ceiling: Bytes | None, instances: int) -> None:
        for problem in check_limits(spec, ceiling=ceiling, instances=instances):
            self._log.event("warning", "config.warning", problem, **spec.labels())

    def _adopt(self, app: App, now: tuple[AppSpec, int]) -> None:
        spec, instances = self._known[app.spec.key()] = now
        self._check_limits(spec, self._box.memory().ceiling, instances)
        self._monitor.adopt(spec, instances=instances)

    def _expire_later(self, app: App, spec: AppSpec, who: InstanceId) -> _Age | None:
        """`spec` is the incarnation's, which may be newer than the app's while that is being replaced."""
        if spec.max_age is None:
            return None
        time_left = expires_in(spec.max_age, spec.max_age_jitter, self._random)

        def expire() -> None:
            if who in self._online:
                # One that cannot be replaced now gets another full time.
                self._online[who] = self._expire_later(app, spec, who)
                app.replace(Replacement(who=who, reason="max_age"))

        ends = self._clock.time() + time_left
        return _Age(self._clock.call_later(time_left, expire), ends)

    def _recycle(self, decision: Recycle) -> None:
        who = decision.who
        self._log.event(
            "warning",
            "instance.memory",
            f"{decision.message}: {_WAYS[decision.overlap]}",
            **self._apps[who.key].spec.labels(),
            instance=who.index,
            rss_bytes=decision.usage,
            limit_bytes=decision.limit,
        )
        wish = Replacement(who=who, reason=decision.reason.value, overlap=decision.overlap)
        self._asked.add(who)
        self._apps[who.key].replace(wish)

    def _soften(self, decision: Soften) -> None:
        who = decision.who
        app = self._apps[who.key]
        process = next((member.process for member in app.members() if member.who == who), None)
        if process is None:
            return
        action = app.spec.memory_soft_action
        used = f"the instance uses {mib(decision.usage)}, memory_soft_limit is {mib(decision.limit)}"
        where = {**app.spec.labels(), "instance": who.index, "rss_bytes": decision.usage}
        if action != "message":
            process.signal(signal.Signals[action])
        elif not process.send({"type": "gc"}):
            advice = 'but it has no IPC channel for the message; set memory_soft_action = "SIGUSR2"'
            self._log.event("warning", "instance.memory_soft", f"{used}, {advice}", **where)
            return
        message = f"{used}: it was asked to free memory"
        self._log.event("info", "instance.memory_soft", message, action=action, **where)

    def _tell_softened(self, decision: Softened) -> None:
        who = decision.who
        self._log.event(
            "info",
            "instance.memory_softened",
            f"from {mib(decision.before)} to {mib(decision.after)} after it was asked to free memory",
            **self._apps[who.key].spec.labels(),
            instance=who.index,
            before_bytes=decision.before,
            after_bytes=decision.after,
        )
