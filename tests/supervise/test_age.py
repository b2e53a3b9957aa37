"""Instances are replaced by age, and not all of them at once."""

from hypothesis import given
from hypothesis import strategies as st

from pidone.supervise.times.ages import expires_in


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
