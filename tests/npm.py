"""Packages from npm for tests, kept outside the checkout so that they are fetched once."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pidone" / "npm"
PATIENCE_S = 180


NODES = ("18", "20", "22", "24")
"""Supported major versions of Node."""


def node(version: str) -> str:
    """A Node of this major version, from the npm package that carries the binaries."""
    return str(modules(f"node-{version}", f"node@{version}") / "node" / "bin" / "node")


def modules(name: str, *packages: str) -> Path:
    """A node_modules folder with these packages; skips the test where npm cannot provide them."""
    folder = CACHE / name
    if folder.exists():
        return folder / "node_modules"
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"no npm to install {name} with")
    CACHE.mkdir(parents=True, exist_ok=True)
    # Made aside and renamed: what is there is whole, also when several runs meet.
    with tempfile.TemporaryDirectory(dir=CACHE) as fresh:
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", fresh, *packages]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm did not install {name} in time")
        if done.returncode != 0:
            pytest.skip(f"npm cannot install {name}: {done.stderr[-200:]}")
        (Path(fresh) / "whole").mkdir()
        for part in ("node_modules", "package.json"):
            (Path(fresh) / part).rename(Path(fresh) / "whole" / part)
        try:
            (Path(fresh) / "whole").rename(folder)
        except OSError:
            assert folder.exists()  # another run was quicker
    return folder / "node_modules"
