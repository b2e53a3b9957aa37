"""What the tests of clusters under the real command have in common."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def node() -> str:
    """The Node on PATH."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node on PATH")
    return str(Path(found).resolve())
