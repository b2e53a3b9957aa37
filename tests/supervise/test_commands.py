"""Commands beside an app: how they ended, and what they said of it."""

import asyncio
import errno
import os
import resource
import signal
import time
from typing import Never

import pytest
from harness import DEADLINE_S

from pidone.ecosystem.spec import AppSpec
from pidone.init.reaper import Reaper
from pidone.supervise.process.commands import Commands


def ran(*argv: str) -> tuple[int, str]:
    """Run a command to its end; nothing is left of it."""
    reaper = Reaper()
    before = os.listdir("/proc/self/fd")

    async def run() -> tuple[int, str]:
        running = asyncio.ensure_future(Commands(reaper, {"PATH": os.environ["PATH"]}).run(APP, argv))
        deadline = time.monotonic() + DEADLINE_S
        while not running.done():
            assert time.monotonic() < deadline, argv
            await asyncio.sleep(0.01)
            reaper.reap()
        return running.result()

    result = asyncio.run(run())
    assert len(os.listdir("/proc/self/fd")) == len(before)
    return result


APP = AppSpec(name="app", argv=("app",))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 0", (0, "")),
        ("echo all is well", (0, "")),
        ("exit 3", (3, "")),
        ("echo 'db:5432 - no response'; exit 2", (2, "db:5432 - no response")),
        ("echo looking >&2; echo '\033[31mconnection refused\033[0m' >&2; exit 1", (1, "connection refused")),
        ("printf '10%%\\r50%%\\rtimed out'; exit 1", (1, "timed out")),
        ("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo too much; exit 4", (4, "too much")),
        ("printf '\\377\\376 broken'; exit 1", (1, "\ufffd\ufffd broken")),
        ("kill -9 $$", (137, "")),
        ("exec /nowhere/at-all", (127, "/nowhere/at-all: not found")),
    ],
)
def test_what_a_command_that_failed_has_said(script: str, expected: tuple[int, str]) -> None:
    """The line that tells most, however much there was; of one that did what it should nothing."""
    code, said = ran("sh", "-c", script)
    assert code == expected[0]
    assert said.endswith(expected[1])
    assert bool(said) == bool(expected[1])


def test_who_is_left_behind_is_not_waited_for() -> None:
    """It holds the pipe for as long as it lives."""
    began = time.monotonic()
    code, pid = ran("sh", "-c", "sleep 300 & echo $! >&2; exit 1")
    os.kill(int(pid), signal.SIGKILL)
    os.waitpid(int(pid), 0)  # tests adopt orphans
    assert code == 1
    assert time.monotonic() - began < DEADLINE_S


def test_a_command_that_is_nowhere_is_127() -> None:
    """As a shell has it."""
    assert ran("no-such-command-anywhere")[0] == 127


def test_without_a_descriptor_nothing_runs() -> None:
    """That is told, and harms nobody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    loop = asyncio.new_event_loop()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")), hard))
        code, _ = loop.run_until_complete(Commands(Reaper(), {}).run(APP, ("true",)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        loop.close()
    assert code == 126


def refused(*_: object) -> Never:
    raise OSError(errno.EIO, "it is refused")


@pytest.mark.parametrize("name", ["pipe", "set_blocking", "read"])
def test_a_call_that_fails_harms_nobody(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it said is a help and no more; without a pipe nothing is started. No descriptor is left."""
    monkeypatch.setattr(f"pidone.supervise.process.commands.os.{name}", refused)
    expected = (4, "") if name == "read" else (126, "it is refused")
    assert ran("sh", "-c", "echo too much; exit 4") == expected


def test_a_loop_that_watches_nothing_more_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even epoll_ctl(2)."""
    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_reader", refused)
    assert ran("sh", "-c", "exit 4") == (126, "it is refused")
