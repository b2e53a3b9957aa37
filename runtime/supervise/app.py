"""An app: a cluster of equal instances with indexes 0 to n-1, never a hole between them."""

from collections.abc import Callable, Iterable
from typing import Protocol

from runtime.ecosystem.spec import AppSpec, Condition
from runtime.supervise.instance import Instance, World
from runtime.supervise.restart import Fate
from runtime.supervise.rollout import Outcome, Rollout, can_overlap
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
        self.arriving: list[Instance] = []
        """Started to replace one of `instances`, but not ready yet."""
        self.leaving: list[Instance] = []
        """Replaced or scaled away, but not gone yet."""
        self._additional: list[Instance] = []
        """Those of `instances` that were added to an app that was ready, and are on their way."""
        self.on_message: Callable[[Instance, object], None] | None = None
        """Who else hears about IPC messages."""
        self.wanted = False
        """Somebody started it, and nobody stopped it since."""
        self._rollout: Rollout | None = None
        self._queued: Callable[[], None] | None = None
        """The next operation; a newer one takes its place."""
        self._resize(count)

    @property
    def name(self) -> str:
        """As in the file."""
        return self.spec.name

    @property
    def is_down(self) -> bool:
        """No process of it is left, and none will come by itself."""
        return all(instance.state.is_final for instance in self.members())

    @property
    def will_come_back(self) -> bool:
        """Although it is down, something but a person will start it: its schedule, or a change of a file."""
        timed = self.spec.schedule or (self.spec.cron_restart and not self.has_given_up)
        return self.wanted and bool(timed or self.spec.watch)

    @property
    def is_replacing(self) -> bool:
        """Whether a replacement of instances is under way."""
        return self._rollout is not None

    @property
    def is_ready(self) -> bool:
        """Every instance can work, or did its work; a scheduled job need not run for that.

        Who can work does not stop to while there will be more of it.
        """
        if self.spec.schedule and self.wanted:
            return True
        needed = (i for i in self.instances.values() if i not in self._additional)
        return all(i.state in (State.ONLINE, State.COMPLETED) for i in needed)

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
        return any(instance.was_killed for instance in self.members())

    def members(self) -> list[Instance]:
        """Every instance, those that arrive or leave included."""
        return [*self.instances.values(), *self.arriving, *self.leaving]

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

    def begin(self) -> None:
        """Start with the others; a scheduled job only begins to wait for its time."""
        if self.spec.schedule is None:
            self.start()
            return
        self.wanted = True
        self._world.attendant.changed(self)
        self._observer.app_changed(self)

    def start(self, reason: str = "request") -> None:
        """Start what is not running."""
        self.wanted = True
        for instance in self.instances.values():
            instance.handle(Event.START, reason=reason)
        self._world.attendant.changed(self)

    def stop(self) -> None:
        """Stop everything in order; overrules whatever is under way."""
        self.wanted = False
        self._call_off()
        for instance in self.members():
            instance.handle(Event.STOP)
        self._world.attendant.changed(self)

    def end_run(self) -> None:
        """Stop what runs of a scheduled job, which stays wanted."""
        for instance in self.members():
            instance.handle(Event.STOP)

    def give_up(self, why: str) -> None:
        """It cannot work as it is configured."""
        self._call_off()
        for instance in self.members():
            instance.give_up(why)

    def restart(self) -> None:
        """A fresh life for every instance, all at once."""
        self.wanted = True
        self._call_off()
        for instance in self.instances.values():
            instance.handle(Event.RESTART)

    def kill(self) -> None:
        """End everything now."""
        self.wanted = False
        self._call_off()
        for instance in self.members():
            instance.handle(Event.KILL)
        self._world.attendant.changed(self)

    def reload(
        self,
        spec: AppSpec | None = None,
        *,
        indexes: Iterable[int] | None = None,
        reason: str = "reload",
        cause: str = "",
        on_done: Callable[[Outcome], None] | None = None,
    ) -> None:
        """Replace the processes of some slots, or of all, without a gap in service where that is possible.

        `spec` is what the new ones are made from; it becomes the app's when the rollout succeeds. One
        operation at a time: while another one is under way this one waits, and a newer one takes its place.
        `cause` is one word for `reason`, where that is a sentence.
        """
        if self._rollout is not None:
            self._queued = lambda: self.reload(
                spec, indexes=indexes, reason=reason, cause=cause, on_done=on_done
            )
            return
        new = spec or self.spec
        slots = [
            index
            for index in (self.instances if indexes is None else indexes)
            if index in self.instances and not self.instances[index].state.is_final
        ]

        def done(outcome: Outcome) -> None:
            self._rollout = None
            self._tell_outcome(outcome, reason)
            if not outcome.failure:
                self._adopt(new)
            if on_done is not None:
                on_done(outcome)
            queued, self._queued = self._queued, None
            if queued is not None and self.wanted:
                queued()

        overlap = can_overlap(new)
        how = "each new one before its old one stops" if overlap else "one after another"
        text = f"replacing {len(slots)} instances, {how}"
        self._log("info", "app.reload", text, reason=reason, instances=len(slots), overlap=overlap)
        clock = self._world.clock
        self._rollout = Rollout(self, new, slots, done, clock, reason=cause or reason)
        self._rollout.step()

    def scale(self, count: int) -> None:
        """Have `count` instances: new ones start, the newest leave first."""
        works = self.wanted and bool(self.instances) and self.is_ready
        before = len(self.instances)
        self._resize(count)
        if works:
            self._additional += [self.instances[index] for index in range(before, count)]
        if self.wanted and not self.spec.schedule:
            for instance in self.instances.values():
                if instance.state is State.STOPPED and instance.incarnation == 0:
                    instance.handle(Event.START)
        self._world.attendant.changed(self)

    def signal(self, number: int) -> None:
        """Forward a signal to the main process of every instance."""
        for instance in self.members():
            instance.signal(number)

    def forget_kills(self) -> None:
        """What had to be killed so far has nothing to do with the stop that begins now."""
        for instance in self.members():
            instance.was_killed = False

    # -- called by instances ---------------------------------------------------------------------------

    def instance_changed(self, instance: Instance, before: State) -> None:
        """One of ours entered another state."""
        del before
        starts = instance.incarnation == 1 and instance.state in (State.PREPARING, State.STARTING)
        if instance in self._additional and not starts:
            self._additional.remove(instance)
        if instance in self.leaving and instance.state.is_final:
            self.leaving.remove(instance)
            slots = {*self.instances, *(other.index for other in self.leaving)}
            if instance.index not in slots:
                self._world.outfitter.retire(self.spec, instance.index)
        if self._rollout is not None:
            self._rollout.step()
        self._observer.app_changed(self)
        self._world.attendant.changed(self)

    def instance_unhealthy(self, instance: Instance) -> bool:
        """Replace it without a gap if that is possible; False leaves it to the instance itself."""
        if self.instances.get(instance.index) is not instance or not can_overlap(self.spec):
            return False

        def done(outcome: Outcome) -> None:
            if outcome.failure:
                instance.handle(Event.UNHEALTHY)

        self.reload(indexes=[instance.index], reason=instance.reason, cause="unhealthy", on_done=done)
        return True

    def instance_message(self, instance: Instance, value: object) -> None:
        """An IPC message nobody else understood."""
        self._log("debug", "instance.message", instance=instance.index, data=repr(value)[:200])
        if self.on_message is not None:
            self.on_message(instance, value)

    # -- called by the rollout ---------------------------------------------------------------------------

    def prepare(self, index: int, spec: AppSpec) -> Instance:
        """A successor for a slot; its incarnations are counted on from those before."""
        successor = Instance(spec, index, self._world, self, before=self.instances[index])
        self.arriving.append(successor)
        return successor

    def promote(self, successor: Instance) -> Instance:
        """The successor takes over; its predecessor is drained and stopped."""
        predecessor = self.instances[successor.index]
        self.instances[successor.index] = successor
        self.arriving.remove(successor)
        successor.is_trial = False
        successor.app = self._rollout.spec if self._rollout else self.spec
        self._dismiss(predecessor)
        return predecessor

    def discard(self, successor: Instance) -> None:
        """It did not get ready, or is not wanted any more."""
        self.arriving.remove(successor)
        self._dismiss(successor)

    # -- helpers ---------------------------------------------------------------------------------------

    def _dismiss(self, instance: Instance) -> None:
        """Have it stop; it counts as ours until it is gone."""
        if not instance.state.is_final:
            self.leaving.append(instance)
            instance.handle(Event.STOP)

    def _call_off(self) -> None:
        self._queued = None
        if self._rollout is not None:
            self._rollout.cancel()

    def _adopt(self, spec: AppSpec) -> None:
        self.spec = spec
        for instance in self.instances.values():
            instance.app = spec
        self._world.attendant.changed(self)

    def _tell_outcome(self, outcome: Outcome, reason: str) -> None:
        if outcome.failure:
            self._log(
                "error",
                "app.reload_failed",
                f"{outcome.failure}; the others were not touched",
                replaced=outcome.replaced,
                reason=reason,
            )
        else:
            text = f"replaced {outcome.replaced} instances"
            self._log("info", "app.reloaded", text, replaced=outcome.replaced, reason=reason)

    def _resize(self, count: int) -> None:
        for index in range(len(self.instances), count):
            self.instances[index] = Instance(self.spec, index, self._world, self)
        for index in range(len(self.instances) - 1, count - 1, -1):
            if self._rollout is not None:
                self._rollout.forget(index)
            self._dismiss(self.instances.pop(index))

    def _log(self, level: str, event: str, message: str = "", **fields: object) -> None:
        self._world.log.event(level, event, message, **self.spec.labels(), **fields)
