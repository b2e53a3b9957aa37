"""What the tests of port sharing have in common."""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from listen.fleet import Fleet

CACHE = Path(__file__).parents[2] / ".cache" / "node"
NODES = ("18", "20", "22", "24")


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


@pytest.fixture(scope="session", params=NODES)
def node(request: pytest.FixtureRequest) -> str:
    """Each supported major version, from the npm package that carries the binaries."""
    version = str(request.param)
    binary = CACHE / version / "node_modules" / "node" / "bin" / "node"
    if not binary.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("no npm to install Node with")
        folder = CACHE / version
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"node@{version}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm did not install Node {version} in time")
        if done.returncode != 0:
            pytest.skip(f"npm cannot install Node {version}: {done.stderr[-200:]}")
    return str(binary)
