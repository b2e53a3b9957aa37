"""What every scenario needs: Node, and something that speaks Redis."""

import shutil
from collections.abc import Iterator

import pytest
from scenarios.driving import redis_stand_in


@pytest.fixture(autouse=True)
def node() -> None:
    """The systems' apps are Node programs."""
    if shutil.which("node") is None:
        pytest.skip("needs node")


@pytest.fixture
def redis() -> Iterator[str]:
    """The URL of an empty Redis."""
    with redis_stand_in() as url:
        yield url
