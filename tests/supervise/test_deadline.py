"""Deadlines come after whatever has happened by then, however late the loop is."""

from collections.abc import Callable

from stage import FakeClock

from pidone.supervise.deadline import DeadlineClock


def never() -> bool:
    """Nobody is dead."""
    return False


def test_what_is_there_at_the_deadline_is_heard_first() -> None:
    """A message that arrives in the turn of the deadline may still call it off."""
    clock, told = FakeClock(), list[str]()
    timer = DeadlineClock(clock, never).call_later(1.0, lambda: told.append("late"))
    clock.call_later(1.0, timer.cancel)
    clock.advance(5)
    assert told == []


def test_without_news_it_is_on_time() -> None:
    """No time passes between what is due and what is done about it."""
    clock, told = FakeClock(), list[float]()
    DeadlineClock(clock, never).call_later(1.0, lambda: told.append(clock.now))
    clock.advance(5)
    assert told == [1001.0]


def buried(clock: FakeClock, dead: int, slowly: float) -> Callable[[], bool]:
    """As many are dead; each burial takes a turn, and so many seconds."""
    left = [dead]

    def bury() -> bool:
        if left[0]:
            left[0] -= 1
            clock.now += slowly
        return left[0] > 0

    return bury


def test_everybody_who_is_dead_is_buried_first() -> None:
    """However many turns that takes."""
    clock, told = FakeClock(), list[float]()
    DeadlineClock(clock, buried(clock, 20, 0.01)).call_later(1.0, lambda: told.append(clock.now))
    clock.advance(5)
    assert [round(at, 3) for at in told] == [1001.2]


def test_a_burial_that_never_ends_does_not_keep_it_off() -> None:
    """Programs that end as fast as they are restarted do not let anybody live for ever."""
    clock, told = FakeClock(), list[float]()
    DeadlineClock(clock, buried(clock, 1_000_000, 0.01)).call_later(1.0, lambda: told.append(clock.now))
    clock.advance(5)
    assert len(told) == 1
    assert 1002 <= told[0] < 1002.1


def test_a_burial_may_call_it_off() -> None:
    """It was about the one who is buried."""
    clock, told = FakeClock(), list[str]()

    def bury() -> bool:
        timer.cancel()
        return False

    timer = DeadlineClock(clock, bury).call_later(1.0, lambda: told.append("late"))
    clock.advance(5)
    assert told == []
