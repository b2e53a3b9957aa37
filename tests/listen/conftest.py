"""What the tests of port sharing have in common."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import npm
import pytest
from listen.fleet import Fleet

from pidone.listen.sockets import steering


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A loop with a broker."""
    with Fleet(tmp_path) as running:
        yield running


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is taken for stuck who only waits for a CPU: chance alone decides who gets a connection."""
    monkeypatch.setattr(steering, "_SUSPICIONS", 1_000_000)


@pytest.fixture(scope="session")
def any_node() -> str:
    """The Node on PATH."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("no node on PATH")
    return str(Path(found).resolve())


@pytest.fixture(scope="session", params=npm.EDGES)
def node(request: pytest.FixtureRequest) -> str:
    """The oldest and the newest supported major version."""
    return npm.node(request.param)
