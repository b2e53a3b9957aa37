"""What the tests of clusters under the real command have in common."""

import contextlib
import random
import shutil
import socket
from pathlib import Path

import pytest


@pytest.fixture
def port() -> int:
    """A port nobody uses, outside the range that the kernel gives to clients."""
    while True:
        candidate = random.randrange(12000, 30000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", candidate)):
            return candidate


@pytest.fixture(scope="session")
def node() -> str:
    """The Node on PATH."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node on PATH")
    return str(Path(found).resolve())
