"""When memory makes an instance due for replacement: limits per app, and a guard for the container.

Pure: figures and the time go in, wishes come out. Who files them tells back what became of them (`online`,
`gone`, `postponed`, `released`). At most one instance of an app is being replaced at any time.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from enum import Enum, auto
from math import inf
from typing import Final, Literal

from pidone.contracts import InstanceId
from pidone.ecosystem.spec import AppSpec, Bytes, MemoryLimit, Seconds
from pidone.host.memory import Memory
from pidone.record import EMPTY, Record
from pidone.supervise.memory.limits import mib, resolve

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
IDLE_INTERVAL: Final[Seconds] = 5.0
"""Between two samples when nobody has a limit: figures for people only."""
_EARLY: Final = 0.9
"""An app is judged again when this share of its interval has passed: ticks are never exact."""
_LOCK_TIMEOUT: Final[Seconds] = 300.0
"""A recycle nobody reports back on (its slot was scaled away) blocks the app no longer than this."""
_GROWTH: Final = 1.02
"""Growth per sample below which an instance counts as done growing."""
_WORTHWHILE: Final = 1.1
"""The guard recycles only what has grown this much since its start: a fresh copy of others frees nothing."""


class Act(Enum):
    """What a wish asks for."""

    REPLACE = auto()
    """A new process for an incarnation."""
    SOFTEN = auto()
    """The app's soft-limit signal or message, now."""
    GIVE_UP = auto()
    """The end of an app that does not fit its limit."""
    TELL = auto()
    """Nothing but the event."""


class Wish(Record, kw_only=True):
    """One thing that shall be done, and what is told of it."""

    act: Act
    message: str
    who: InstanceId | None = None
    """Whom it concerns; none if it is the container."""
    event: str = "instance.memory"
    level: Literal["info", "warning"] = "warning"
    fields: Mapping[str, int] = EMPTY
    """Of the event."""
    reason: Literal["", "max_memory_restart", "memory_guard"] = ""
    """Of a replacement."""
    overlap: bool = True
    """Whether there is room to start the new one before the old one stops."""


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
        self.judged_at: Seconds = -inf
        self.lives: dict[InstanceId, _Life] = {}
        """Who is online."""
        self.recycling: InstanceId | None = None
        """Who is being replaced for the memory he uses."""
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

    def exact_from(self, ceiling: Bytes | None) -> Bytes | None:
        """The size from which on it matters how exact a figure is; None if it never does."""
        limits = (self.spec.max_memory_restart, self.spec.memory_soft_limit)
        sizes = (resolve(limit, ceiling=ceiling, instances=self.instances) for limit in limits)
        least = min((size for size in sizes if size is not None), default=None)
        return None if least is None else int(least * (1 - JITTER))

    def is_early(self, age: Seconds) -> bool:
        """Whether an age counts as right after the start: there must be time for all the samples it takes."""
        samples = self.spec.memory_samples + START_SAMPLES + 1
        return age < max(START_WINDOW, samples * self.spec.memory_interval)


