"""Fixtures of the ecosystem's tests."""

from pathlib import Path

import pytest
from ecosystem.box import Box


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)
