"""Every helper of ours that is stopped, killed or says nonsense: nobody waits for ever, and it is told."""

import asyncio
import contextlib
import gzip
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Running, children, command_of, eventually, hold, pidone, state

from pidone.errors import ConfigError, SpawnError
from pidone.init import spawn as spawning
from pidone.init.reaper import Reaper
from pidone.init.spawn import SpawnPlan, spawn
from pidone.logs.files import packing
from pidone.logs.files.packing import Packer
from pidone.supervise.run import loading
from pidone.supervise.run.loading import Loading
from pidone.supervise.run.reread import Reread


@contextlib.contextmanager
def running(folder: Path, **keys: Any) -> Iterator[Running]:
    """An app that does nothing, and what else there is of it; stopped in order."""
    app = {
        "name": "a",
        "script": "/bin/sleep",
        "args": "1000",
        "interpreter": "none",
        "cwd": str(folder),
        **keys,
    }
    file = folder.parent / f"{folder.name}.json"
    file.write_text(json.dumps({"apps": [app]}))
    with pidone(str(file)) as run:
        run.expect(event="instance.online")
        yield run
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert not run.find(event="runtime.error")


# -- what reads a file ---------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading takes a moment, or it is held."""
    monkeypatch.setattr(loading, "WALL_LIMIT_S", 1.0)  # ends who has not been held by then
    monkeypatch.setattr(loading, "_LATE_S", 0.3)


def be_held() -> None:
    """As if somebody had stopped it: no limit of its own ends it then."""
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.usefixtures("short")
def test_a_reader_that_is_held_is_given_up() -> None:
    """At the start, where nobody has anything else to do."""
    reading = Loading(be_held)
    with pytest.raises(ConfigError, match="somebody has stopped it"):
        reading.wait()
    assert not state(reading.pid)


@pytest.mark.usefixtures("short")
def test_a_file_is_read_again_after_a_reader_that_is_held(tmp_path: Path) -> None:
    """Each later SIGHUP would wait for it."""
    first, told, found = tmp_path / "first", list[str](), list[object]()

    def load() -> Any:
        if not first.exists():
            first.touch()
            be_held()
        return "found"

    async def read() -> None:
        over, reaper = asyncio.Event(), Reaper()

        def failed(why: str) -> None:
            told.append(why)
            again.begin()

        def loaded(what: object) -> None:
            found.append(what)
            over.set()

        loop = asyncio.get_running_loop()
        again = Reread(load, loop=loop, reaper=reaper, on_loaded=loaded, on_failed=failed)
        again.begin()
        await asyncio.wait_for(over.wait(), 60)
        while reaper.watched:
            reaper.reap()
            await asyncio.sleep(0.01)

    asyncio.run(read())
    assert "somebody has stopped it" in told[0]
    assert found == ["found"]


@pytest.mark.parametrize("part", [b"", b"\x80", b"\x80\x04K", b"not a pickle", b"]" * 70_000])
def test_a_reader_that_does_not_say_all(part: bytes) -> None:
    """Killed in the middle of its answer, or before."""
    reading = Loading(lambda: None)
    reading.wait()
    read, write = os.pipe()
    os.close(write)
    reading.fd, reading._answer = read, [part]
    with pytest.raises(ConfigError):
        reading.outcome()


# -- what becomes a program ----------------------------------------------------------------------------------


