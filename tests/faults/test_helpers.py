"""Every helper of ours that is stopped, killed or says nonsense: nobody waits for ever, and it is told."""

import asyncio
import contextlib
import fcntl
import functools
import gzip
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Running, children, command_of, eventually, hold, pidone, state

from pidone.contracts import Timer
from pidone.ecosystem.spec import AppSpec
from pidone.errors import ConfigError
from pidone.init import proctree
from pidone.init.reaper import Reaper
from pidone.init.spawn import SpawnPlan, follow, spawn
from pidone.logs.files import packing
from pidone.logs.files.packing import Packer
from pidone.supervise.preload.zygote import Zygote
from pidone.supervise.process.guard import Guard
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


class _NoLoop:
    """Calls later when it is told to, without any waiting, and hears of nothing."""

    def __init__(self) -> None:
        self.passed = 0.0
        self._due: list[tuple[float, Callable[[], object]]] = []

    def time(self) -> float:
        return self.passed

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        self._due.append((delay, callback))
        return self

    def cancel(self) -> None:
        """Nobody does."""

    def add_reader(self, fd: int, callback: Callable[..., object], *args: object) -> None:
        """What a packer leaves is looked at when the next file comes."""

    def remove_reader(self, fd: int) -> bool:
        return False

    def run(self) -> None:
        """Whatever is due, until nothing is."""
        while self._due:
            delay, callback = self._due.pop()
            self.passed += delay
            callback()


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


def test_a_reader_that_is_held_after_its_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """All is said then; and nobody is left behind."""
    monkeypatch.setattr(os, "_exit", lambda _code: be_held())  # the child's
    reading = Loading(lambda: 7)
    assert reading.wait() == 7
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


@pytest.mark.parametrize(("program", "code"), [("/bin/true", 0), ("/no/such", 127), ("/dev/null", 126)])
@pytest.mark.parametrize("is_followed", [False, True])
def test_a_child_that_is_held_before_its_program_begins(
    program: str, code: int, *, is_followed: bool
) -> None:
    """The runtime does not wait for it: what it cannot do is told later, and how it ends."""
    clock, told = _NoLoop(), list[str]()
    late = functools.partial(follow, clock.call_later, told.append) if is_followed else None
    pid = spawn(SpawnPlan(argv=(program,), env={}, before_exec=be_held, late=late))
    eventually(lambda: state(pid) == "T", "its stop")
    assert os.getpgid(pid) == pid
    os.kill(pid, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code
    clock.run()
    assert [why.partition(":")[0] for why in told] == ["exec"] * (is_followed and code > 0)


def test_a_child_that_does_not_become_its_program_is_killed() -> None:
    """It would be taken for one that runs. Its end is seen by the reaper."""
    clock, told = _NoLoop(), list[str]()
    plan = SpawnPlan(argv=("/bin/true",), env={}, before_exec=be_held)
    pid = spawn(plan.but(late=functools.partial(follow, clock.call_later, told.append)))
    open_then = len(os.listdir("/proc/self/fd"))
    clock.run()
    assert told == [f"process {pid} did not become its program within 60 s"]
    assert 60 <= clock.passed < 61
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert len(os.listdir("/proc/self/fd")) == open_then - 1


def test_a_program_that_cannot_be_opened_holds_nobody_else(tmp_path: Path) -> None:
    """As on a file system that does not answer: here by a lease, which an exec waits for (fcntl(2))."""
    program = tmp_path / "program"
    shutil.copy("/bin/sleep", program)
    sleeping = {"args": "1000", "interpreter": "none", "umask": "022"}
    apps = [
        {"name": "other", "script": "/bin/sleep", **sleeping},
        {"name": "first", "script": str(program), "autostart": False, **sleeping},
        {"name": "second", "script": "/bin/sleep", "autostart": False, **sleeping},
    ]
    file = tmp_path / "apps.json"
    file.write_text(json.dumps({"apps": apps}))
    path = {"PIDONE_SOCKET": str(tmp_path / "control")}
    with pidone(str(file), env=path) as run:
        run.expect(event="control.listening")
        with leased(program) as give_back, pidone("start", "all", env=path) as command:
            run.expect(event="instance.online", app="second")
            pid = run.expect(event="instance.start", app="first")["pid"]
            assert command_of(pid) != f"{program} 1000"
            give_back()
            eventually(lambda: command_of(pid) == f"{program} 1000", "its program")
            assert command.wait() == 0
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert not run.find(event="instance.spawn_failed")


@contextlib.contextmanager
def leased(file: Path) -> Iterator[Callable[[], object]]:
    """Nobody else can open the file before what this yields is called."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)  # that somebody tries to
    descriptor = os.open(file, os.O_RDONLY)
    try:
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            pytest.skip(f"no leases here: {error.strerror}")
        yield lambda: fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


# -- what packs logs -----------------------------------------------------------------------------------------


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


# -- at the end of the runtime -------------------------------------------------------------------------------


def test_a_guard_that_does_not_die_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is told, and the exit code given, whatever becomes of it."""
    guard = Guard(_NoLoop(), Reaper(), print)
    guard._pid = os.fork() or _sleep()
    pid = guard._pid
    monkeypatch.setattr(proctree, "deliver", lambda *_: proctree.SENT)
    guard.close()
    assert state(pid) not in ("", "Z")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


class _NoOutlet:
    """Takes what a process writes."""

    stdout, stderr = 1, 2

    def spawned(self, pid: int) -> None: ...

    def finish(self) -> None: ...


def test_a_zygote_that_may_not_be_killed_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of another user, without CAP_KILL: nobody is there any more for whom it could fork."""
    code = "import socket\nzygote = socket.socket(fileno=3)\nwhile zygote.recv(4096): pass"
    zygote = Zygote(
        AppSpec(name="a", argv=("x",), cwd="/"),
        SpawnPlan(argv=(sys.executable, "-I", "-S", "-c", code), env={}),
        {},
        outlet=_NoOutlet(),
        loop=_NoLoop(),
        deadlines=_NoLoop(),
        reaper=Reaper(),
        patience=60.0,
        on_decided=print,
        on_end=print,
    )
    monkeypatch.setattr(proctree, "deliver", lambda *_: proctree.REFUSED)
    zygote.bury()
    eventually(lambda: state(zygote.pid) in ("", "Z"), "its end")
    with contextlib.suppress(ChildProcessError):  # as it should be
        os.waitpid(zygote.pid, 0)


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
