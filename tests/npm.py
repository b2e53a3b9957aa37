"""Packages from npm for tests, kept outside the checkout so that they are fetched once."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness import locked

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pidone" / "npm"
PATIENCE_S = 180


NODES = ("18", "20", "22", "24")
"""Supported major versions of Node."""
EDGES = (NODES[0], NODES[-1])
"""What differs between versions is old or new."""


def node(version: str) -> str:
    """A Node of this major version, from the npm package that carries the binaries."""
    return str(modules(f"node-{version}", f"node@{version}") / "node" / "bin" / "node")


def modules(name: str, *packages: str) -> Path:
    """A node_modules folder with these packages; skips the test where npm cannot provide them."""
    folder = CACHE / name
    with locked(CACHE / f"{name}.lock"):
        if not folder.exists():
            _install(folder, packages)
    return folder / "node_modules"


def _install(folder: Path, packages: Sequence[str]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"no npm to install {folder.name} with")
    # Made aside and renamed: what is there is whole, also when an earlier run was killed.
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        fresh = Path(name) / "whole"
        fresh.mkdir()
        command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(fresh), *packages]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm did not install {folder.name} in time")
        if done.returncode != 0:
            pytest.skip(f"npm cannot install {folder.name}: {done.stderr[-200:]}")
        fresh.rename(folder)