def test_a_child_that_is_held_before_its_program_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime waits for the exec, and for nothing else meanwhile."""
    monkeypatch.setattr(spawning, "_PATIENCE_MS", 20)
    before = set(children(os.getpid()))
    with pytest.raises(SpawnError, match="did not become its program"):
        spawn(SpawnPlan(argv=("/bin/true",), env={}, before_exec=be_held))
    for pid in set(children(os.getpid())) - before:
        os.waitpid(pid, 0)
    assert set(children(os.getpid())) <= before


# -- what packs logs -----------------------------------------------------------------------------------------


class _NoLoop:
    """Hears of nothing: what a packer leaves is looked at when the next file comes."""

    def add_reader(self, fd: int, callback: object) -> None: ...

    def remove_reader(self, fd: int) -> None: ...


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_packer_that_is_killed_or_held_loses_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """That is told, and what it had to pack is packed with the next file."""
    told: list[str] = []
    packer = Packer(tmp_path / "x.log", _NoLoop(), lambda error: told.append(str(error.strerror)))
    honest = packing._pack_all

    def fail(*_: object) -> int:
        os.kill(os.getpid(), number)
        return 0

    def put_aside(name: str) -> None:
        (tmp_path / name).write_text(name)
        packer.pack(name, (tmp_path / name).stat())

    monkeypatch.setattr(packing, "_pack_all", fail)
    put_aside("x.log.1")
    eventually(lambda: state(packer._pid) in ("Z", "T"), "the end of the process")
    monkeypatch.setattr(packing, "_pack_all", honest)
    put_aside("x.log.2")
    eventually(lambda: state(packer._pid) == "Z", "the end of the process")
    put_aside("x.log.3")
    eventually(lambda: state(packer._pid) == "Z", "the end of the process")
    put_aside("x.log.4")
    eventually(lambda: len(list(tmp_path.glob("*.gz"))) >= 3, "the packed files")
    for pid in children(os.getpid()):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    packer.close()
    assert told == ["the process that packs was killed"]
    assert gzip.decompress((tmp_path / "x.log.1.gz").read_bytes()) == b"x.log.1"


# -- what watches files --------------------------------------------------------------------------------------


def watcher_of(run: Running) -> int:
    """Its pid, once it is there."""
    return eventually(
        lambda: [pid for pid in children(run.pid) if "watching.changes" in command_of(pid)], "the watcher"
    )[0]


def test_a_watcher_that_is_held_is_replaced(tmp_path: Path) -> None:
    """Nobody would hear of a change any more, and nobody of that."""
    folder = tmp_path / "project"
    folder.mkdir()
    with running(folder, watch=True) as run:
        first = watcher_of(run)
        hold(first)
        run.expect(event="watch.failed")
        eventually(lambda: watcher_of(run) != first, "another one")


@pytest.mark.parametrize(
    "words",
    [
        b"nonsense\n",
        b'{"group": 7, "path": "x"}\n',
        b"[]\n",
        b'{"group": 0}\n',
        b"[" * 99_999 + b"\n",
        b'{"group":0,"path":5}\n',
    ],
    ids=["word", "group", "list", "path", "deep", "number"],
)
def test_a_watcher_that_says_nonsense_is_replaced(tmp_path: Path, words: bytes) -> None:
    """Whatever an interpreter may print there."""
    folder = tmp_path / "project"
    folder.mkdir()
    with running(folder, watch=True) as run:
        first = watcher_of(run)
        with contextlib.suppress(BrokenPipeError), Path(f"/proc/{first}/fd/1").open("wb", 0) as pipe:
            pipe.write(words)
        run.expect(event="watch.failed")
        eventually(lambda: watcher_of(run) != first, "another one")


# -- what stands guard ---------------------------------------------------------------------------------------


def test_a_guard_that_is_held_is_replaced(tmp_path: Path) -> None:
    """A runtime that is killed then is still followed by its apps."""
    folder = tmp_path / "project"
    folder.mkdir()

    def guards(run: Running) -> list[int]:
        return [pid for pid in children(run.pid) if "sleep" not in command_of(pid) and state(pid) not in "ZX"]

    with running(folder) as run:
        first = eventually(lambda: guards(run), "the guard")[0]
        hold(first)
        eventually(lambda: [pid for pid in guards(run) if pid != first], "another one")
        eventually(lambda: not state(first), "the end of the first")


# -- who buries them -----------------------------------------------------------------------------------------


def test_a_stop_is_told_and_is_no_end() -> None:
    """Of whom somebody wants to hear; others may be stopped and go on as they like."""
    reaper, stopped, ended = Reaper(), list[int](), list[int]()
    pids = [os.fork() or _sleep() for _ in range(2)]
    reaper.watch(pids[0], lambda _: ended.append(pids[0]), on_stop=lambda: stopped.append(pids[0]))
    reaper.watch(pids[1], lambda _: ended.append(pids[1]))
    for pid in pids:
        hold(pid)
    reaper.reap()
    assert (stopped, ended) == ([pids[0]], [])
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: all(state(pid) == "Z" for pid in pids), "their ends")
    reaper.reap()
    assert sorted(ended) == sorted(pids)


def _sleep() -> int:
    while True:
        signal.pause()
