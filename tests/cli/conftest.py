"""Fixtures of the command line's tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import npm
import pytest
from cli.beside_pm2 import Both
from harness import PIDONE


@pytest.fixture(scope="module")
def peer() -> str:
    """PM2's own runtime."""
    if shutil.which("node") is None:
        pytest.skip("no node to run pm2 with")
    return str(npm.modules("pm2-7", "pm2@7") / ".bin" / "pm2-runtime")


@pytest.fixture
def ours(tmp_path: Path) -> str:
    """Ours by that name."""
    link = tmp_path / "bin" / "pm2-runtime"
    link.parent.mkdir()
    for name in ("pm2-runtime", "pm2"):
        link.with_name(name).symlink_to(PIDONE)
    return str(link)


@pytest.fixture
def both(peer: str, ours: str, tmp_path: Path) -> Iterator[Both]:
    """PM2's runtime and ours."""
    it = Both((peer, ours), tmp_path)
    yield it
    it.end()
