"""The instances that an app has: those that hold a slot, those that arrive, and those that leave."""

from pidone.ecosystem.spec import AppSpec, Condition, OnReadyTimeout
from pidone.supervise.collaborators import World
from pidone.supervise.instances.incarnation import Numbers
from pidone.supervise.instances.instance import Instance, Observer
from pidone.supervise.instances.restart import Fate
from pidone.supervise.instances.states import Event, State


class Actual:
    """What is there of an app, as `wanted.py` is what is wanted of it.

    It changes by what its app does with it, and by what happens to instances.
    """

    def __init__(
        self, spec: AppSpec, count: int, world: World, observer: Observer, numbers: dict[int, Numbers]
    ) -> None:
        """`count` instances, all stopped; `observer` hears of every one of them.

        `numbers` count the incarnations of each slot, so that none has a number that another one had.
        """
        self._world = world
        self._observer = observer
        self._numbers = numbers
        self.arriving: list[Instance] = []
        """Started to replace one of `instances`, but not ready yet."""
        self.leaving: list[Instance] = []
        """Replaced or scaled away, but not gone yet."""
        self._additional: set[Instance] = set()
        """Those of `instances` that were added to an app that was ready, and are on their way."""
        self.instances: dict[int, Instance] = {}
        """By slot."""
        for index in range(count):
            self._create(index, spec)

    @property
    def members(self) -> list[Instance]:
        """Every instance, those that arrive or leave included."""
        return [*self.instances.values(), *self.arriving, *self.leaving]

    @property
    def is_final(self) -> bool:
        """No process is left, and none will come by itself."""
        for members in (self.instances.values(), self.arriving, self.leaving):
            for instance in members:
                if not instance.state.is_final:
                    return False
        return True

    @property
    def is_ready(self) -> bool:
        """Every instance can work, or did its work; who can still does while there will be more of it."""
        needed = (i for i in self.instances.values() if i not in self._additional)
        return all(i.state in (State.ONLINE, State.COMPLETED) for i in needed)

    @property
    def has_given_up(self) -> bool:
        """An instance ended for good although nobody asked for it, and not well."""
        return any(i.state.is_final and i.fate not in (None, Fate.COMPLETED) for i in self.instances.values())

    @property
    def is_given_up(self) -> bool:
        """An instance failed so often that it is not tried any more."""
        return any(i.state.is_final and i.fate is Fate.GAVE_UP for i in self.instances.values())

    def satisfies(self, condition: Condition) -> bool:
        """Whether dependents that wait for this condition may start."""
        states = [instance.state for instance in self.instances.values()]
        if condition is Condition.COMPLETED:
            return all(state is State.COMPLETED for state in states)
        if condition is Condition.READY:
            return self.is_ready
        return all(state.has_process or state is State.COMPLETED for state in states)

    def at(self, index: int) -> list[Instance]:
        """Everything of a slot."""
        present = [self.instances[index]] if index in self.instances else []
        return [*present, *(each for each in (*self.arriving, *self.leaving) if each.index == index)]

    def noticed(self, instance: Instance) -> None:
        """An instance has changed its state."""
        if instance in self._additional and not instance.is_on_its_first_way:
            self._additional.discard(instance)

    def adopt(self, spec: AppSpec) -> None:
        """What starts from now on is made from this, and what runs goes by its rules."""
        for instance in self.instances.values():
            instance.app = spec

    def add(self, index: int, spec: AppSpec) -> Instance:
        """Make room for one instance more."""
        works = bool(self.instances) and self.is_ready
        instance = self._create(index, spec)
        if works:
            self._additional.add(instance)
        return instance

    def remove(self, index: int) -> None:
        """One instance less: it stops, and its slot goes."""
        self._additional.discard(self.instances[index])
        self._dismiss(self.instances.pop(index))

    def prepare(self, index: int, spec: AppSpec, reason: str) -> None:
        """Start a successor beside the instance of a slot."""
        old = self.instances[index]
        successor = Instance(_on_trial(old, spec), index, self._world, self._observer, before=old)
        self.arriving.append(successor)
        successor.handle(Event.START, reason=reason)

    def promote(self, index: int, spec: AppSpec) -> None:
        """A successor takes over; its predecessor is drained and stopped."""
        successor = self._take(index)
        predecessor, self.instances[index] = self.instances[index], successor
        self._additional.discard(predecessor)
        successor.is_trial = False
        successor.app = spec
        self._dismiss(predecessor)

    def discard(self, index: int) -> None:
        """A successor did not get ready, or is not wanted any more."""
        self._dismiss(self._take(index))

    def forget_gone(self, spec: AppSpec) -> None:
        """Who was leaving and has gone is ours no more; a queue that lost its slot goes to the others."""
        gone = [instance for instance in self.leaving if instance.state.is_final]
        if not gone:
            return
        self.leaving = [instance for instance in self.leaving if instance not in gone]
        taken = {*self.instances, *(other.index for other in self.leaving)}
        for index in dict.fromkeys(instance.index for instance in gone):
            if index not in taken:
                self._world.broker.retire(spec, index)

    def _create(self, index: int, spec: AppSpec) -> Instance:
        numbers = self._numbers.setdefault(index, Numbers())
        instance = self.instances[index] = Instance(spec, index, self._world, self._observer, numbers=numbers)
        return instance

    def _take(self, index: int) -> Instance:
        successor = next(each for each in self.arriving if each.index == index)
        self.arriving.remove(successor)
        return successor

    def _dismiss(self, instance: Instance) -> None:
        """Have it stop; it counts as ours until it is gone."""
        if not instance.state.is_final:
            self.leaving.append(instance)
            instance.handle(Event.STOP)


def _on_trial(old: Instance, spec: AppSpec) -> AppSpec:
    """The spec of a successor: late or crashed is failed, even where a first start would not be.

    Where the old process never said that it is ready either, the new one cannot be expected to.
    """
    never_tells = old.state is State.ONLINE and not old.life.ready_by and old.app.ready == spec.ready
    if never_tells:
        return spec.but(autorestart=False)
    patience = max(spec.listen_timeout, spec.reload_timeout)
    return spec.but(on_ready_timeout=OnReadyTimeout.FAIL, listen_timeout=patience, autorestart=False)
