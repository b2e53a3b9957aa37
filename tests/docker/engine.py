"""A Docker engine for the tests: the one that answers, else one that is installed and started here."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pidone"
"""What is expensive to make is kept here between runs: base images, the engine's layers, its plugins."""

START_S = 60.0
STOP_S = 30.0
PACKAGES = {
    "dockerd": "docker.io",
    "iptables": "iptables",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "openssl": "openssl",
}


class EngineError(Exception):
    """There is no engine and none can be started."""


def answers() -> bool:
    """Whether a client is installed and an engine answers it."""
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0


def install(*programs: str) -> None:
    """Install the Debian packages of the programs that are missing. Raises EngineError."""
    missing = [PACKAGES[name] for name in programs if not shutil.which(name)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise EngineError(f"these packages are missing and only root on Debian can install them: {missing}")
    quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=quietly)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
        check=True,
        env=quietly,
        stdout=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def running_engine() -> Iterator[None]:
    """An engine that answers; one that was started here is stopped in the end. Raises EngineError."""
    if answers():
        yield
        return
    install("dockerd", "iptables")
    CACHE.mkdir(parents=True, exist_ok=True)
    log = CACHE / "dockerd.log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            ["dockerd", "--data-root", str(CACHE / "engine")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # ^C is for the tests; the engine goes after them
        )
    try:
        _wait_for(daemon, log)
        yield
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(STOP_S)


def _wait_for(daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not answers():
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise EngineError(f"dockerd does not answer:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)
