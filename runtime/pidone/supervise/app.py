"""An app: what is wanted of it, and the cluster of equal instances that is there, with indexes 0 to n-1.

The verbs change the wish and do nothing else. `reconcile`, which the supervisor calls once in a turn of the
loop and never from inside an event, compares the two (see `plan`) and carries the next steps out.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol, Self

from pidone.ecosystem.spec import AppSpec, Condition, Seconds
from pidone.supervise import plan as steps
from pidone.supervise.actual import Actual
from pidone.supervise.collaborators import World
from pidone.supervise.execution import Execution
from pidone.supervise.instances.incarnation import Numbers
from pidone.supervise.instances.instance import Instance
from pidone.supervise.instances.states import Event, State
from pidone.supervise.plan import Plan, can_overlap, plan
from pidone.supervise.wanted import (
    Exchange,
    Reload,
    ReloadState,
    Replacement,
    Rest,
    Run,
    Wanted,
)


class AppObserver(Protocol):
    """Who looks at an app again: the supervisor."""

    def app_changed(self, app: "App") -> None:
        """Its wish or its instances are not what they were; nothing may be done about it right now."""


class App:
    """Keeps the wanted number of instances of one spec."""

    def __init__(
        self,
        spec: AppSpec,
        count: int,
        world: World,
        observer: AppObserver,
        numbers: dict[int, Numbers] | None = None,
    ) -> None:
        """`count` instances, all stopped until somebody wants them to run.

        `numbers` are those of its slots, where an app of that name has been before.
        """
        self.wanted = Wanted(spec, count)
        self.actual = Actual(spec, count, world, self, {} if numbers is None else numbers)
        self._execution = Execution(self.wanted, self.actual, world)
        self.waits_for = ""
        """What stands between the wish and what is there, in words; empty if nothing does."""
        self.asked_at: Seconds = 0.0
        """When somebody last asked for new processes of the whole or a part: those have the code of then."""
        self.message_listeners: list[Callable[[Instance, object], None]] = []
        """Who else hears about IPC messages."""
        self._world = world
        self._observer = observer

    # -- what is there -----------------------------------------------------------------------------------

    @property
    def spec(self) -> AppSpec:
        """What its processes are made from."""
        return self.wanted.spec

    @property
    def name(self) -> str:
        """As in the file."""
        return self.spec.name

    @property
    def instances(self) -> Mapping[int, Instance]:
        """By slot; see `actual` for those that arrive or leave."""
        return self.actual.instances

    def members(self) -> list[Instance]:
        """Every instance, those that arrive or leave included."""
        return self.actual.members

    @property
    def is_down(self) -> bool:
        """No process of it is left, and none will come by itself."""
        return self.actual.is_final and not self._is_about_to_start

    @property
    def will_come_back(self) -> bool:
        """Although it is down, something but a person will start it: its schedule, or a change of a file."""
        timed = self.spec.schedule or (self.spec.cron_restart and not self.actual.is_given_up)
        return self.wanted.is_on and bool(timed or self.spec.watch)

    @property
    def is_ready(self) -> bool:
        """Every instance can work, or did its work; a scheduled job need not run for that."""
        return bool(self.spec.schedule and self.wanted.is_on) or self.actual.is_ready

    @property
    def ended_by_itself(self) -> bool:
        """Every instance ended for good without being asked to."""
        return self.is_down and all(i.fate is not None for i in self.instances.values())

    @property
    def was_put_to_rest(self) -> bool:
        """It ran and somebody stopped it, or an instance of it, on purpose, and will start it again."""
        if self.wanted.run is not Run.OFF:
            return bool(self.wanted.stopped_slots)
        return self.wanted.was_stopped and any(each.fate is None for each in self.instances.values())

    @property
    def was_killed(self) -> bool:
        """Whether any instance had to be killed at its last stop."""
        return any(instance.life.was_killed for instance in self.members())

    @property
    def refused(self) -> str:
        """Why one of its processes may not be signalled, which nobody can end then; empty if all may."""
        running = (member.life.process for member in self.members() if member.state.has_process)
        return next((each.refused for each in running if each is not None and each.refused), "")

    @property
    def is_settled(self) -> bool:
        """Whether nothing that was asked for is under way: who does not rest serves, or waits to restart."""
        wanted = self.wanted
        return (
            not self.actual.leaving
            and wanted.rollout is None
            and wanted.exchange is None
            and (wanted.reload is None or wanted.reload.state is not ReloadState.RUNNING)
            and all(i.state in _SETTLED or i.state.is_final for i in self.instances.values())
            and not plan(self.wanted, self.actual, self._world.clock.time()).steps
        )

    @property
    def count(self) -> int:
        """How many instances there shall be, when all that was asked for has succeeded."""
        wanted = self.wanted
        if wanted.exchange is not None:
            return wanted.exchange.count
        asked = [None if wanted.rollout is None else wanted.rollout.count]
        asked += [wish.count for wish in wanted.queue]
        return next((count for count in reversed(asked) if count is not None), wanted.count)

    def satisfies(self, condition: Condition) -> bool:
        """Whether dependents that wait for this condition may start."""
        return self.is_ready if condition is Condition.READY else self.actual.satisfies(condition)

    def can_satisfy(self, condition: Condition) -> bool:
        """Whether that may still come true without anybody's help."""
        if self.satisfies(condition):
            return True
        if condition is Condition.COMPLETED and self.spec.autorestart:
            return not self.is_down
        return self.wanted.is_on and not self.actual.has_given_up

    # -- verbs: they change the wish -----------------------------------------------------------------------

    def begin(self) -> None:
        """Its dependencies allow it: start; a scheduled job only begins to wait for its time."""
        if self.spec.schedule is None:
            stopped = self.wanted.stopped_slots  # by somebody who did not wait for that
            self.start("start")
            for slot in stopped:
                self.wanted.slot(slot).rest = Rest.STOPPED
            return
        self.wanted.run = Run.ON
        self._look()

    def start(self, reason: str = "request", *, slots: Collection[int] | None = None) -> None:
        """Start what is not running, of the whole or of these slots."""
        for slot in self._wish_to_run(slots):
            instance = self.instances.get(slot)
            if instance is not None and (instance.state in _STARTABLE or instance.ends_to is not None):
                self.wanted.renew(slot, instance.incarnation, reason)
        self._look()

    def resume(self, reason: str) -> None:
        """Start what is not running, as a schedule or a changed file wants it: what was stopped rests."""
        wanted = self.wanted
        self.start(reason, slots=[slot for slot in range(wanted.count) if slot not in wanted.stopped_slots])

    def stop(self, *, slots: Collection[int] | None = None) -> None:
        """Stop everything, or these slots, in order; overrules whatever is under way."""
        wanted = self.wanted
        if wanted.exchange is not None:
            wanted.exchange = wanted.exchange.without(slots)
        for slot in slots or ():
            wanted.slot(slot).rest = Rest.STOPPED
        if slots is None or self._is_all_stopped:
            wanted.was_stopped = wanted.was_stopped or wanted.run is not Run.OFF
            wanted.run = Run.OFF
            wanted.slots.clear()
            wanted.hopeless = ""
            self._execution.call_off()
        self._look()

    def restart(self, reason: str = "request", *, slots: Collection[int] | None = None) -> None:
        """A fresh life for every instance, or for these, all at once."""
        if slots is None:
            self._execution.call_off()
        for slot in self._wish_to_run(slots):
            instance = self.instances.get(slot)
            if instance is not None and instance.state is not State.PREPARING:
                self.wanted.renew(slot, instance.incarnation, reason)
        self._look()

    def reload(
        self,
        *,
        slots: Collection[int] | None = None,
        spec: AppSpec | None = None,
        count: int | None = None,
    ) -> None:
        """Replace the processes as a person asks for it; `wanted.reload` tells how that goes.

        What does not run is started: whoever reloads something wants it to run. With a `spec`, which is for
        what runs, the new ones are made from that, and are so many.
        """
        wanted = self.wanted
        number = wanted.reload.number + 1 if wanted.reload is not None else 1
        if not wanted.is_on or self.is_down:
            self.start(slots=slots)
            wanted.reload = Reload(number, ReloadState.DONE)
            return
        if slots is not None:
            self.start(slots=[slot for slot in slots if wanted.rests(slot)])
        wanted.reload = Reload(number, ReloadState.RUNNING)
        chosen = None if slots is None else frozenset(slots)
        self.replace(Replacement(reason="reload", slots=chosen, told=number, spec=spec, count=count))

    def replace(self, wish: Replacement) -> None:
        """Line up a replacement, unless nobody wants the app to run: then there is nothing to replace."""
        if self.wanted.is_on and not self.wanted.is_ending:
            if wish.who is None:
                self.asked_at = self._world.clock.time()
            self.wanted.ask(wish)
            self._look()

    def scale(self, count: int, spec: AppSpec | None = None) -> None:
        """Have `count` instances: new ones start, the newest leave first.

        `spec` differs from the present one by its `instances` and what it waits for only; that of a rollout
        stays what it is.
        """
        wanted = self.wanted
        wanted.count = count
        wanted.slots = {index: slot for index, slot in wanted.slots.items() if index < count}
        wanted.queue = [wish.but(count=None) for wish in wanted.queue]
        if wanted.exchange is not None:
            exchange = wanted.exchange
            wanted.exchange = exchange.but(count=count, stopped=frozenset()).without(exchange.stopped)
        if wanted.rollout is not None:
            wanted.rollout.count = None
        elif spec is not None:
            wanted.spec = spec
            wanted.failed_change = ""
        if self._is_all_stopped:
            self.stop()
        self._look()

    def give_up(self, why: str) -> None:
        """It cannot work as it is configured."""
        self._execution.call_off()
        self.wanted.hopeless = why
        self._look()

    def refuse(self, why: str) -> None:
        """It was about to start, and cannot."""
        self.begin()
        self.give_up(why)

    def look_again(self) -> None:
        """What it waits for may have changed."""
        self._look()

    def end_run(self) -> None:
        """Stop what runs of a scheduled job, which stays wanted."""
        for index in self.instances:
            self.wanted.slot(index).rest = Rest.OVER
        self._look()

    def end(self) -> None:
        """Everything will stop, and this app when its turn comes: until then it is not replaced any more."""
        self._execution.call_off()
        self.wanted.is_ending = True
        self._look()

    def become(self, exchange: Exchange) -> None:
        """Stop, and let another spec take its place then."""
        self._execution.call_off()
        self.wanted.is_removed = False
        self.wanted.run = Run.OFF
        running = {index for index, each in self.instances.items() if not each.state.is_final}
        self.wanted.exchange = exchange.but(interrupted=exchange.interrupted | running)
        self._look()

    def take_over(self, exchange: Exchange, before: Self | None = None) -> None:
        """Go on where the app that this one takes the place of was stopped for it; counts go on, too."""
        for index, old in before.instances.items() if before else ():
            if index in self.instances:
                self.instances[index].restarts = old.restarts + (index in exchange.interrupted)
        self.wanted.was_stopped = exchange.was_stopped
        self.wanted.run = exchange.run
        if exchange.run is Run.ON:
            self.begin()
        if exchange.stopped:
            self.stop(slots=exchange.stopped)
        self._look()

    def remove(self) -> None:
        """Stop, and be forgotten then."""
        self.wanted.exchange = None
        self.stop()
        self.wanted.is_removed = True

    # -- what is done at once ------------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        """Forward a signal to the main process of every instance."""
        for instance in self.members():
            instance.signal(number)

    def kill(self) -> None:
        """End everything now."""
        self.stop()
        for instance in self.members():
            instance.handle(Event.KILL)

    def forget_kills(self) -> None:
        """What had to be killed so far has nothing to do with the stop that begins now."""
        for instance in self.members():
            instance.life.was_killed = False

    # -- called by instances -------------------------------------------------------------------------------

    def instance_changed(self, instance: Instance, before: State) -> None:
        """One of ours entered another state."""
        del before
        self.actual.noticed(instance)
        self._look()

    def instance_unhealthy(self, instance: Instance) -> bool:
        """Replace it without a gap if that is possible; False leaves it to the instance itself."""
        is_mine = self.instances.get(instance.index) is instance
        if not (is_mine and self.wanted.is_on and can_overlap(self.spec)):
            return False
        self.replace(Replacement(who=instance.who, reason=instance.reason, cause="unhealthy", is_sick=True))
        return True

    def instance_message(self, instance: Instance, value: object) -> None:
        """An IPC message nobody else understood."""
        self._log("debug", "instance.message", instance=instance.index, data=repr(value)[:200])
        for listener in self.message_listeners:
            listener(instance, value)

    def instance_cut(self, instance: Instance, connections: int) -> None:
        """Some were open when it ended: a reload tells how many it has cost."""
        rollout = self.wanted.rollout
        if rollout is not None and not instance.is_trial:
            rollout.cut = connections + (rollout.cut or 0)

    # -- carrying out ---------------------------------------------------------------------------------------

    def reconcile(self, now: Seconds, is_time_up: Callable[[], bool]) -> Plan:
        """Take the next steps towards what is wanted, until the time for it is up."""
        self.actual.forget_gone(self.spec)
        made = plan(self.wanted, self.actual, now)
        self.waits_for = made.waits_for
        for step in made.steps:
            self._execution.perform(step)
            if is_time_up():
                self._look()
                break
        if len(made.steps) >= steps.MOST or any(not isinstance(step, steps.Order) for step in made.steps):
            self._look()  # there may be more to do, although no instance has changed
        return made

    # -- helpers ---------------------------------------------------------------------------------------------

    @property
    def _is_all_stopped(self) -> bool:
        """Somebody has stopped one instance after another, until none was left."""
        return self.wanted.run is not Run.OFF and 0 < self.wanted.count == len(self.wanted.stopped_slots)

    @property
    def _is_about_to_start(self) -> bool:
        """Somebody has just wished for it."""
        wanted = self.wanted
        if not wanted.is_on or wanted.hopeless:
            return False
        return any(
            each.incarnation < wanted.at_least(index) and not wanted.rests(index)
            for index, each in self.instances.items()
        )

    def _wish_to_run(self, slots: Collection[int] | None) -> Collection[int]:
        """The app, or at least these slots of it, shall run from now on; the slots that are meant."""
        wanted = self.wanted
        if wanted.exchange is not None:
            wanted.exchange = wanted.exchange.with_(slots)
            return ()
        if wanted.is_removed:
            return ()
        if slots is not None:
            slots = [slot for slot in slots if slot < wanted.count]  # others are on their way out
            if not slots:
                return ()
        if slots is not None and wanted.run is not Run.ON:
            for index in range(wanted.count):
                wanted.slot(index).rest = Rest.STOPPED
        chosen = range(wanted.count) if slots is None else slots
        for index in chosen:
            wanted.slot(index).rest = None
        self.asked_at = self._world.clock.time()
        wanted.run = Run.ON
        wanted.was_stopped = False
        wanted.hopeless = ""
        return chosen

    def _look(self) -> None:
        self._observer.app_changed(self)
        self._world.delegate.changed(self)

    def _log(self, level: str, event: str, message: str = "", **fields: object) -> None:
        self._world.log.event(level, event, message, **self.spec.labels(), **fields)


_SETTLED: Final = (State.ONLINE, State.BACKOFF)
_STARTABLE: Final = (State.STOPPED, State.ERRORED, State.COMPLETED, State.BACKOFF)
