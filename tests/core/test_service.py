"""Started by a service manager (systemd, Quadlet, podman `--sdnotify=container`): all that it hears of us."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import DEADLINE_S, Running, pidone
from writing import ecosystem, shell

POLITE = "trap 'exit 0' TERM; {} echo up; while :; do sleep 0.05; done"


class Manager:
    """The socket that NOTIFY_SOCKET names, and what came to it."""

    def __init__(self, sock: socket.socket, name: str) -> None:
        self.name = name
        self._socket = sock
        self.heard: list[str] = []

    def expect(self, text: str) -> str:
        """Wait for a message that begins so; what came before it is in `heard`."""
        while True:
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except TimeoutError:
                raise AssertionError(f"no {text!r} among {self.heard}") from None
            if self.heard[-1].startswith(text):
                return self.heard[-1]


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """As systemd has it (/run/systemd/notify), and as older ones and some podmans do (@name)."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@pidone-test-service-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0", 1))
        sock.settimeout(DEADLINE_S)
        yield Manager(sock, name)


def started(manager: Manager, file: str, **environ: str) -> Running:
    """Pidone as its service."""
    return pidone("--socket", "none", file, env={"NOTIFY_SOCKET": manager.name, **environ})


def test_the_life_of_a_service(tmp_path: Path, manager: Manager) -> None:
    """Ready when every app is, never before; reloading and ready again; stopping, and for how long."""
    gate = tmp_path / "gate"
    held = f"while ! [ -e {gate} ]; do sleep 0.05; done;"
    first = shell("first", POLITE.format(""), ready="log:up")
    late = shell("late", POLITE.format(held), ready="log:up", kill_timeout="7s", listen_timeout="1m")
    with started(manager, ecosystem(tmp_path, first, late)) as run:
        manager.expect("STATUS=1 of 2 apps ready")
        assert not [text for text in manager.heard if "READY=1" in text]
        gate.touch()
        assert manager.expect("READY=1") == f"READY=1\nMAINPID={run.pid}"
        manager.expect("STATUS=2 of 2 apps ready")

        run.signal(signal.SIGHUP)
        assert "\nMONOTONIC_USEC=" in manager.expect("RELOADING=1")
        manager.expect("READY=1")

        run.signal(signal.SIGTERM)
        manager.expect("STOPPING=1")
        allowed = int(manager.expect("EXTEND_TIMEOUT_USEC=").partition("=")[2])
        assert allowed >= 7_000_000  # what `late` is given
        assert run.wait() == 0


def test_the_watchdog_is_fed_for_as_long_as_the_loop_turns(tmp_path: Path, manager: Manager) -> None:
    """Again and again while it runs."""
    file = ecosystem(tmp_path, shell("a", POLITE.format("")))
    with started(manager, file, WATCHDOG_USEC="300000") as run:
        for _ in range(4):
            manager.expect("WATCHDOG=1")
        os.kill(run.pid, signal.SIGTERM)
        assert run.wait() == 0


def test_a_watchdog_of_somebody_else_is_not_fed(tmp_path: Path, manager: Manager) -> None:
    """WATCHDOG_PID names who is meant, sd_watchdog_enabled(3): pidone may be below a wrapper."""
    file = ecosystem(tmp_path, shell("a", POLITE.format("")))
    with started(manager, file, WATCHDOG_USEC="100000", WATCHDOG_PID="1") as run:
        manager.expect("READY=1")
        run.signal(signal.SIGTERM)
        manager.expect("EXTEND_TIMEOUT_USEC=")
        assert run.wait() == 0
        assert "WATCHDOG=1" not in manager.heard


def test_a_manager_that_is_gone_is_told_once(tmp_path: Path) -> None:
    """A stale NOTIFY_SOCKET costs one line."""
    file = ecosystem(tmp_path, shell("a", POLITE.format("")))
    with pidone("--socket", "none", file, env={"NOTIFY_SOCKET": str(tmp_path / "gone")}) as run:
        run.expect(event="runtime.unheard")
        run.expect(message="up")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert len(run.find(event="runtime.unheard")) == 1
