"""Instances are replaced by age, and not all of them at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import ConfigError
from runtime.supervise.age import check_age, expires_in


@given(st.floats(0, 1, exclude_max=True))
def test_a_life_lasts_max_age_and_up_to_the_jitter_more(chance: float) -> None:
    """One hour, and up to five minutes more."""
    assert 3600 <= expires_in(3600, 300, lambda: chance) <= 3900


def test_without_jitter_it_is_exact() -> None:
    """No jitter, no chance."""
    assert expires_in(3600, 0, lambda: 0.7) == 3600


def test_lives_differ() -> None:
    """Instances that became ready together do not expire together."""
    values = iter([0.0, 0.5, 0.75])
    assert [expires_in(100, 20, lambda: next(values)) for _ in range(3)] == [100, 110, 115]


def test_an_age_below_the_time_to_become_ready() -> None:
    """Instances that are replaced before they are ready serve nobody: that is refused."""
    with pytest.raises(ConfigError, match="longer than listen_timeout"):
        check_age(3.0, ready_within=3.0)


def test_a_sensible_age() -> None:
    """Nothing to say."""
    check_age(3600, ready_within=3.0)
