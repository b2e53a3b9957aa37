"""An app: a cluster of equal instances with indexes 0 to n-1, never a hole between them."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, Protocol

from pidone.contracts import InstanceId
from pidone.ecosystem.spec import AppSpec, Condition
from pidone.errors import ListenError
from pidone.record import Record
from pidone.supervise.collaborators import World
from pidone.supervise.instance import Instance
from pidone.supervise.restart import Fate
from pidone.supervise.rollout import Outcome, Rollout, can_overlap
from pidone.supervise.states import Event, State

_AT_REST: Final = (State.STOPPED, State.COMPLETED)
"""What a reload leaves alone. One that has given up gets a new chance."""


class AppObserver(Protocol):
    """Who hears about an app: the supervisor."""

    def app_changed(self, app: "App") -> None: ...


class _Reload(Record, kw_only=True):
    """A rolling reload that was asked for; the words are those of `App.reload`."""

    spec: AppSpec
    indexes: Iterable[int] | None
    reason: str
    cause: str
    on_done: Callable[[Outcome], None] | None


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
        self._next: _Reload | None = None
        """What comes after the rollout that is under way; a newer one takes its place."""
        self._sick: list[InstanceId] = []
        """Incarnations to be replaced after that."""
        self._count_then: int | None = None
        """How many instances there shall be when all that has succeeded."""
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
    def aim(self) -> AppSpec:
        """The spec it has, or will have if the reloads that were asked for succeed."""
        if self._next is not None:
            return self._next.spec
        return self._rollout.spec if self._rollout is not None else self.spec

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
        count: int | None = None,
        reason: str = "reload",
        cause: str = "",
        on_done: Callable[[Outcome], None] | None = None,
    ) -> None:
        """Replace the processes of some slots, or of all, without a gap in service where that is possible.

        `spec` is what the new ones are made from; it becomes the app's when the rollout succeeds, and then
        there will be `count` instances. One operation at a time: while another one is under way this one
        waits, and a newer one takes its place. `cause` is one word for `reason`, where that is a sentence.
        """
        if count is not None:
            self._count_then = count
        wish = _Reload(
            spec=spec or self.aim, indexes=indexes, reason=reason, cause=cause or reason, on_done=on_done
        )
        if self._rollout is not None:
            self._next = wish
        else:
            self._begin_rollout(wish)

    def scale(self, count: int, spec: AppSpec | None = None) -> None:
        """Have `count` instances: new ones start, the newest leave first.

        `spec` differs from the present one by its `instances` only; that of a rollout stays what it is.
        """
        self._count_then = None
        if spec is not None and self._rollout is None:
            self.spec = spec
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
                self._world.broker.retire(self.spec, instance.index)
        if self._rollout is not None:
            self._rollout.step()
        self._observer.app_changed(self)
        self._world.attendant.changed(self)

    def instance_unhealthy(self, instance: Instance) -> bool:
        """Replace it without a gap if that is possible; False leaves it to the instance itself."""
        is_mine = self.instances.get(instance.index) is instance
        if not (is_mine and self.wanted and can_overlap(self.spec)):
            return False

        self._sick.append(instance.who)
        self._proceed()
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
        """The rollout ends here; what starts from now on is of the spec that it was to bring."""
        aim, rollout = self.aim, self._rollout
        self._next = self._count_then = self._rollout = None
        self._sick.clear()
        if rollout is not None:
            self._adopt(aim)
            rollout.cancel()

    def _begin_rollout(self, wish: "_Reload") -> None:
        slots = [
            index
            for index in (self.instances if wish.indexes is None else wish.indexes)
            if index in self.instances and self.instances[index].state not in _AT_REST
        ]

        def done(outcome: Outcome) -> None:
            failed_by_itself = self._rollout is not None and outcome.failure
            self._rollout = None
            self._tell_outcome(outcome, wish.reason)
            if not outcome.failure:
                self._adopt(wish.spec)
            elif failed_by_itself:
                self._return_to(self.spec)
            if wish.on_done is not None:
                wish.on_done(outcome)
            self._proceed()

        overlap = can_overlap(wish.spec)
        how = "each new one before its old one stops" if overlap else "one after another"
        text = f"replacing {len(slots)} instances, {how}"
        self._log("info", "app.reload", text, reason=wish.reason, instances=len(slots), overlap=overlap)
        self._rollout = Rollout(self, wish.spec, slots, done, self._world.clock, reason=wish.cause)
        self._rollout.step()

    def _proceed(self) -> None:
        """Begin what has waited for the end of a rollout."""
        if self._rollout is not None or not self.wanted:
            return
        if self._next is not None:
            wish, self._next = self._next, None
            self._begin_rollout(wish)
            return
        if self._count_then is not None:
            self.scale(self._count_then)
        while self._sick and self._rollout is None:
            who = self._sick.pop(0)
            instance = self.instances.get(who.index)
            if instance is not None and instance.who == who and instance.state.has_process:
                self._replace_sick(instance)

    def _replace_sick(self, instance: Instance) -> None:
        def done(outcome: Outcome) -> None:
            if outcome.failure:
                instance.handle(Event.UNHEALTHY)

        self.reload(indexes=[instance.index], reason=instance.reason, cause="unhealthy", on_done=done)

    def _return_to(self, spec: AppSpec) -> None:
        """The sockets and the balance of this spec count again, unless the next reload brings its own."""
        if self._next is None:
            self._count_then = None
            with suppress(ListenError):  # who needs what is missing now is told so at its start
                self._world.broker.open(spec)

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
            if self._rollout is not None and self._rollout.spec is not self.spec:
                self._rollout.include(index)
        for index in range(len(self.instances) - 1, count - 1, -1):
            if self._rollout is not None:
                self._rollout.forget(index)
            self._dismiss(self.instances.pop(index))

    def _log(self, level: str, event: str, message: str = "", **fields: object) -> None:
        self._world.log.event(level, event, message, **self.spec.labels(), **fields)
