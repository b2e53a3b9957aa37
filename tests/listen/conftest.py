"""What the tests of port sharing have in common."""

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import npm
import pytest
from listen.fleet import Fleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A loop with an outfitter."""
    with Fleet(tmp_path) as running:
        yield running


@pytest.fixture
def port() -> int:
    """A port nobody uses."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def any_node() -> str:
    """The Node on PATH."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node on PATH")
    return str(Path(found).resolve())


@pytest.fixture(scope="session", params=npm.NODES)
def node(request: pytest.FixtureRequest) -> str:
    """Each supported major version."""
    return npm.node(request.param)
