"""When a program is at rest: told from what it wants of processors, not from what it got."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from pidone.demand import Demand
from pidone.listen.readiness.rest import Idleness

PAUSE = 0.05


def looked_at(demands: Iterator[Demand], looks: int = 40) -> Idleness:
    """A program that was seen like this, every 50 ms."""
    rest = Idleness(0.0)
    for number in range(1, looks + 1):
        rest.add(next(demands), number * PAUSE)
    return rest


def seen(
    *, had: float = 0.0, lacked: float = 0.0, wants: bool = False, of: Callable[[int], int] = lambda _: 1
) -> Iterator[Demand]:
    """So much is had and lacked between two looks."""
    for turn in count():
        yield Demand(
            frozenset({1, of(turn)}), had=turn * had, lacked=turn * lacked, states="RS" if wants else "S"
        )


def test_one_that_wants_nothing() -> None:
    """It is at rest, and all of the time was its own."""
    rest = looked_at(seen())
    assert rest.is_proven
    assert rest.own_time == pytest.approx(2.0)


def test_not_before_it_was_seen_several_times() -> None:
    """A runtime that seldom gets to look does not judge by a single one."""
    rest = Idleness(0.0)
    for number, demand in zip(range(1, 4), seen(), strict=False):
        rest.add(demand, 10.0 * number)
    assert not rest.is_proven


def test_timers_and_heartbeats_are_rest() -> None:
    """A program that waits wakes up now and then."""
    assert looked_at(seen(had=0.001)).is_proven


def test_one_that_computes() -> None:
    """All of the time is its own."""
    rest = looked_at(seen(had=PAUSE, wants=True))
    assert not rest.is_proven
    assert rest.own_time == pytest.approx(2.0, abs=2 * PAUSE)


def test_one_that_gets_no_processor() -> None:
    """It stands in the queue whenever somebody looks; no time is its own."""
    rest = looked_at(seen(wants=True))
    assert not rest.is_proven
    assert rest.own_time <= 2 * PAUSE


def test_one_that_gets_a_tenth_of_what_it_wants() -> None:
    """A tenth of the time is its own, though it sleeps whenever somebody looks."""
    rest = looked_at(seen(had=0.001, lacked=0.009))
    assert not rest.is_proven
    assert rest.own_time == pytest.approx(0.2, abs=2 * PAUSE)


def test_one_whose_children_come_and_go() -> None:
    """A script that runs one command after the other wants nothing itself."""
    assert not looked_at(seen(of=lambda turn: turn)).is_proven


def test_work_begins_anew() -> None:
    """Idleness is what has been seen last."""
    rest = looked_at(seen())
    rest.add(Demand(frozenset({1}), states="R"), 2.1)
    assert not rest.is_proven
