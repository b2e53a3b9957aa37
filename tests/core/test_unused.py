"""What no key asks for costs nothing: not one file of such a room is read."""

import os
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from harness import PIDONE, Running, children, eventually
from writing import ecosystem, shell

ROOMS: dict[str, dict[str, Any]] = {
    "supervise/hooks": {"hooks": {"pre_start": "true"}},
    "supervise/memory": {"max_memory_restart": "1G"},
    "supervise/times": {"max_age": "1d"},
    "supervise/watching": {"watch": ["src"]},
}
"""By key of an app. Not in this table are those that only clusters have: `preload`, heartbeats."""
NEVER = ("supervise/preload", "listen/readiness", "listen/kernel", "listen/python", "cli/prove")


def rooms_read(tmp_path: Path, until: str, **keys: object) -> list[str]:
    """Of which rooms a runtime reads files, from its start until this room is among them, and to its end."""
    calls = tmp_path / "calls"

    def among(rooms: Iterable[str]) -> list[str]:
        opened = calls.read_text()
        return [room for room in rooms if f"/{room}/" in opened]

    app = shell("a", "exec sleep 1000", **keys)
    strace = ["strace", "-f", "-qq", "-e", "trace=openat", "-e", "signal=none", "-o", str(calls)]
    with Running([*strace, PIDONE, ecosystem(tmp_path, app)]) as run:
        run.expect(event="instance.online")
        run.expect(event="control.listening")
        eventually(lambda: among([until]), until)
        (runtime,) = children(run.pid)
        os.kill(runtime, signal.SIGTERM)
        assert run.wait() == 0
    return among((*ROOMS, *NEVER))


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_rooms_that_no_key_asks_for_are_not_read(tmp_path: Path) -> None:
    """None of them, neither for a plain app nor for one that uses another room."""
    (tmp_path / "src").mkdir()
    assert rooms_read(tmp_path, "supervise/instances") == []
    for room, keys in ROOMS.items():
        assert rooms_read(tmp_path, room, **keys) == [room]