class MemoryPolicy:
    """The memory of all apps of one container."""

    def __init__(self, *, random: Callable[[], float], guard: MemoryLimit | None = None) -> None:
        """`random` gives numbers in [0, 1) for the jitter; `guard` is `[runtime] memory_guard`."""
        self.guard = guard
        """The limit of the container from now on."""
        self._random = random
        self._guard_quiet_until: Seconds = 0.0
        self._apps: dict[tuple[str, str], _App] = {}

    # -- what there is -----------------------------------------------------------------------------------

    def adopt(self, spec: AppSpec, *, instances: int) -> bool:
        """Watch an app from now on; whether it, its spec or its number of instances is new."""
        known = self._apps.get(spec.key())
        if known is None:
            self._apps[spec.key()] = _App(spec, instances)
            return True
        if known.spec.max_memory_restart != spec.max_memory_restart:
            known.slots.clear()
            known.given_up = False
            known.forget_limits()
        is_new = (known.spec, known.instances) != (spec, instances)
        known.spec, known.instances = spec, instances
        return is_new

    def resized(self, before: Bytes | None) -> None:
        """The container had another ceiling until now, which nobody may have been judged by yet."""
        for app in self._apps.values():
            limit = resolve(app.spec.max_memory_restart, ceiling=before, instances=app.instances)
            if limit is not None:
                app.compare(limit)

    def forget(self, key: tuple[str, str]) -> None:
        """Stop watching an app (by `AppSpec.key()`): it was stopped or deleted."""
        self._apps.pop(key, None)

    def adopted(self) -> list[tuple[AppSpec, int]]:
        """The apps that are watched, with their numbers of instances."""
        return [(app.spec, app.instances) for app in self._apps.values()]

    def lives(self, key: tuple[str, str]) -> Collection[InstanceId]:
        """Who is online of an app."""
        return self._apps[key].lives.keys() if key in self._apps else ()

    def recycling(self, key: tuple[str, str]) -> InstanceId | None:
        """Whose replacement was asked for, and is not over as far as one was told."""
        return self._apps[key].recycling if key in self._apps else None

    def online(self, who: InstanceId, now: Seconds) -> None:
        """An incarnation is ready: from now on its samples count."""
        app = self._apps.get(who.key)
        if app is None:
            return
        # Each life gets a limit that is a little lower by chance, so that equal instances which leak at the
        # same pace do not come due together. Lower, not later: jitter must not delay what is urgent.
        app.lives[who] = _Life(now, 1 - JITTER * self._random())
        if app.given_up:  # somebody started it again, and its limit counts as before
            app.given_up = False
            app.slots.clear()
        self._unlock(app)

    def gone(self, who: InstanceId) -> None:
        """An incarnation has ended, or is being stopped for another reason."""
        app = self._apps.get(who.key)
        if app is None:
            return
        app.lives.pop(who, None)
        if app.recycling == who:
            app.recycling_gone = True
            self._unlock(app)

    def postponed(self, who: InstanceId, now: Seconds) -> None:
        """The replacement did not come up and the old instance stays: try again after a pause."""
        app = self._apps.get(who.key)
        if app is not None and app.recycling == who:
            app.recycling = None
            if life := app.lives.get(who):
                life.blocked_until = now + RETRY_DELAY

    def released(self, who: InstanceId) -> None:
        """Its replacement is over, and nobody is on the way in its slot: others may be recycled again."""
        app = self._apps.get(who.key)
        if app is not None and app.recycling == who:
            app.recycling = None

    # -- what follows ------------------------------------------------------------------------------------

    @property
    def interval(self) -> Seconds:
        """Between two samples; a guard wants one each second."""
        specs = (app.spec for app in self._apps.values())
        limited = [
            spec.memory_interval
            for spec in specs
            if spec.max_memory_restart is not None or spec.memory_soft_limit is not None
        ]
        return min(limited + [1.0] * (self.guard is not None), default=IDLE_INTERVAL)

    def due(self, ceiling: Bytes | None, now: Seconds) -> Iterator[tuple[AppSpec, Bytes | None]]:
        """The apps that are to be measured now, each with the size from which on exactness matters."""
        for app in self._apps.values():
            if now - app.judged_at >= app.spec.memory_interval * _EARLY:
                app.judged_at = now
                yield app.spec, app.exact_from(ceiling)

    def judge(self, sizes: Mapping[InstanceId, Bytes], memory: Memory, now: Seconds) -> list[Wish]:
        """Decide on one sample; those that are not online are ignored."""
        wishes: list[Wish] = []
        for app in self._apps.values():
            for who, life in app.lives.items():
                if life.baseline is None:
                    life.baseline = sizes.get(who)
        for app in self._apps.values():
            own = {who: sizes[who] for who in app.lives if who in sizes}
            wishes += self._hard(app, own, memory, now)
            for who, size in own.items():
                app.lives[who].previous = size
                wishes += self._soft(app, who, size, memory, now)
        return wishes + self._guard_container(sizes, memory, now)

    def _soft(self, app: _App, who: InstanceId, size: Bytes, memory: Memory, now: Seconds) -> list[Wish]:
        life = app.lives[who]
        limit = app.resolve(app.spec.memory_soft_limit, memory)
        if life.softened_at is not None and life.softened_from is not None:
            if now - life.softened_at < SOFT_SETTLE:
                return []
            before, life.softened_from = life.softened_from, None
            message = f"from {mib(before)} to {mib(size)} after it was asked to free memory"
            fields = {"instance": who.index, "before_bytes": before, "after_bytes": size}
            event = "instance.memory_softened"
            return [Wish(act=Act.TELL, who=who, event=event, level="info", message=message, fields=fields)]
        cooled = life.softened_at is None or now - life.softened_at >= app.spec.memory_soft_cooldown
        if limit is None or size < limit or not cooled or app.recycling == who:
            return []
        life.softened_at, life.softened_from = now, size
        message = f"the instance uses {mib(size)}, memory_soft_limit is {mib(limit)}"
        fields = {"instance": who.index, "rss_bytes": size}
        return [Wish(act=Act.SOFTEN, who=who, message=message, fields=fields)]

    def _hard(self, app: _App, sizes: Mapping[InstanceId, Bytes], memory: Memory, now: Seconds) -> list[Wish]:
        limit = app.resolve(app.spec.max_memory_restart, memory)
        if limit is None or app.given_up:
            return []
        if app.compare(limit):
            for who in sizes:
                app.lives[who].blocked_until = 0.0
        due = [who for who, size in sizes.items() if _is_due(app, app.lives[who], size, limit, now)]
        if not due or self._is_locked(app, now):
            return []
        who = max(due, key=sizes.__getitem__)
        life, size = app.lives[who], sizes[who]
        slot = app.slots.setdefault(who.index, _Slot())
        if not app.is_early(now - life.online_at):
            app.slots[who.index] = _Slot(slot.pause if app.shrank else 0.0)
        elif slot.early < _recycles(app, slot) or slot.leaks:
            slot.early += 1
        else:
            shape = _shape_above_limit(life, size)
            if shape is _Shape.UNKNOWN:
                return []
            if shape is _Shape.FLAT:
                return self._does_not_fit(app, slot, who, size, limit, now)
            slot.leaks = True
        used = f"the instance uses {mib(size)}, max_memory_restart is {mib(limit)}"
        return [self._replace(app, who, "max_memory_restart", used, size, limit, memory, now)]

    def _does_not_fit(
        self, app: _App, slot: _Slot, who: InstanceId, size: Bytes, limit: Bytes, now: Seconds
    ) -> list[Wish]:
        """It needs more than it may have. If it did fit once, replacing it now and then is all one can do."""
        needs = f"needs {mib(size)} right after its start"
        if not app.shrank:
            app.given_up = True
            message = (
                f"{needs}, above its max_memory_restart of {mib(limit)}; replaced {slot.early} times in vain"
            )
            return [Wish(act=Act.GIVE_UP, who=who, message=message)]
        is_told = slot.pause > 0
        slot.pause = min(slot.pause * 2 or RETRY_DELAY, LONGEST_PAUSE)
        app.lives[who].blocked_until = now + slot.pause
        message = (
            f"{needs}, and max_memory_restart has shrunk to {mib(limit)}: "
            "it is replaced again after pauses that become longer and longer"
        )
        return [] if is_told else [Wish(act=Act.TELL, who=who, event="config.warning", message=message)]

    def _guard_container(self, sizes: Mapping[InstanceId, Bytes], memory: Memory, now: Seconds) -> list[Wish]:
        used = memory.working_set
        limit = resolve(self.guard, ceiling=memory.ceiling, instances=1)
        if limit is None or used is None or memory.limit is None:
            return []
        if used < limit or now < self._guard_quiet_until:
            return []
        if any(self._is_locked(app, now) for app in self._apps.values()):
            return []  # memory is about to be freed; what comes of that is seen first
        self._guard_quiet_until = now + GUARD_PAUSE
        grown = {
            who: (sizes[who], app)
            for app in self._apps.values()
            for who, life in app.lives.items()
            if who in sizes and sizes[who] >= (life.baseline or 0) * _WORTHWHILE
        }
        full = f"the container uses {mib(used)}, memory_guard is {mib(limit)}"
        if not grown:
            message = (
                f"{full}, and no instance has grown since its start: the limit is too low for these apps"
            )
            return [Wish(act=Act.TELL, event="runtime.memory", message=message)]
        who = max(grown, key=lambda who: grown[who][0])
        return [self._replace(grown[who][1], who, "memory_guard", full, used, limit, memory, now)]

    def _replace(
        self,
        app: _App,
        who: InstanceId,
        reason: Literal["max_memory_restart", "memory_guard"],
        why: str,
        usage: Bytes,
        limit: Bytes,
        memory: Memory,
        now: Seconds,
    ) -> Wish:
        app.recycling, app.recycling_since, app.recycling_gone = who, now, False
        overlap = _has_room(memory, app.lives[who].baseline)
        how = "replaced" if overlap else "restarted, as the container has no room for two of them"
        return Wish(
            act=Act.REPLACE,
            who=who,
            message=f"{why}: it is being {how}",
            fields={"instance": who.index, "rss_bytes": usage, "limit_bytes": limit},
            reason=reason,
            overlap=overlap,
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
        if any(who.index == old.index and who.incarnation > old.incarnation for who in app.lives):
            app.recycling = None


def _is_due(app: _App, life: _Life, size: Bytes, limit: Bytes, now: Seconds) -> bool:
    life.over = life.over + 1 if size >= limit * life.threshold_factor else 0
    return life.over >= app.spec.memory_samples and now >= life.blocked_until


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
