"""A stop that the system makes difficult: every app hears SIGTERM, and nobody pays for another."""

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import (
    DEADLINE_S,
    PIDONE,
    Running,
    alive,
    children,
    command_of,
    descendants,
    eventually,
    opened,
    pidone,
)
from writing import FOREVER, ecosystem, shell

from pidone.contracts import Timer
from pidone.init import proctree
from pidone.init.reaper import ExitStatus, Reaper
from pidone.init.spawn import SpawnPlan, spawn
from pidone.supervise.process.leftovers import Looks, ProcessTree

POLITE = "trap 'echo heard TERM; exit 0' TERM; echo up; while :; do sleep 0.05; done"
VERBS = ("reload", "restart", "stop")
"""The last word is the last."""
STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.05; done"


def take_descriptors(run: Running) -> None:
    """None is left, and none will be: as with EMFILE from every call, once everything has been loaded."""
    run.expect(event="control.listening")
    eventually(lambda: "anon_inode:[eventpoll]" in opened(run.pid), "asyncio to have been imported")
    resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (3, 3))


@pytest.mark.parametrize("pid1", [False, True])
def test_no_descriptor_is_needed(tmp_path: Path, root: None, *, pid1: bool) -> None:
    """Neither for SIGTERM nor for SIGKILL, nor to bury who has ended."""
    file = ecosystem(tmp_path, shell("a", POLITE), shell("b", STUBBORN, kill_timeout="300ms"))
    with pidone(file, pid1=pid1) as run:
        run.expect(event="instance.online", count=2)
        run.expect(message="up", count=2)
        take_descriptors(run)
        run.signal(signal.SIGTERM)
        assert run.wait() == 124  # b had to be killed
        assert run.find(app="a", message="heard TERM")
        assert run.find(event="instance.exit", app="b", signal="SIGKILL")
        assert run.err is not None
        assert run.err.text() == ""


def test_hooks_without_descriptors_keep_no_signal_back(tmp_path: Path) -> None:
    """Nor does what their failure is told with, should nobody have needed that before."""
    hooks = {point: ["true"] for point in ("pre_stop", "post_stop")}
    file = ecosystem(tmp_path, shell("a", POLITE, **hooks))
    with pidone(file, env={"PIDONE_SOCKET": "none"}) as run:
        run.expect(event="instance.online")
        run.expect(message="up")
        eventually(lambda: "anon_inode:[eventpoll]" in opened(run.pid), "asyncio to have been imported")
        resource.prlimit(run.pid, resource.RLIMIT_NOFILE, (3, 3))
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert run.find(message="heard TERM")
        assert [each["hook"] for each in run.find(event="hook.failed")] == ["pre_stop", "post_stop"]


def test_an_end_without_descriptors_is_buried(tmp_path: Path) -> None:
    """And the next one is too: the reaper goes on whatever happens to one."""
    file = ecosystem(tmp_path, shell("a", "echo up; exec sleep 1000", autorestart=False), shell("b", POLITE))
    with pidone(file) as run:
        run.expect(event="instance.online", count=2)
        run.expect(message="up", count=2)
        (sleeper,) = eventually(
            lambda: [pid for pid in descendants(run.pid) if command_of(pid) == "sleep 1000"], "its exec"
        )
        take_descriptors(run)
        os.kill(sleeper, signal.SIGKILL)
        run.expect(event="instance.exit", app="a")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert run.find(app="b", message="heard TERM")


WITHOUT_PROC = {
    "another namespace's": "exec",
    "not mounted": "mount -t tmpfs none /proc && exec",
}


@pytest.mark.parametrize("how", WITHOUT_PROC)
def test_without_a_proc_of_ours(tmp_path: Path, root: None, how: str) -> None:
    """Its numbers are not believed; groups and kill(-1) reach whom they have to."""
    heard = 'trap "echo daemon heard TERM; exit 0" TERM; echo daemon up; while :; do sleep 0.05; done'
    patient = {"kill_timeout": "1h"}  # a stop that waits for what it cannot see would never end
    file = ecosystem(
        tmp_path, shell("a", f"setsid sh -c '{heard}' & {POLITE}", **patient), shell("b", POLITE, **patient)
    )
    unshared = ["unshare", "--fork", "--pid", "--mount", "sh", "-c", f'{WITHOUT_PROC[how]} "$@"', "sh"]

    with Running([*unshared, PIDONE, "--socket", "none", file]) as run:
        run.expect(event="instance.online", count=2)
        run.expect(message="up", count=2)
        run.expect(message="daemon up")
        (process_1,) = [pid for pid in children(run.pid) if _is_pidone(pid)]
        os.kill(process_1, signal.SIGTERM)
        assert run.wait() == 0
        assert len(run.find(message="heard TERM")) == 2
        assert run.find(message="daemon heard TERM")


