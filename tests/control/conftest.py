"""Fixtures of the control room."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from control.operated import Operated, operated


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """Two instances of `sleep` for all tests of a file that only ask, or ask for what is refused."""
    with operated(tmp_path_factory.mktemp("shared")) as it:
        yield it


@pytest.fixture
def sleeping(tmp_path: Path) -> Iterator[Operated]:
    """Two instances of `sleep`, operated."""
    with operated(tmp_path) as it:
        yield it
