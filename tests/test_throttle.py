"""Which of many equal faults are told."""

from pidone.throttle import PERIOD, Throttle


def test_the_first_is_told_and_the_rest_once_a_minute_with_their_number() -> None:
    """Each kind by itself."""
    now = 0.0
    throttle = Throttle(lambda: now)
    assert throttle.due("accept") == 1
    assert [throttle.due("accept") for _ in range(5)] == [0] * 5
    assert throttle.due("load") == 1
    now = PERIOD - 1
    assert throttle.due("accept") == 0
    now = PERIOD
    assert throttle.due("accept") == 7
    assert throttle.due("accept") == 0


def test_kinds_do_not_pile_up() -> None:
    """However many there are, few are remembered, and those told last."""
    throttle = Throttle(lambda: 0.0)
    assert all(throttle.due(number) == 1 for number in range(1000))
    assert throttle.due(999) == 0
    assert throttle.due(0) == 1
