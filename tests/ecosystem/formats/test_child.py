"""Reading beside other things: nothing blocks, nothing is left, whoever reaps."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest
from ecosystem.formats.support import ENV
from harness import DEADLINE_S, children, eventually, state

from pidone.ecosystem.document import Document
from pidone.ecosystem.formats import DocumentReading, child, start_reading
from pidone.errors import ConfigError


def descriptors() -> list[str]:
    """The open descriptors of this process."""
    return sorted(entry.name for entry in Path("/proc/self/fd").iterdir())


SLOW = "const end = Date.now() + 300; while (Date.now() < end); exports.script = 'a'"
TURNS = 5
"""Of a loop, while a child stands still."""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may take long: the machine may be busy. How long it may is for test_hostile.py."""
    monkeypatch.setattr(child, "TIME_LIMIT_S", DEADLINE_S)


def start(folder: Path, text: str, name: str = "e.config.js", **options: object) -> DocumentReading:
    """Start to read a file with this text."""
    (folder / name).write_text(text)
    return start_reading(folder / name, env=ENV, argv=[], cpus=1, **options)  # type: ignore[arg-type]  # `reap` only


def test_a_loop_goes_on_while_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a reload, the event loop waits for a descriptor and turns meanwhile."""
    confine = child._confine

    def stand_still(writing: int) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)
        confine(writing)

    monkeypatch.setattr(child, "_confine", stand_still)

    async def scenario() -> tuple[Document, int]:
        reading = start(tmp_path, SLOW)
        (pid,) = children(os.getpid())
        eventually(lambda: state(pid) == "T", "the child to stand still")
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        descriptor = reading.fileno()
        assert descriptor is not None

        def readable() -> None:
            if reading.advance():
                done.set()

        loop.add_reader(descriptor, readable)
        turns = 0
        while not done.is_set():
            turns += 1
            if turns == TURNS:
                os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.01)
        loop.remove_reader(descriptor)
        return reading.document(), turns

    document, turns = asyncio.run(scenario())
    assert document.apps == ({"script": "a"},)
    assert turns >= TURNS


def test_strict_json_needs_no_child(tmp_path: Path) -> None:
    """A strict JSON file is there at once."""
    reading = start(tmp_path, '{"script": "a"}', "pm2.json")
    assert reading.fileno() is None
    assert reading.advance() is True
    assert children(os.getpid()) == []
    assert reading.document().apps == ({"script": "a"},)


def test_somebody_else_may_reap_the_child(tmp_path: Path) -> None:
    """With a reaper that takes every child, the reading needs no exit status."""
    reaped: list[int] = []

    def reaper(*_: object) -> None:
        with contextlib.suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) > 0:
                reaped.append(pid)

    before = signal.signal(signal.SIGCHLD, reaper)
    try:
        document = start(tmp_path, SLOW, reap=lambda _pid: None).document()
        eventually(lambda: reaped, "the reaper took the child")
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert document.apps == ({"script": "a"},)


def test_reap_tolerates_that_the_child_is_gone(tmp_path: Path) -> None:
    """The default way to reap does not fail when somebody was faster."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    try:
        assert start(tmp_path, SLOW).document().apps == ({"script": "a"},)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_reading_can_be_given_up(tmp_path: Path) -> None:
    """Cancelling ends the child at once, and may be done twice."""
    reading = start(tmp_path, "while (true);")
    assert len(children(os.getpid())) == 1
    reading.cancel()
    reading.cancel()
    assert children(os.getpid()) == []


def test_a_child_that_dies_is_an_error(tmp_path: Path) -> None:
    """A child that is killed leaves a clear error."""
    reading = start(tmp_path, "while (true);")
    os.kill(children(os.getpid())[0], signal.SIGKILL)
    with pytest.raises(ConfigError, match="needs more CPU or memory"):
        reading.document()


def test_signals_of_the_parent_do_not_reach_its_handlers_twice(tmp_path: Path) -> None:
    """A child has the default dispositions: a TERM ends it and runs no handler of the parent's."""
    log = tmp_path / "log"
    before = signal.signal(signal.SIGTERM, lambda *_: log.write_text(str(os.getpid())))
    try:
        reading = start(tmp_path, "while (true);")
        pid = children(os.getpid())[0]
        eventually(lambda: _is_confined(pid), "the child has changed its dispositions")
        os.kill(pid, signal.SIGTERM)
        with pytest.raises(ConfigError, match="needs more CPU or memory"):
            reading.document()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not log.exists()


def _is_confined(pid: int) -> bool:
    caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return os.getpgid(pid) == pid and not int(caught, 16) & 1 << signal.SIGTERM - 1


def test_no_process_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When fork fails, the error says so and no descriptor is left."""

    def fail() -> int:
        raise OSError(11, "Resource temporarily unavailable")

    before = descriptors()
    monkeypatch.setattr(os, "fork", fail)
    with pytest.raises(ConfigError, match="no process can be started: Resource temporarily unavailable"):
        start(tmp_path, SLOW)
    assert descriptors() == before
