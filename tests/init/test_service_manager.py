"""What a service manager hears from us, on a socket of its own."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pidone.init.service_manager import ServiceManager


@pytest.fixture(params=["path", "abstract"])
def heard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A manager's socket and its address as NOTIFY_SOCKET has it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@pidone-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(10)
        yield name, manager


def test_each_message(heard: tuple[str, socket.socket]) -> None:
    """One datagram each, lines of KEY=value."""
    name, manager = heard
    ours = ServiceManager.find({"NOTIFY_SOCKET": name})
    assert ours is not None
    for say, expected in (
        (ours.ready, f"READY=1\nMAINPID={os.getpid()}"),
        (ours.stopping, "STOPPING=1"),
        (ours.alive, "WATCHDOG=1"),
        (lambda: ours.status("2 of 3\n apps"), "STATUS=2 of 3 apps"),
        (lambda: ours.extend(1.5), "EXTEND_TIMEOUT_USEC=1500000"),
    ):
        assert say() is None
        assert manager.recv(1000).decode() == expected
    before = time.monotonic_ns() // 1000
    ours.reloading()
    first, second = manager.recv(1000).decode().splitlines()
    assert first == "RELOADING=1"
    assert before <= int(second.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_a_status_is_said_once(heard: tuple[str, socket.socket]) -> None:
    """The same again is no news."""
    name, manager = heard
    ours = ServiceManager(name)
    for text in ("a", "a", "b"):
        ours.status(text)
    assert [manager.recv(100), manager.recv(100)] == [b"STATUS=a", b"STATUS=b"]
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)


def test_a_manager_that_does_not_read_or_is_gone_holds_nothing_up(heard: tuple[str, socket.socket]) -> None:
    """What it did not hear is told to whoever said it."""
    name, manager = heard
    ours = ServiceManager(name)
    failures = [ours.alive() for _ in range(2000)]
    assert isinstance(failures[-1], BlockingIOError)
    manager.close()
    assert isinstance(ours.alive(), OSError)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog(environ: dict[str, str], expected: float | None) -> None:
    """Said twice as often as it is waited for, if it is meant for us."""
    ours = ServiceManager.find({"NOTIFY_SOCKET": "/x", **environ})
    assert ours is not None
    assert ours.ping_every_s == expected


@pytest.mark.parametrize("address", ["", "vsock:2:1", "relative"])
def test_no_manager(address: str) -> None:
    """Nothing that we could speak to."""
    assert ServiceManager.find({"NOTIFY_SOCKET": address}) is None
