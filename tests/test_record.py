"""Records behave like frozen dataclasses."""

import pickle
from collections.abc import Callable, Mapping

import pytest

from pidone.record import EMPTY, Record, computed


class Point(Record):
    """Positional and named."""

    x: int
    y: int = 0


class Named(Record, kw_only=True, hidden=("secret",)):
    """Keywords only."""

    name: str
    secret: str = "?"
    env: Mapping[str, str] = EMPTY
    made: list[int] = computed(factory=list)


def test_fields_by_position_and_name() -> None:
    """Both ways give equal records."""
    assert Point(1, 2) == Point(x=1, y=2) == Point(1, y=2)
    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(2)


def test_equal_records_hash_equally() -> None:
    """A default and the same value given are the same."""
    assert len({Point(1), Point(1, 0), Point(x=1)}) == 1


def test_nothing_can_be_changed() -> None:
    """Assignment and deletion fail."""
    point = Point(1)
    with pytest.raises(AttributeError, match="frozen"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match="frozen"):
        del point.x


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({}, "needs 'x'"), ({"x": 1, "z": 2}, "no field 'z'")],
)
def test_wrong_arguments_are_type_errors(arguments: dict[str, int], message: str) -> None:
    """As with any call."""
    with pytest.raises(TypeError, match=message):
        Point(**arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Point(1, x=1), "x is given twice"),  # type: ignore[misc]
        (lambda: Point(1, 2, 3), "positional"),  # type: ignore[call-arg]
        (lambda: Point(1).but(z=2), "no field 'z'"),
    ],
)
def test_so_are_wrong_positions_and_wrong_changes(make: Callable[[], Point], message: str) -> None:
    """As with any call."""
    with pytest.raises(TypeError, match=message):
        make()


def test_keyword_only_takes_no_positions() -> None:
    """kw_only is enforced at run time as well."""
    with pytest.raises(TypeError, match="positional"):
        Named("x")  # type: ignore[call-arg]


def test_a_copy_with_changes() -> None:
    """`but` leaves the original alone."""
    point = Point(1, 2)
    assert (point.but(y=3), point) == (Point(1, 3), Point(1, 2))


def test_hidden_fields_do_not_show() -> None:
    """repr() never shows what may be secret."""
    assert "hush" not in repr(Named(name="a", secret="hush"))
    assert repr(Point(1)) == "Point(x=1, y=0)"


def test_computed_defaults_are_not_shared() -> None:
    """Each record gets its own."""
    assert Named(name="a").made is not Named(name="a").made


def test_records_survive_pickling() -> None:
    """They cross process boundaries."""
    named = Named(name="a", env={"A": "1"})
    assert pickle.loads(pickle.dumps(named)) == named
