"""Instances are replaced by age, and not all of them at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ConfigError
from runtime.supervise.age import check_age, expires_in


@given(st.floats(0, 1, exclude_max=True))
def test_a_life_lasts_max_age_give_or_take_the_jitter(chance: float) -> None:
    """One hour, up to five minutes more or less."""
    assert 3300 <= expires_in(3600, 300, lambda: chance) <= 3900


def test_without_jitter_it_is_exact() -> None:
    """No jitter, no chance."""
    assert expires_in(3600, 0, lambda: 0.7) == 3600


def test_lives_differ() -> None:
    """Instances that became ready together do not expire together."""
    values = iter([0.0, 0.5, 0.75])
    assert [expires_in(100, 20, lambda: next(values)) for _ in range(3)] == [80, 100, 110]


@pytest.mark.parametrize(
    ("max_age", "jitter", "problem"),
    [
        (60.0, 60.0, "max_age_jitter"),
        (60.0, -1.0, "max_age_jitter"),
        (3.0, 0.0, "listen_timeout"),
        (10.0, 8.0, "max_age"),
    ],
)
def test_nonsense_ages(max_age: float, jitter: float, problem: str) -> None:
    """An age that replaces instances before they are ready is refused."""
    with pytest.raises(ConfigError, match=problem):
        check_age(max_age, jitter, ready_within=3.0)


def test_a_sensible_age() -> None:
    """Nothing to say."""
    check_age(3600, 300, ready_within=3.0)