def _is_pidone(pid: int) -> bool:
    return "pidone-direct" in command_of(pid)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_an_app_that_may_not_be_signalled_costs_nobody_else(tmp_path: Path, root: None) -> None:
    """Root without CAP_KILL: told at the start and at the stop, with the key; all others are stopped."""
    file = ecosystem(
        tmp_path,
        shell("theirs", f"echo up; {FOREVER}", cwd="/", uid="nobody", kill_timeout="300ms"),
        *(shell(f"ours{n}", POLITE) for n in range(3)),
        runtime={"shutdown_timeout": "4s"},  # what the others may take on a busy machine
    )

    with Running(["setpriv", "--bounding-set=-kill", "--inh-caps=-kill", PIDONE, file]) as run:
        told = run.expect(event="rights.missing", app="theirs", level="warning")
        assert (told["setting"], told["capability"]) == ("uid", "CAP_KILL")
        assert "uid = 65534" in told["message"]
        assert "--cap-add KILL" in told["message"]
        run.expect(message="up", count=4)
        theirs = run.find(event="instance.start", app="theirs")[0]["pid"]
        left = [theirs, *descendants(theirs)]
        run.signal(signal.SIGTERM)
        assert run.wait() == 124
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # adopted by us
        assert len(run.find(message="heard TERM")) == 3
        (refused,) = run.find(event="rights.missing", level="error")
        assert (refused["app"], refused["capability"]) == ("theirs", "CAP_KILL")
        assert "SIGTERM may not be sent to process" in refused["message"]
        assert run.err is not None
        assert run.err.text() == ""


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_a_command_says_at_once_who_may_not_be_signalled(tmp_path: Path, root: None) -> None:
    """Nothing would happen before its --timeout; the reason and the key are told instead, by each verb."""
    theirs = shell("theirs", f"echo up; {FOREVER}", cwd="/", uid="nobody", kill_timeout="1h")
    file, socket = ecosystem(tmp_path, theirs, shell("ours", POLITE)), str(tmp_path / "s")
    without = ["setpriv", "--bounding-set=-kill", "--inh-caps=-kill"]
    with Running([*without, PIDONE, "--socket", socket, file]) as run:
        run.expect(event="control.listening")
        run.expect(message="up", count=2)
        for words in (["signal", "theirs", "HUP"], *([verb, "theirs"] for verb in VERBS)):
            done = subprocess.run(
                [PIDONE, *words, "--socket", socket],
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
            assert done.returncode == 1, words
            assert "may not be sent to process" in done.stderr, words
            assert "--cap-add KILL" in done.stderr, words
        assert len(run.find(event="rights.missing", level="error")) == 1


def test_an_owner_that_fails_keeps_nobody_from_being_buried() -> None:
    """A bug, or a call of its that failed: it is told, and the next child has its turn."""
    reaper = Reaper()
    failures: list[Exception] = []
    reaper.on_failure = failures.append
    ended: list[ExitStatus] = []

    def fail(status: ExitStatus) -> None:
        raise OSError(24, f"{status}")

    for on_exit in (fail, ended.append, fail, ended.append):
        reaper.watch(spawn(SpawnPlan(argv=("/bin/true",), env={})), on_exit)
    eventually(lambda: reaper.reap() or (len(ended) == 2 and len(failures) == 2), "all to be buried")
    assert not reaper.reap()


class Turns:
    """A clock whose turns are counted by hand."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def time(self) -> float:
        return 0.0

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        assert delay == 0
        self.calls.append(callback)
        return self

    def cancel(self) -> None: ...

    def end_turn(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def test_many_ask_and_one_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hundred incarnations left behind is found by one scan in each turn of the loop."""
    scans: list[int] = []
    real = proctree.snapshot

    def counted() -> dict[int, proctree.ProcessInfo]:
        scans.append(1)
        return real()

    monkeypatch.setattr(proctree, "snapshot", counted)
    with Running(["sh", "-c", "sleep 60 & sleep 60 & wait"], start_new_session=True) as shell_:
        eventually(lambda: len(descendants(shell_.pid)) == 2, "its children")
        turns = Turns()
        looks = Looks(turns)
        trees = [ProcessTree(shell_.pid, "x", lambda pid: pid == shell_.pid, looks) for _ in range(100)]
        for _ in range(3):
            for each in trees:
                each.remember()
                assert {process.pid for process in each.alive()} == set(descendants(shell_.pid))
            turns.end_turn()
    assert len(scans) == 3


def test_a_signal_is_sent_without_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing can be opened, a process that was seen a moment ago is still signalled."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(24, "Too many open files")

    with Running(["sleep", "60"]) as sleeper:
        process = eventually(lambda: proctree.read(sleeper.pid))
        with monkeypatch.context() as patch:
            patch.setattr(os, "pidfd_open", refuse)
            patch.setattr(proctree, "open", refuse, raising=False)
            assert process.deliver(signal.SIGTERM) == proctree.SENT
        assert sleeper.wait() == 128 + signal.SIGTERM
        assert not alive(sleeper.pid)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("ignored", ["", "trap '' TERM; "], ids=["willing", "killed"])
def test_no_end_is_a_look_at_everybody(tmp_path: Path, ignored: str) -> None:
    """Nor is a kill: only what an app leaves behind is looked for, and the guard is none of it."""
    count = 30
    calls = tmp_path / "calls"
    app = shell("a", f"{ignored}exec sleep 1000", instances=count, ready_delay=0, kill_timeout="500ms")
    strace = ["strace", "-qq", "-e", "trace=openat", "-e", "signal=none", "-o", str(calls)]
    with Running([*strace, PIDONE, ecosystem(tmp_path, app)]) as run:
        run.expect(event="instance.online", count=count)
        (runtime,) = children(run.pid)
        os.kill(runtime, signal.SIGTERM)
        assert run.wait() == (124 if ignored else 0)
    looks = [line for line in calls.read_text().splitlines() if '"/proc", ' in line]
    assert len(looks) < count / 2


def test_who_ended_before_a_look_needs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred that end in one turn, beside a child that nobody knows: a second look proves the first."""
    scans: list[int] = []
    real = proctree.snapshot

    def counted() -> dict[int, proctree.ProcessInfo]:
        scans.append(1)
        return real()

    with Running(["sleep", "60"]) as ended:
        pass
    with Running(["sleep", "60"]):
        monkeypatch.setattr(proctree, "snapshot", counted)
        turns = Turns()
        looks = Looks(turns)
        for _ in range(2):
            scans.clear()
            for number in range(100):
                assert ProcessTree(ended.pid, f"x{number}", lambda _: False, looks).alive() == []
            turns.end_turn()
            assert len(scans) == 2
