"""Where real servers come from: each function gives what a row's command line may name, or skips the test.

What is built or downloaded is kept outside the checkout, whole or not at all.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import npm
import pytest
from harness import locked

CACHE = npm.CACHE.parent
PATIENCE_S = 300
Need = Callable[[], Mapping[str, str]]
"""Placeholders of a command line and what they stand for."""

PYTHON_SERVERS = (
    *("uvicorn[standard]", "gunicorn", "gevent", "tornado", "hypercorn", "granian", "daphne"),
    *("sanic", "aiohttp", "cherrypy", "flask", "waitress"),
)


def tool(*names: str) -> Need:
    """The first of these programs that is there; `{program}`."""

    def find() -> Mapping[str, str]:
        path = os.environ["PATH"] + ":/usr/local/go/bin:/usr/sbin:" + str(Path.home() / ".cargo" / "bin")
        found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
        if found is None:
            pytest.skip(f"no {' or '.join(names)} here")
        return {"program": found}

    return find


def node(name: str, *packages: str) -> Need:
    """Node, and a folder with these packages; `{node}`, `{modules}`."""

    def find() -> Mapping[str, str]:
        return {
            "node": os.path.realpath(tool("node")()["program"]),
            "modules": str(npm.modules(name, *packages)),
        }

    return find


def built(name: str, packages: Sequence[str], files: Mapping[str, str], command: Sequence[str]) -> Need:
    """As `node`, and the folder in which this command has built these files; `{built}`."""

    def find() -> Mapping[str, str]:
        found = {**node(name, *packages)()}
        folder = Path(found["modules"]).parent
        words = [word.format_map(found) for word in command]
        with locked(CACHE / "npm" / f"{name}.lock"):
            if not (folder / "is-built").exists():
                _write(folder, files)
                _run(words, folder, name)
                (folder / "is-built").touch()
        return {**found, "built": str(folder)}

    return find


def pip(package: str) -> Need:
    """An environment with all of the Python servers; `{python}`, `{bin}`."""

    def find() -> Mapping[str, str]:
        folder = CACHE / "pip" / "servers"
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(CACHE / "pip" / "servers.lock"):
            if not (folder / "bin" / "granian").exists():
                _run([sys.executable, "-m", "venv", "--clear", str(folder)], folder.parent, package)
                _run([str(folder / "bin" / "pip"), "install", "-q", *PYTHON_SERVERS], folder.parent, package)
        return {"python": str(folder / "bin" / "python"), "bin": str(folder / "bin")}

    return find


def compiled(name: str, files: Mapping[str, str], compiler: str, *words: str, binary: str) -> Need:
    """A program of ours in a language that is compiled; `{program}`."""

    def find() -> Mapping[str, str]:
        folder = CACHE / "built" / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        command = [tool(compiler)()["program"], *words]
        with locked(CACHE / "built" / f"{name}.lock"):
            if not (folder / binary).exists() or any(
                (folder / file).read_text() != text for file, text in files.items()
            ):
                shutil.rmtree(folder, ignore_errors=True)
                with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                    fresh = Path(scratch) / "whole"
                    _write(fresh, files)
                    _run(command, fresh, name)
                    fresh.rename(folder)
        return {"program": str(folder / binary)}

    return find


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _run(command: Sequence[str], folder: Path, name: str) -> None:
    env = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off", "NEXT_TELEMETRY_DISABLED": "1", "CI": "1"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{name}: {command[0]} did not end in time")
    if done.returncode != 0:
        pytest.skip(f"{name}: {command[0]} failed: {(done.stdout + done.stderr)[-400:]}")
