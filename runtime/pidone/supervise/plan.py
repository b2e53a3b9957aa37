"""From what is wanted of an app and what is there to the next steps: a pure function, without a memory.

The same wish, the same facts and the same time give the same steps. Starting, stopping, scaling, restarting
and replacing are cases of it. Nothing is done here; `App.reconcile` carries the steps out.

Replacing is start-before-stop: a successor takes over its slot only when it is ready and has served beside
its predecessor for a while (a process that was just started is slow, and starting it took CPU from the
others); only then is that one drained and stopped. If one does not get ready, or does not stay, the rest is
called off and the old ones stay: broken code must not take a service down. Where two processes cannot serve
side by side (a program that binds its own port) a slot is stopped first, and the next slot waits until it is
back.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final, Protocol, TypeAlias

from pidone.ecosystem.spec import AppSpec, Seconds
from pidone.ecosystem.stopping import shares_a_port
from pidone.record import Record
from pidone.supervise.instances.states import Goal, State
from pidone.supervise.wanted import Rollout, SlotWish, Wanted

NOT_REPLACED: Final = (State.STOPPED, State.COMPLETED)
"""What a replacement leaves alone. One that has given up gets a new chance."""
MOST: Final = 64
"""Steps for single slots in one plan: a turn has time for a few of them, and then there is another plan."""
_ON_ITS_WAY: Final = (State.PREPARING, State.STARTING)
_FELL: Final = (State.BACKOFF, State.ERRORED, State.STOPPED)


class Member(Protocol):
    """The facts of an instance that decide about its app."""

    @property
    def index(self) -> int: ...

    @property
    def state(self) -> State: ...

    @property
    def incarnation(self) -> int: ...

    @property
    def online_since(self) -> Seconds: ...

    @property
    def ends_to(self) -> Goal | None:
        """What follows, if its present life is being ended."""

    @property
    def why_down(self) -> str:
        """Why it is not there, for people."""


class Facts(Protocol):
    """The processes of an app."""

    @property
    def instances(self) -> Mapping[int, Member]: ...

    @property
    def arriving(self) -> Sequence[Member]:
        """Successors that have not taken over yet."""

    @property
    def leaving(self) -> Sequence[Member]:
        """Replaced or scaled away, but not gone yet."""


class Add(Record):
    """Make room for one instance more."""

    index: int


class Dismiss(Record):
    """One instance less: it stops, and its slot goes."""

    index: int


class Start(Record):
    """Begin a new incarnation, at once or as soon as the present one is gone."""

    index: int
    reason: str


class Restart(Record):
    """End the present incarnation and begin a new one."""

    index: int
    reason: str


class Stop(Record):
    """End what is there of a slot: its instance and whatever arrives or leaves."""

    index: int


class GiveUp(Record):
    """It cannot work as it is configured."""

    index: int


class Begin(Record):
    """The next replacement comes to its turn."""


class Prepare(Record):
    """Start a successor beside the instance of a slot."""

    index: int


class Promote(Record):
    """A successor takes over; its predecessor is drained and stopped."""

    index: int


class Discard(Record):
    """A successor is not wanted any more."""

    index: int


class Renew(Record):
    """Restart a slot as part of a replacement: old and new cannot overlap."""

    index: int


class Returned(Record):
    """The slot that was restarted is settled: it is back, or nobody wants it any more."""

    came_back: bool


class Finish(Record):
    """The replacement is over; `failure` tells why it was called off, if it was."""

    failure: str = ""


Order: TypeAlias = Start | Restart | Stop | GiveUp
"""Steps that an instance is told, which has changed then."""
Step: TypeAlias = Order | Add | Dismiss | Begin | Prepare | Promote | Discard | Renew | Returned | Finish


class Plan(Record):
    """What can be done now, and what the rest waits for."""

    steps: tuple[Step, ...] = ()
    waits_for: str = ""
    """In the words of people; empty if everything is as it is wanted."""
    look_at: Seconds | None = None
    """When time alone will have changed something."""


def can_overlap(app: AppSpec) -> bool:
    """Whether two processes of one slot can serve at the same time."""
    return shares_a_port(app) and app.max_surge > 0


def plan(wanted: Wanted, actual: Facts, now: Seconds) -> Plan:
    """The next steps of one app."""
    if not wanted.is_on:
        return _stop_all(actual)
    if wanted.is_ending:  # what is there serves its dependents until its turn comes, successors too
        return Plan(waits_for="the end of what depends on it")
    steps: list[Step] = [Dismiss(i) for i in sorted(actual.instances, reverse=True) if i >= wanted.count]
    steps += [Add(index) for index in range(wanted.count) if index not in actual.instances]
    kept = [member for index, member in actual.instances.items() if index < wanted.count]
    if wanted.hopeless:
        members = (*kept, *actual.arriving)
        steps += [GiveUp(each.index) for each in members if not _given_up(each) or _is_due(wanted, each)]
        return Plan(tuple(steps), waits_for=wanted.hopeless)
    taken = {member.index for member in actual.leaving}
    for member in kept:
        slot = wanted.slots.get(member.index)
        if slot is None or (slot.rest is None and member.incarnation >= slot.at_least):
            continue
        if not (member.state.is_final and member.index in taken):  # else who had the slot has to go first
            steps += _for_slot(slot, member)
        if len(steps) >= MOST:
            break
    if steps:
        return Plan(tuple(steps), waits_for="its processes")
    return _replace(wanted, actual, now)


def _stop_all(actual: Facts) -> Plan:
    if actual.arriving:
        return Plan(tuple(Discard(each.index) for each in actual.arriving))
    members = (*actual.instances.values(), *actual.leaving)
    slots = dict.fromkeys(member.index for member in members if not _will_rest(member))
    left = sum(not member.state.is_final for member in members)
    waits_for = _end_of(left) if left else ""
    return Plan(tuple(Stop(index) for index in islice(slots, MOST)), waits_for=waits_for)


def _end_of(count: int, which: str = "") -> str:
    return f"the end of {count} {which}process{'es' if count > 1 else ''}"


def _for_slot(slot: SlotWish, member: Member) -> list[Step]:
    """What a slot needs before its instance can be replaced: to rest, or to have a newer incarnation."""
    if slot.rest is not None:
        return [] if _will_rest(member) else [Stop(member.index)]
    if member.ends_to is Goal.RENEW or member.state is State.PREPARING:
        return []
    if member.state.has_process and member.ends_to is None:
        return [Restart(member.index, slot.reason)]
    return [Start(member.index, slot.reason)]


def _will_rest(member: Member) -> bool:
    return member.state.is_final or member.ends_to is Goal.REST


def _is_due(wanted: Wanted, member: Member) -> bool:
    """It was about to begin its first life, or another one, when it became clear that it cannot."""
    begins = member.incarnation < wanted.at_least(member.index)
    return member.state is State.STOPPED and begins and not wanted.rests(member.index)


def _given_up(member: Member) -> bool:
    return _will_rest(member) or member.ends_to is Goal.GIVE_UP


def _replace(wanted: Wanted, actual: Facts, now: Seconds) -> Plan:
    rollout = wanted.rollout
    unwanted = [
        Discard(each.index)
        for each in actual.arriving
        if rollout is None or each.index not in actual.instances or wanted.rests(each.index)
    ]
    if unwanted:
        return Plan(tuple(unwanted))
    if rollout is None:
        return Plan((Begin(),)) if wanted.queue else _wait_for(actual)
    todo = [
        index
        for index in rollout.todo
        if index in actual.instances
        and actual.instances[index].state not in NOT_REPLACED
        and not wanted.rests(index)
    ]
    if can_overlap(rollout.spec):
        return _beside(rollout, todo, actual, now)
    return _one_by_one(rollout, todo, wanted, actual)


def _wait_for(actual: Facts) -> Plan:
    """Nothing is to be done: what is not as it will be?"""
    for member in actual.instances.values():
        if member.state in _ON_ITS_WAY:
            return Plan(waits_for=f"instance {member.index} to get ready")
        if member.state is State.BACKOFF:
            return Plan(waits_for=f"the next start of instance {member.index}")
    leaving = len(actual.leaving)
    return Plan(waits_for=_end_of(leaving, "replaced ") if leaving else "")


def _beside(rollout: Rollout, todo: Sequence[int], actual: Facts, now: Seconds) -> Plan:
    steps: list[Step] = []
    waits, failure, look_at = "", "", None
    for successor in actual.arriving:
        index, old = successor.index, actual.instances[successor.index]
        if successor.state is State.ONLINE:
            settled = successor.online_since + rollout.spec.settle_time
            # Where nobody serves meanwhile, the new one takes over at once.
            if old.state is State.ONLINE and now < settled:
                look_at = settled if look_at is None else min(look_at, settled)
                waits = f"instance {index} to settle, {settled - now:.1f} s left"
            else:
                steps.append(Promote(index))
        elif successor.state in _ON_ITS_WAY:
            waits = waits or f"the successor of instance {index} to get ready"
        else:
            what = "did not stay" if successor.online_since else "did not get ready"
            failure = failure or f"instance {index} {what}: {successor.why_down}"
    if steps:  # before a failure calls the rest off: there may be nobody else in the slot of who is ready
        return Plan(tuple(steps))
    if failure:
        return Plan((Finish(failure),))
    room = rollout.spec.max_surge - len(actual.arriving) - len(actual.leaving)
    if todo and room > 0:
        return Plan(tuple(Prepare(index) for index in todo[:room]))
    if todo or actual.arriving:
        return Plan(waits_for=waits or _end_of(len(actual.leaving), "replaced "), look_at=look_at)
    if actual.leaving:
        return Plan(waits_for=_end_of(len(actual.leaving), "replaced "))
    return Plan((Finish(),))


def _one_by_one(rollout: Rollout, todo: Sequence[int], wanted: Wanted, actual: Facts) -> Plan:
    if rollout.restarting is not None:
        index, before = rollout.restarting
        current = actual.instances.get(index)
        if current is None or wanted.rests(index):
            return Plan((Returned(came_back=False),))
        if current.state in _FELL:
            return Plan((Finish(f"instance {index} did not come back: {current.why_down}"),))
        if current.state not in (State.ONLINE, State.COMPLETED) or current.incarnation <= before:
            return Plan(waits_for=f"instance {index} to come back")
        return Plan((Returned(came_back=True),))
    if todo:
        return Plan((Renew(todo[0]),))
    return Plan((Finish(),))
