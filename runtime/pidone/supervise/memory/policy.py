"""When memory makes an instance due for replacement: limits per app, and a guard for the container.

Pure policy: samples and the time go in, decisions come out. Who carries them out tells back what became of it
(`online`, `gone`, `postponed`). At most one instance of an app is being recycled at any time.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Final

from pidone.contracts import InstanceId
from pidone.ecosystem.spec import AppSpec, Bytes, MemoryLimit, Seconds
from pidone.host.memory import Memory
from pidone.supervise.memory.decisions import (
    Decision,
    GuardStuck,
    LimitShrank,
    LimitTooSmall,
    Reason,
    Recycle,
    Soften,
    Softened,
)
from pidone.supervise.memory.limits import resolve

JITTER: Final = 0.05
"""The limit of each incarnation is lower by a random share of up to this."""
SOFT_SETTLE: Final[Seconds] = 5.0
"""How long the soft action gets before its effect is told."""
RETRY_DELAY: Final[Seconds] = 30.0
"""Pause after a replacement that did not come up."""
START_WINDOW: Final[Seconds] = 10.0
"""A recycle this soon after readiness suggests that the app starts above its limit."""
START_RECYCLES: Final = 3
"""After this many such recycles of a slot in a row, the next life is watched for whether it grows at all."""
START_SAMPLES: Final = 3
"""Samples above the limit without growth that prove that it does not."""
LONGEST_PAUSE: Final[Seconds] = 600.0
"""A limit that shrank below what an app needs is tried again after pauses that double up to this."""
GUARD_PAUSE: Final[Seconds] = 10.0
"""Between two actions of the guard, so that the effect of one is seen before the next."""
_LOCK_TIMEOUT: Final[Seconds] = 300.0
"""A recycle nobody reports back on (its slot was scaled away) blocks the app no longer than this."""
_GROWTH: Final = 1.02
"""Growth per sample below which an instance counts as done growing."""
_WORTHWHILE: Final = 1.1
"""The guard recycles only what has grown this much since its start: a fresh copy of others frees nothing."""


class _Shape(Enum):
    """How the memory of an instance develops above its limit."""

    UNKNOWN = auto()
    GROWING = auto()
    FLAT = auto()


class _Life:
    """One incarnation that is online."""

    def __init__(self, online_at: Seconds, threshold_factor: float) -> None:
        self.online_at = online_at
        self.threshold_factor = threshold_factor
        self.baseline: Bytes | None = None
        """Its first sample: what a replacement will need."""
        self.over = 0
        """Samples in a row above the limit."""
        self.previous: Bytes = 0
        self.flat = 0
        """Samples above the limit without growth, while the app is suspected of starting too large."""
        self.softened_at: Seconds | None = None
        self.softened_from: Bytes | None = None
        """Usage before the soft action; None once what came of it was told."""
        self.blocked_until: Seconds = 0.0


class _Slot:
    """What the earlier lives of an instance have shown."""

    def __init__(self, pause: Seconds = 0.0) -> None:
        self.pause = pause
        """How long the last life that did not fit a limit that shrank was left alone."""
        self.early = 0
        """Recycles in a row that came right after the start."""
        self.leaks = False
        """They turned out to be growth without end, not a start above the limit."""


class _App:
    """An app that is watched, and its replacement under way."""

    def __init__(self, spec: AppSpec, instances: int) -> None:
        self.spec = spec
        self.instances = instances
        self.recycling: InstanceId | None = None
        self.recycling_since: Seconds = 0.0
        self.recycling_gone = False
        self.slots: dict[int, _Slot] = {}
        self.given_up = False
        self._limit: Bytes = 0
        self._most: Bytes = 0
        self.shrank = False
        """Its limit was larger once, and it did fit then."""

    def forget_limits(self) -> None:
        """What it was allowed before says nothing any more."""
        self._limit = self._most = 0

    def compare(self, limit: Bytes) -> bool:
        """Notice another limit than the last time; whether it is a larger one, which is a fresh start."""
        is_larger = limit > self._limit
        if is_larger:
            self.slots.clear()
        self._limit, self._most = limit, max(self._most, limit)
        self.shrank = limit < self._most
        return is_larger

    def resolve(self, limit: MemoryLimit | None, memory: Memory) -> Bytes | None:
        return resolve(limit, ceiling=memory.ceiling, instances=self.instances)

    def is_early(self, age: Seconds) -> bool:
        """Whether an age counts as right after the start: there must be time for all the samples it takes."""
        samples = self.spec.memory_samples + START_SAMPLES + 1
        return age < max(START_WINDOW, samples * self.spec.memory_interval)


class MemoryWatch:
    """The memory of all apps of one container."""

    def __init__(self, *, random: Callable[[], float], guard: MemoryLimit | None = None) -> None:
        """`random` gives numbers in [0, 1) for the jitter; `guard` is `[runtime] memory_guard`."""
        self._random = random
        self._guard = guard
        self._guard_quiet_until: Seconds = 0.0
        self._apps: dict[tuple[str, str], _App] = {}
        self._lives: dict[InstanceId, _Life] = {}

    def guard(self, limit: MemoryLimit | None) -> None:
        """The container's limit is another one from now on."""
        self._guard = limit

    def adopt(self, spec: AppSpec, *, instances: int) -> None:
        """Watch an app from now on; also when its spec or its number of instances has changed."""
        known = self._apps.get(spec.key())
        if known is None:
            self._apps[spec.key()] = _App(spec, instances)
            return
        if known.spec.max_memory_restart != spec.max_memory_restart:
            known.slots.clear()
            known.given_up = False
            known.forget_limits()
        known.spec, known.instances = spec, instances

    def forget(self, key: tuple[str, str]) -> None:
        """Stop watching an app (by `AppSpec.key()`): it was stopped or deleted."""
        self._apps.pop(key, None)
        self._lives = {who: life for who, life in self._lives.items() if who.key != key}

    def online(self, who: InstanceId, now: Seconds) -> None:
        """An incarnation is ready: from now on its samples count."""
        app = self._apps.get(who.key)
        if app is None:
            return
        # Each life gets a limit that is a little lower by chance, so that equal instances which leak at the
        # same pace do not come due together. Lower, not later: jitter must not delay what is urgent.
        self._lives[who] = _Life(now, 1 - JITTER * self._random())
        if app.given_up:  # somebody started it again, and its limit counts as before
            app.given_up = False
            app.slots.clear()
        self._unlock(app)

    def gone(self, who: InstanceId) -> None:
        """An incarnation has ended, or is being stopped for another reason."""
        self._lives.pop(who, None)
        app = self._apps.get(who.key)
        if app is not None and app.recycling == who:
            app.recycling_gone = True
            self._unlock(app)

    def postponed(self, who: InstanceId, now: Seconds) -> None:
        """The replacement did not come up and the old instance stays: try again after the app's cool-down."""
        app = self._apps.get(who.key)
        if app is not None and app.recycling == who:
            app.recycling = None
            if life := self._lives.get(who):
                life.blocked_until = now + RETRY_DELAY

    def released(self, who: InstanceId) -> None:
        """Its replacement is over, and nobody is on the way in its slot: others may be recycled again."""
        app = self._apps.get(who.key)
        if app is not None and app.recycling == who:
            app.recycling = None

    def judge(self, sizes: Mapping[InstanceId, Bytes], memory: Memory, now: Seconds) -> list[Decision]:
        """Decide on one sample of all instances; those that are not online are ignored."""
        decisions: list[Decision] = []
        online = {who: size for who, size in sizes.items() if who in self._lives and who.key in self._apps}
        for who, size in online.items():
            life = self._lives[who]
            life.baseline = size if life.baseline is None else life.baseline
        for key, app in self._apps.items():
            own = {who: size for who, size in online.items() if who.key == key}
            decisions += self._hard(app, own, memory, now)
            for who, size in own.items():
                self._lives[who].previous = size
                decisions += self._soft(who, self._lives[who], size, memory, now)
        decisions += self._guard_container(online, memory, now)
        return decisions

    def _soft(
        self, who: InstanceId, life: _Life, size: Bytes, memory: Memory, now: Seconds
    ) -> list[Decision]:
        app = self._apps[who.key]
        limit = app.resolve(app.spec.memory_soft_limit, memory)
        if life.softened_at is not None and life.softened_from is not None:
            if now - life.softened_at < SOFT_SETTLE:
                return []
            before, life.softened_from = life.softened_from, None
            return [Softened(who, before=before, after=size)]
        cooled = life.softened_at is None or now - life.softened_at >= app.spec.memory_soft_cooldown
        if limit is None or size < limit or not cooled or app.recycling == who:
            return []
        life.softened_at, life.softened_from = now, size
        return [Soften(who, usage=size, limit=limit)]

    def _hard(
        self, app: _App, sizes: Mapping[InstanceId, Bytes], memory: Memory, now: Seconds
    ) -> list[Decision]:
        limit = app.resolve(app.spec.max_memory_restart, memory)
        if limit is None or app.given_up:
            return []
        if app.compare(limit):
            for who in sizes:
                self._lives[who].blocked_until = 0.0
        due = [who for who, size in sizes.items() if self._is_due(app, self._lives[who], size, limit, now)]
        if not due or self._is_locked(app, now):
            return []
        who = max(due, key=sizes.__getitem__)
        life, size = self._lives[who], sizes[who]
        slot = app.slots.setdefault(who.index, _Slot())
        if not app.is_early(now - life.online_at):
            app.slots[who.index] = _Slot(slot.pause if app.shrank else 0.0)
        elif slot.early < _recycles(app, slot) or slot.leaks:
            slot.early += 1
        else:
            shape = _shape_above_limit(life, size)
            if shape is _Shape.UNKNOWN:
                return []
            if shape is _Shape.FLAT and app.shrank:
                return self._leave_alone(app, slot, who, size, limit, now)
            if shape is _Shape.FLAT:
                app.given_up = True
                return [LimitTooSmall(app.spec.key(), usage=size, limit=limit, recycles=slot.early)]
            slot.leaks = True
        return [self._recycle(app, who, Reason.LIMIT, size, limit, memory, now)]

    def _leave_alone(
        self, app: _App, slot: _Slot, who: InstanceId, size: Bytes, limit: Bytes, now: Seconds
    ) -> list[Decision]:
        """It did fit, and still works: somebody has to see to it, and replacing it would help nobody."""
        is_told = slot.pause > 0
        slot.pause = min(slot.pause * 2 or RETRY_DELAY, LONGEST_PAUSE)
        self._lives[who].blocked_until = now + slot.pause
        return [] if is_told else [LimitShrank(app.spec.key(), usage=size, limit=limit)]

    def _is_due(self, app: _App, life: _Life, size: Bytes, limit: Bytes, now: Seconds) -> bool:
        life.over = life.over + 1 if size >= limit * life.threshold_factor else 0
        return life.over >= app.spec.memory_samples and now >= life.blocked_until

    def _guard_container(
        self, sizes: Mapping[InstanceId, Bytes], memory: Memory, now: Seconds
    ) -> list[Decision]:
        used = memory.working_set
        limit = resolve(self._guard, ceiling=memory.ceiling, instances=1)
        if limit is None or used is None or memory.limit is None:
            return []
        if used < limit or now < self._guard_quiet_until:
            return []
        if any(self._is_locked(app, now) for app in self._apps.values()):
            return []  # memory is about to be freed; what comes of that is seen first
        self._guard_quiet_until = now + GUARD_PAUSE
        grown = [who for who, size in sizes.items() if size >= (self._lives[who].baseline or 0) * _WORTHWHILE]
        if not grown:
            return [GuardStuck(usage=used, limit=limit)]
        who = max(grown, key=sizes.__getitem__)
        return [self._recycle(self._apps[who.key], who, Reason.GUARD, used, limit, memory, now)]

    def _recycle(
        self,
        app: _App,
        who: InstanceId,
        reason: Reason,
        usage: Bytes,
        limit: Bytes,
        memory: Memory,
        now: Seconds,
    ) -> Recycle:
        app.recycling, app.recycling_since, app.recycling_gone = who, now, False
        return Recycle(
            who, reason=reason, usage=usage, limit=limit, overlap=_has_room(memory, self._lives[who].baseline)
        )

    def _is_locked(self, app: _App, now: Seconds) -> bool:
        if app.recycling is not None and now - app.recycling_since >= _LOCK_TIMEOUT:
            app.recycling = None
        return app.recycling is not None

    def _unlock(self, app: _App) -> None:
        """Free the app once the old incarnation is gone and its successor online, in either order."""
        old = app.recycling
        if old is None or not app.recycling_gone:
            return
        if any(
            who.key == old.key and who.index == old.index and who.incarnation > old.incarnation
            for who in self._lives
        ):
            app.recycling = None


def _recycles(app: _App, slot: _Slot) -> int:
    """How many early ones in a row prove something."""
    if not app.shrank:
        return START_RECYCLES
    return 0 if slot.pause else 1


def _shape_above_limit(life: _Life, size: Bytes) -> _Shape:
    """Tell a leak from a limit that is too low, once several lives in a row did not get far.

    Both look the same until the limit is reached; above it the one goes on growing and the other does not.
    """
    grew = size > life.previous * _GROWTH
    if life.flat and grew:
        return _Shape.GROWING
    life.flat += 1
    return _Shape.FLAT if life.flat > START_SAMPLES else _Shape.UNKNOWN


def _has_room(memory: Memory, needed: Bytes | None) -> bool:
    """Whether a second copy fits beside the old one, so that starting it does not cause the OOM kill."""
    if memory.limit is None or memory.working_set is None:
        return True
    return memory.working_set + (needed or 0) <= memory.limit
