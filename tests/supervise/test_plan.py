"""The next steps of an app, from what is wanted and what is there: tables of cases, no processes, no time."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from stage import spec

from pidone.ecosystem.spec import AppSpec, Listen
from pidone.supervise import plan as steps
from pidone.supervise.instances.states import Goal, State
from pidone.supervise.plan import plan
from pidone.supervise.wanted import Replacement, Rest, Rollout, Run, Wanted

NOW = 100.0
SHARED: dict[str, Any] = {"listen": (Listen(name="web", port=80),), "settle_time": 0.5}


@dataclass
class Fact:
    """One instance, as far as it decides."""

    index: int = 0
    state: State = State.ONLINE
    incarnation: int = 1
    online_since: float = 1.0
    ends_to: Goal | None = None
    why_down: str = "it ended with code 1"


@dataclass
class Facts:
    instances: dict[int, Fact] = field(default_factory=dict)
    arriving: list[Fact] = field(default_factory=list)
    leaving: list[Fact] = field(default_factory=list)


def there(*members: Fact, **others: list[Fact]) -> Facts:
    return Facts({each.index: each for each in members}, **others)


def on(app: AppSpec, count: int = 1) -> Wanted:
    wanted = Wanted(app, count)
    wanted.run = Run.ON
    return wanted


def rolling(app: AppSpec, count: int, *todo: int) -> Wanted:
    wanted = on(app, count)
    wanted.rollout = Rollout(Replacement(reason="reload"), app, todo)
    return wanted


def test_the_same_facts_give_the_same_steps() -> None:
    """It remembers nothing and does nothing."""
    wanted, actual = rolling(spec(**SHARED), 2, 0, 1), there(Fact(0), Fact(1))
    first = plan(wanted, actual, NOW)
    assert first == plan(wanted, actual, NOW)
    assert first.steps == (steps.Prepare(0),)
    assert wanted.rollout is not None
    assert wanted.rollout.todo == [0, 1]


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (Fact(state=State.ONLINE), (steps.Stop(0),)),
        (Fact(state=State.BACKOFF), (steps.Stop(0),)),
        (Fact(state=State.STOPPING, ends_to=Goal.RENEW), (steps.Stop(0),)),
        (Fact(state=State.STOPPING, ends_to=Goal.REST), ()),
        (Fact(state=State.ERRORED), ()),
    ],
)
def test_what_is_not_wanted_stops(member: Fact, expected: tuple[steps.Step, ...]) -> None:
    """Once: who ends already, for good, is told nothing more."""
    assert plan(Wanted(spec(), 1), there(member), NOW).steps == expected


@pytest.mark.parametrize(
    ("state", "ends_to", "expected"),
    [
        (State.STOPPED, None, (steps.Start(0, "request"),)),
        (State.ERRORED, None, (steps.Start(0, "request"),)),
        (State.BACKOFF, None, (steps.Start(0, "request"),)),
        (State.ONLINE, None, (steps.Restart(0, "request"),)),
        (State.STARTING, None, (steps.Restart(0, "request"),)),
        (State.PREPARING, None, ()),
        (State.STOPPING, Goal.REST, (steps.Start(0, "request"),)),
        (State.STOPPING, Goal.RENEW, ()),
    ],
)
def test_a_new_life_is_begun_once(
    state: State, ends_to: Goal | None, expected: tuple[steps.Step, ...]
) -> None:
    """Whatever state it is in when somebody wants one."""
    wanted = on(spec())
    wanted.slot(0).at_least = 2
    assert plan(wanted, there(Fact(state=state, ends_to=ends_to)), NOW).steps == expected


def test_a_slot_waits_until_who_had_it_has_gone() -> None:
    """Scaled down and up at once: never two in one slot."""
    wanted = on(spec())
    wanted.slot(0).at_least = 2
    new, old = Fact(state=State.STOPPED), Fact(state=State.STOPPING, ends_to=Goal.REST)
    assert plan(wanted, there(new, leaving=[old]), NOW).steps == ()


def test_a_stopped_slot_rests_while_the_others_run() -> None:
    """The last word about it was to stop."""
    wanted = on(spec(), 2)
    wanted.slot(1).rest = Rest.STOPPED
    assert plan(wanted, there(Fact(0), Fact(1)), NOW).steps == (steps.Stop(1),)


def test_size_comes_first() -> None:
    """The newest leave, new ones get room."""
    assert plan(on(spec(), 1), there(Fact(0), Fact(1), Fact(2)), NOW).steps == (
        steps.Dismiss(2),
        steps.Dismiss(1),
    )
    assert plan(on(spec(), 2), there(Fact(0)), NOW).steps == (steps.Add(1),)


def test_a_successor_settles_before_it_takes_over() -> None:
    """And it is said what is waited for, and when to look again."""
    wanted = rolling(spec(**SHARED), 1)
    successor = Fact(0, incarnation=2, online_since=NOW - 0.2)
    found = plan(wanted, there(Fact(0), arriving=[successor]), NOW)
    assert (found.steps, found.look_at) == ((), NOW + 0.3)
    assert found.waits_for == "instance 0 to settle, 0.3 s left"
    assert plan(wanted, there(Fact(0), arriving=[successor]), NOW + 0.3).steps == (steps.Promote(0),)
    down = Fact(0, state=State.BACKOFF)
    assert plan(wanted, there(down, arriving=[successor]), NOW).steps == (steps.Promote(0),)


def test_one_that_fails_calls_the_rest_off() -> None:
    """The old one stays."""
    wanted = rolling(spec(**SHARED), 2, 1)
    found = plan(wanted, there(Fact(0), Fact(1), arriving=[Fact(0, State.ERRORED, 2, 0.0)]), NOW)
    assert found.steps == (steps.Finish("instance 0 did not get ready: it ended with code 1"),)
