"""Replaces instances that have become too old (`max_age`, `max_age_jitter`), each life by its own time."""

from collections.abc import Callable
from functools import partial

from pidone.contracts import Clock, InstanceId, Timer
from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.record import Record
from pidone.supervise.app import App
from pidone.supervise.instances.states import State
from pidone.supervise.wanted import Replacement


class _Age(Record):
    """The time of an incarnation."""

    timer: Timer
    ends: Seconds


class Ages:
    """The times of all incarnations. It is told that an app changed, and looks for itself how."""

    def __init__(self, *, clock: Clock, random: Callable[[], float]) -> None:
        """`random` gives numbers in [0, 1)."""
        self._clock = clock
        self._random = random
        self._ages: dict[tuple[str, str], dict[InstanceId, _Age]] = {}

    def sync(self, app: App) -> None:
        """The time of an incarnation runs from its readiness on, by the spec that it was made from."""
        members, ages = app.members(), self._ages.setdefault(app.spec.key(), {})
        alive = {member.who for member in members if member.state.has_process}
        for who in [who for who in ages if who not in alive]:
            ages.pop(who).timer.cancel()
        for member in members:
            if member.app.max_age is not None and member.state is State.ONLINE and member.who not in ages:
                ages[member.who] = self._age(app, member.app, member.who, member.app.max_age)

    def stop(self) -> None:
        """The runtime ends."""
        for age in [age for ages in self._ages.values() for age in ages.values()]:
            age.timer.cancel()
        self._ages.clear()

    def time_left(self, who: InstanceId) -> Seconds | None:
        """How long an incarnation may go on; None without `max_age`, or before it is ready."""
        age = self._ages.get(who.key, {}).get(who)
        return None if age is None else max(0.0, age.ends - self._clock.time())

    def _age(self, app: App, spec: AppSpec, who: InstanceId, max_age: Seconds) -> _Age:
        lasts = expires_in(max_age, spec.max_age_jitter, self._random)
        expire = partial(self._expire, app, spec, who, max_age)
        return _Age(self._clock.call_later(lasts, expire), self._clock.time() + lasts)

    def _expire(self, app: App, spec: AppSpec, who: InstanceId, max_age: Seconds) -> None:
        # One that cannot be replaced now gets another full time.
        self._ages[who.key][who] = self._age(app, spec, who, max_age)
        app.replace(Replacement(who=who, reason="max_age"))


def expires_in(max_age: Seconds, jitter: Seconds, random: Callable[[], float]) -> Seconds:
    """Lifetime of one incarnation from its readiness on: `max_age` and up to `jitter` more.

    Instances that started together come due apart, each life drawing anew. `random` gives numbers in [0, 1).
    """
    return max_age + jitter * random()
