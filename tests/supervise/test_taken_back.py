"""A process that was spawned in vain hears of its end, and has one."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import harness
import pytest

from pidone.contracts import Timer
from pidone.init.reaper import Reaper
from pidone.init.spawn import SpawnPlan, spawn
from pidone.supervise.process.taken_back import PATIENCE_S, TakenBack


class Later:
    """A clock that keeps what is due."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        return 0.0

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        self.due.append((delay, callback))
        return self

    def cancel(self) -> None:
        """Nobody does."""


PROGRAM = """
import os, signal, sys, time
folder, is_deaf = sys.argv[1], sys.argv[2:]
def heard(*_):
    open(folder + "/heard", "w")
    is_deaf or os._exit(0)
signal.signal(signal.SIGTERM, heard)
open(folder + "/ready", "w")
while True:
    time.sleep(0.05)
"""


def spawned(folder: Path, *words: str) -> int:
    """Somebody who is ready for SIGTERM."""
    argv = (sys.executable, "-I", "-S", "-c", PROGRAM, str(folder), *words)
    null = os.open(os.devnull, os.O_RDWR)
    try:
        pid = spawn(SpawnPlan(argv=argv, env={}, cwd="/", stdout=null, stderr=null))
    finally:
        os.close(null)
    harness.eventually((folder / "ready").exists)
    return pid


def gone(reaper: Reaper, pid: int) -> bool:
    reaper.reap()
    return not reaper.owns(pid)


def test_who_has_begun_already_hears_sigterm(tmp_path: Path) -> None:
    """It ends as it likes; what was to kill it then does nothing to whoever has its number."""
    reaper, clock = Reaper(), Later()
    pid = spawned(tmp_path)
    TakenBack(clock, reaper).end(pid, signal.SIGTERM)
    harness.eventually(lambda: gone(reaper, pid))
    assert (tmp_path / "heard").exists()
    [(delay, call)] = clock.due
    assert delay == PATIENCE_S
    call()


@pytest.mark.parametrize("is_at_the_end", [False, True])
def test_who_ignores_it_is_killed(tmp_path: Path, *, is_at_the_end: bool) -> None:
    """After the patience, or when the runtime ends."""
    reaper, clock = Reaper(), Later()
    taken = TakenBack(clock, reaper)
    pid = spawned(tmp_path, "deaf")
    taken.end(pid, signal.SIGTERM)
    harness.eventually((tmp_path / "heard").exists)
    assert not gone(reaper, pid)
    if is_at_the_end:
        taken.kill_all()
    else:
        [(_, call)] = clock.due
        call()
    harness.eventually(lambda: gone(reaper, pid))
