"""An app: a cluster of equal instances with indexes 0 to n-1, never a hole between them."""

from collections.abc import Callable
from typing import Protocol

from runtime.ecosystem.spec import AppSpec, Condition
from runtime.supervise.instance import Instance, World
from runtime.supervise.restart import Fate
from runtime.supervise.states import Event, State


class AppObserver(Protocol):
    """Who hears about an app: the supervisor."""

    def app_changed(self, app: "App") -> None: ...


class App:
    """Keeps the wanted number of instances of one spec."""

    def __init__(self, spec: AppSpec, count: int, world: World, observer: AppObserver) -> None:
        """`count` instances, all stopped until `start`."""
        self.spec = spec
        self._world = world
        self._observer = observer
        self.instances: dict[int, Instance] = {}
        self.leaving: list[Instance] = []
        """Scaled away, but not gone yet."""
        self.on_message: Callable[[Instance, object], None] | None = None
        """Who else hears about IPC messages."""
        self.wanted = False
        """Somebody started it, and nobody stopped it since."""
        self._resize(count)

    @property
    def name(self) -> str:
        """As in the file."""
        return self.spec.name

    @property
    def is_down(self) -> bool:
        """No process of it is left, and none will come by itself."""
        return all(instance.state.is_final for instance in self._all())

    @property
    def is_ready(self) -> bool:
        """Every instance can work, or did its work."""
        return all(i.state in (State.ONLINE, State.COMPLETED) for i in self.instances.values())

    @property
    def has_given_up(self) -> bool:
        """An instance ended for good although nobody asked for it, and not well."""
        return any(i.state.is_final and i.fate not in (None, Fate.COMPLETED) for i in self.instances.values())

    @property
    def ended_by_itself(self) -> bool:
        """Every instance ended for good without being asked to."""
        return self.is_down and all(i.fate is not None for i in self.instances.values())

    @property
    def was_put_to_rest(self) -> bool:
        """It ran and somebody stopped it on purpose, so somebody will start it again."""
        return not self.wanted and any(i.incarnation and i.fate is None for i in self.instances.values())

    @property
    def was_killed(self) -> bool:
        """Whether any instance had to be killed at its last stop."""
        return any(instance.was_killed for instance in self._all())

    def satisfies(self, condition: Condition) -> bool:
        """Whether dependents that wait for this condition may start."""
        states = [instance.state for instance in self.instances.values()]
        if condition is Condition.COMPLETED:
            return all(state is State.COMPLETED for state in states)
        if condition is Condition.READY:
            return self.is_ready
        return all(state.has_process or state is State.COMPLETED for state in states)

    def can_satisfy(self, condition: Condition) -> bool:
        """Whether that may still come true without anybody's help."""
        if self.satisfies(condition):
            return True
        if condition is Condition.COMPLETED and self.spec.autorestart:
            return not self.is_down
        return self.wanted and not self.has_given_up

    def start(self) -> None:
        """Start what is not running."""
        self.wanted = True
        self._tell(Event.START)

    def stop(self) -> None:
        """Stop everything in order; overrules whatever is under way."""
        self.wanted = False
        self._tell(Event.STOP)

    def restart(self) -> None:
        """A fresh life for every instance."""
        self.wanted = True
        self._tell(Event.RESTART)

    def kill(self) -> None:
        """End everything now."""
        self.wanted = False
        self._tell(Event.KILL)

    def scale(self, count: int) -> None:
        """Have `count` instances: new ones start, the newest leave first."""
        self._resize(count)
        if self.wanted:
            for instance in self.instances.values():
                if instance.state is State.STOPPED and instance.incarnation == 0:
                    instance.handle(Event.START)

    def signal(self, number: int) -> None:
        """Forward a signal to the main process of every instance."""
        for instance in self._all():
            instance.signal(number)

    def forget_kills(self) -> None:
        """What had to be killed so far has nothing to do with the stop that begins now."""
        for instance in self._all():
            instance.was_killed = False

    # -- called by instances ---------------------------------------------------------------------------

    def instance_changed(self, instance: Instance, before: State) -> None:
        """One of ours entered another state."""
        del before
        if instance in self.leaving and instance.state.is_final:
            self.leaving.remove(instance)
        self._observer.app_changed(self)

    def instance_message(self, instance: Instance, value: object) -> None:
        """An IPC message nobody else understood."""
        self._world.log.event(
            "debug", "instance.message", app=self.name, instance=instance.index, data=repr(value)[:200]
        )
        if self.on_message is not None:
            self.on_message(instance, value)

    # -- helpers ---------------------------------------------------------------------------------------

    def _all(self) -> list[Instance]:
        return [*self.instances.values(), *self.leaving]

    def _tell(self, event: Event) -> None:
        for instance in self._all():
            if event in (Event.START, Event.RESTART) and instance in self.leaving:
                continue
            instance.handle(event)

    def _resize(self, count: int) -> None:
        for index in range(len(self.instances), count):
            self.instances[index] = Instance(self.spec, index, self._world, self)
        for index in range(len(self.instances) - 1, count - 1, -1):
            instance = self.instances.pop(index)
            if not instance.state.is_final:
                self.leaving.append(instance)
                instance.handle(Event.STOP)
