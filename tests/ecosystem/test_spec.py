"""What a spec can tell about itself."""

import pytest

from pidone.ecosystem.spec import AppSpec


@pytest.mark.parametrize(
    ("instances", "cpus", "processes"),
    [
        (0, 4, 4),
        (-1, 4, 3),
        (-3, 4, 1),
        (-4, 4, 1),
        (-99, 4, 1),
        (1, 4, 1),
        (16, 4, 16),
        (0, 1, 1),
        (-1, 1, 1),
    ],
)
def test_instances(instances: int, cpus: int, processes: int) -> None:
    """0 is every CPU, -n is n fewer but never none, anything else is taken as it is."""
    assert AppSpec(name="a", argv=("/a",), instances=instances).count(cpus) == processes
