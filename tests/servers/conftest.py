"""What the tests of real servers have in common."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import free_port
from servers.results import HEAD, Row


@pytest.fixture
def spare() -> int:
    """A second port for nobody else."""
    return free_port()


@pytest.fixture(scope="session")
def rows() -> Iterator[list[Row]]:
    """What was seen; written to the file that SERVERS_TABLE names."""
    seen: list[Row] = []
    yield seen
    target = os.environ.get("SERVERS_TABLE")
    if target:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).write_text("\n".join([HEAD, *map(str, seen)]) + "\n")
