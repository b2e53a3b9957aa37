"""Many programs that are looked at for their own port cost as many looks at /proc as one."""

import os
import socket
from unittest.mock import Mock, call

import pytest
from harness import free_port
from stage import FakeClock

from pidone.ecosystem.spec import AppSpec
from pidone.init import proctree
from pidone.listen.readiness.looks import StartLooks
from pidone.listen.readiness.own_port import OwnPort


@pytest.fixture
def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A mark for each time that all of /proc is read."""
    taken: list[int] = []
    real = proctree.snapshot

    def count() -> dict[int, proctree.ProcessInfo]:
        taken.append(1)
        return real()

    monkeypatch.setattr(proctree, "snapshot", count)
    return taken


def test_all_are_looked_at_together(snapshots: list[int]) -> None:
    """However many there are, one look a turn; and none when nobody is left."""
    clock = FakeClock()
    together = StartLooks(clock)
    app = AppSpec(name="web", argv=("/bin/true",), cwd="/", listen_timeout=3.0)
    looks = [OwnPort(together, clock, app, 1, Mock()) for _ in range(500)]
    for look in looks:
        look.spawned(os.getpid())
    clock.advance(1.0)
    assert 0 < len(snapshots) <= 20
    for look in looks:
        look.close()
    before = len(snapshots)
    clock.advance(10.0)
    assert len(snapshots) == before


def test_everybody_has_a_turn() -> None:
    """More than one turn can look at: each is heard of before long, and the others are not forgotten."""
    port = free_port()
    clock = FakeClock()
    together = StartLooks(clock)
    app = AppSpec(name="web", argv=("/bin/true",), cwd="/", listen_timeout=60.0)
    told = [Mock() for _ in range(250)]
    with socket.create_server(("127.0.0.1", port)):
        for each in told:
            OwnPort(together, clock, app, port, each).spawned(os.getpid())
        clock.advance(30.0)
    assert [each.ready.call_args_list for each in told] == [[call("listening")]] * 250
