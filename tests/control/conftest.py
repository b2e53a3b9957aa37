"""Fixtures of the control room."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from control.operated import Operated, operated


@pytest.fixture
def sleeping(tmp_path: Path) -> Iterator[Operated]:
    """Two instances of `sleep`, operated."""
    with operated(tmp_path) as it:
        yield it
