"""Carries out the steps of a plan, and tells how a replacement went."""

from collections.abc import Collection
from contextlib import suppress

from pidone.ecosystem.spec import AppSpec
from pidone.errors import ListenError
from pidone.supervise import plan as steps
from pidone.supervise.actual import Actual
from pidone.supervise.collaborators import World
from pidone.supervise.instances.states import Event, State
from pidone.supervise.plan import NOT_REPLACED, Step, can_overlap
from pidone.supervise.wanted import OVERRULED, ReloadState, Rollout, Wanted


class Execution:
    """What is done to the instances of one app, and what is thereby done of the wish."""

    def __init__(self, wanted: Wanted, actual: Actual, world: World) -> None:
        """Of this app."""
        self._wanted = wanted
        self._actual = actual
        self._world = world

    def perform(self, step: Step) -> None:
        match step:
            case steps.Start() | steps.Restart() | steps.Stop() | steps.GiveUp():
                self._order(step)
            case steps.Begin():
                self._begin()
            case steps.Add():
                self._add(step.index)
            case steps.Dismiss():
                self._actual.remove(step.index)
            case steps.Discard():
                self._actual.discard(step.index)
            case _ if self._wanted.rollout is not None:
                self._roll(step, self._wanted.rollout)
            case _:
                raise AssertionError(f"{step} without a rollout")

    def _order(self, step: steps.Order) -> None:
        """What an instance is told to do."""
        for member in self._actual.at(step.index):
            match step:
                case steps.Stop():
                    member.handle(Event.STOP)
                case steps.GiveUp():
                    member.give_up(self._wanted.hopeless)
                case steps.Start() if self._actual.instances[step.index] is member:
                    member.handle(Event.START, reason=step.reason)
                case steps.Restart() if self._actual.instances[step.index] is member:
                    member.handle(Event.RESTART, reason=step.reason)

    def _roll(self, step: Step, rollout: Rollout) -> None:
        """One step of the replacement that is under way."""
        reason = rollout.wish.cause or rollout.wish.reason
        match step:
            case steps.Prepare():
                rollout.todo.remove(step.index)
                self._actual.prepare(step.index, rollout.spec, reason)
            case steps.Promote():
                rollout.replaced += 1
                self._actual.promote(step.index, rollout.spec)
            case steps.Renew():
                rollout.todo.remove(step.index)
                instance = self._actual.instances[step.index]
                is_new = instance.state is State.PREPARING  # it is going to be launched from the new spec
                rollout.restarting = (step.index, instance.incarnation - is_new)
                rollout.began = self._world.clock.time()
                instance.app = rollout.spec
                instance.handle(Event.RESTART, reason=reason)
            case steps.Returned():
                rollout.restarting = None
                rollout.replaced += step.came_back
                if step.came_back:
                    rollout.down_s = max(rollout.down_s, self._world.clock.time() - rollout.began)
            case steps.Finish():
                self._finish(rollout, step.failure)

    def _add(self, index: int) -> None:
        instance = self._actual.add(index, self._wanted.spec)
        rollout = self._wanted.rollout
        if rollout is not None and rollout.spec is not self._wanted.spec:
            rollout.todo.append(index)
        if not self._wanted.spec.schedule:
            self._wanted.renew(instance.index, instance.incarnation, "scale")

    def _begin(self) -> None:
        """The next replacement that was asked for comes to its turn, unless it has become void."""
        wish = self._wanted.queue.pop(0)
        slots: Collection[int] = self._actual.instances if wish.slots is None else wish.slots
        if wish.who is not None:
            instance = self._actual.instances.get(wish.who.index)
            if instance is None or instance.who != wish.who or not instance.state.has_process:
                return
            if not wish.overlap:
                instance.reason = wish.reason
                self._wanted.renew(instance.index, instance.incarnation, wish.reason)
                return
            slots = [wish.who.index]
        spec = wish.spec or self._wanted.spec
        todo = [
            i
            for i in slots
            if i in self._actual.instances and self._actual.instances[i].state not in NOT_REPLACED
        ]
        overlap = can_overlap(spec)
        how = (
            "each new one before its old one stops"
            if overlap
            else "one after another, each is down meanwhile"
        )
        text = f"replacing {len(todo)} instances, {how}"
        self._log("info", "app.reload", text, reason=wish.reason, instances=len(todo), overlap=overlap)
        self._wanted.rollout = Rollout(wish, spec, todo)

    def _finish(self, rollout: Rollout, failure: str) -> None:
        wanted = self._wanted
        wanted.rollout = None
        self._tell_outcome(rollout, failure)
        if not failure:
            self._adopt(rollout.spec)
            wanted.count = wanted.count if rollout.count is None else rollout.count
            return
        if rollout.wish.spec is not None and not rollout.wish.told:
            wanted.failed_change = failure
        if not any(wish.spec is not None for wish in wanted.queue):
            with suppress(ListenError):  # who needs what is missing now is told so at its start
                self._world.broker.open(self._wanted.spec)
        sick = rollout.wish.who if rollout.wish.is_sick else None
        if (
            sick is not None
            and sick.index in self._actual.instances
            and self._actual.instances[sick.index].who == sick
        ):
            self._actual.instances[sick.index].handle(Event.UNHEALTHY)

    def call_off(self) -> None:
        rollout = self._wanted.rollout
        self._wanted.call_off()
        self._adopt(self._wanted.spec)
        if rollout is not None:
            self._tell_outcome(rollout, OVERRULED)

    def _adopt(self, spec: AppSpec) -> None:
        self._wanted.adopt(spec)
        self._actual.adopt(spec)

    def _tell_outcome(self, rollout: Rollout, failure: str) -> None:
        wanted, wish = self._wanted, rollout.wish
        if wanted.reload is not None and wanted.reload.number == wish.told:
            state = ReloadState.FAILED if failure else ReloadState.DONE
            wanted.reload = wanted.reload.but(
                state=state, message=failure, down_s=rollout.down_s, cut=rollout.cut
            )
        if failure:
            text = f"{failure}; the others were not touched"
            self._log(
                *("error", "app.reload_failed", text),
                replaced=rollout.replaced,
                reason=wish.reason,
                cut=rollout.cut,
            )
        else:
            down = round(rollout.down_s, 3) or None
            text = f"replaced {rollout.replaced} instances"
            text += f", each down for up to {down} s" if down else ""
            text += f", {rollout.cut} open connections were cut" if rollout.cut else ""
            self._log(
                *("info", "app.reloaded", text),
                replaced=rollout.replaced,
                reason=wish.reason,
                down_s=down,
                cut=rollout.cut,
            )

    def _log(self, level: str, event: str, message: str = "", **fields: object) -> None:
        self._world.log.event(level, event, message, **self._wanted.spec.labels(), **fields)
