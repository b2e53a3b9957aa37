"""Time that is a program's own, by what it wanted of processors."""

import pytest
from stage import FakeClock

from pidone.demand import Demand, Shortage
from pidone.supervise.deadline import Deadline
from pidone.supervise.instances.states import Event


def wanted(*, had: float = 0.0, lacked: float = 0.0, states: str = "S") -> Demand:
    """By one process so far."""
    return Demand(frozenset({1}), had=had, lacked=lacked, states=states)


@pytest.mark.parametrize(
    ("had", "lacked", "own"),
    [
        (0.0, 0.0, 10.0),  # it slept, or cannot be seen
        (10.0, 0.0, 10.0),
        (1.0, 9.0, 1.0),
        (1.0, 4.0, 6.0),  # and slept half of the time
        (10.0, 10.0, 5.0),  # two at once, of which each had half of what it wanted
    ],
)
def test_own_time(had: float, lacked: float, own: float) -> None:
    """All but what it stood in the queue."""
    assert wanted(had=had, lacked=lacked).own_time(10.0) == pytest.approx(own)


def test_nothing_is_lacking() -> None:
    """One that had its processor is judged at once, whether it sleeps, computes, or is held."""
    for now in (wanted(), wanted(had=10.0, states="R"), wanted(states="T"), wanted(states="D")):
        assert Shortage(10.0).left(10.0, now) == 0


def test_what_is_lacking_is_given() -> None:
    """So much more, and not a breath for a breath."""
    assert Shortage(10.0).left(10.0, wanted(had=4.0, lacked=6.0)) == pytest.approx(6.0)
    assert Shortage(10.0).left(10.0, wanted(had=9.9, lacked=0.1)) == 0


def test_one_that_still_stands_in_the_queue() -> None:
    """What it waits for is told when that is over: until then it is looked at again."""
    shortage = Shortage(10.0)
    for number in range(40):
        assert 0 < shortage.left(10.0 + number, wanted(had=0.1, states="R")) < 1
    assert shortage.left(50.0, wanted(had=0.2, lacked=49.0)) == pytest.approx(9.0)


def test_one_that_happens_to_run_when_it_is_late() -> None:
    """It slept, and is at work now: that it has moved since the first look tells that it need not wait."""
    shortage = Shortage(10.0)
    assert shortage.left(10.0, wanted(had=0.1, states="R")) > 0
    assert shortage.left(10.3, wanted(had=0.3, states="R")) == 0


def test_one_that_moved_long_ago_may_stand_in_the_queue_again() -> None:
    """It had a moment right after a look, and the next one was due much later: it may wait since then."""
    shortage = Shortage(2.0)
    assert shortage.left(2.0, wanted(had=0.1, states="R")) > 0
    assert shortage.left(2.25, wanted(had=0.1, lacked=2.0, states="R")) == pytest.approx(1.75)
    assert shortage.left(4.0, wanted(had=0.11, lacked=2.04, states="R")) > 0
    assert shortage.left(4.25, wanted(had=0.12, lacked=4.1, states="R")) == pytest.approx(1.85)


def test_a_deadline_waits_for_whom_it_is_held_against() -> None:
    """So much longer as is lacking when it is due, however often; it can still be extended."""
    happened: list[Event] = []
    clock, lacking = FakeClock(), [2.0, 1.0, 0.0]
    deadline = Deadline(clock, happened.append)
    deadline.arm(3.0, Event.LATE, lacks=lambda: lacking.pop(0))
    clock.advance(5.9)
    assert happened == []
    deadline.extend(1.0)
    clock.advance(0.9)
    assert happened == []
    clock.advance(0.2)
    assert happened == [Event.LATE]
    assert lacking == []
