"""Hooks: what they are told, in which order they run, and that none of them can hang or surprise anybody."""

import errno
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Never

import harness
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import FakeClock

from pidone.ecosystem.spec import Hook
from pidone.ecosystem.stopping import HOOK_KILL_AFTER
from pidone.errors import SpawnError
from pidone.init.reaper import ExitStatus, Reaper
from pidone.init.spawn import SpawnPlan, spawn
from pidone.supervise.hooks.run import (
    HookEvent,
    HookPoint,
    HookResult,
    HookRun,
    Outcome,
    describe,
)

OK = ExitStatus(code=0)
EVENT = HookEvent(point=HookPoint.PRE_START, app="api", instance=0)
MIGRATE = Hook(command=("/bin/sh", "-c", "./migrate --all"), timeout=10)
SEED = Hook(command=("seed", "db"), timeout=10)


class FakeLauncher:
    """Processes that end when the test says so."""

    def __init__(self) -> None:
        self.started: list[tuple[Hook, Mapping[str, str]]] = []
        self.exits: dict[int, Callable[[ExitStatus], None]] = {}
        self.signals: list[tuple[int, int]] = []
        self.missing: set[Hook] = set()
        self.lacking = False
        self.error: Exception | None = None

    def launch(
        self,
        hook: Hook,
        event: HookEvent,
        env: Mapping[str, str],
        on_exit: Callable[[ExitStatus], None],
    ) -> int:
        if self.error is not None:
            raise self.error
        if self.lacking:
            raise SpawnError("fork") from BlockingIOError(errno.EAGAIN, "")
        if hook in self.missing:
            raise SpawnError("exec: No such file or directory")
        self.started.append((hook, env))
        pid = 100 + len(self.started)
        self.exits[pid] = on_exit
        return pid

    def kill(self, pid: int, signal_number: int) -> None:
        self.signals.append((pid, signal_number))

    def end(self, status: ExitStatus = OK) -> None:
        """The process that runs ends."""
        ((pid, on_exit),) = self.exits.items()
        del self.exits[pid]
        on_exit(status)


class Stage:
    """Everything faked, and what hooks have reported."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.launcher = FakeLauncher()
        self.results: list[HookResult] = []
        self.waits: list[HookResult] = []

    def run(self, hook: Hook, event: HookEvent = EVENT) -> HookRun:
        env, done, waits = {"PATH": "/bin"}, self.results.append, self.waits.append
        return HookRun(hook, event, env, launcher=self.launcher, clock=self.clock, done=done, waits=waits)

    @property
    def outcomes(self) -> list[Outcome]:
        return [result.outcome for result in self.results]


def test_the_end_is_told_when_it_is_heard() -> None:
    """A deadline of that turn lets burials go first, and finds nobody at work who has ended."""
    stage = Stage()
    run = stage.run(MIGRATE)
    stage.launcher.end()
    assert run.is_over
    assert stage.outcomes == [Outcome.OK]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (ExitStatus(code=3), "pre_start `./migrate --all` exited with code 3"),
        (ExitStatus(signal=9), "pre_start `./migrate --all` was killed by SIGKILL"),
    ],
)
def test_a_failing_hook(status: ExitStatus, message: str) -> None:
    """The reason says which command failed and how."""
    stage = Stage()
    stage.run(MIGRATE)
    stage.launcher.end(status)
    stage.clock.advance(100)
    assert stage.results == [HookResult(EVENT, Outcome.FAILED, message)]


def test_a_command_that_does_not_exist() -> None:
    """It is a failure like any other, told in the next turn."""
    stage = Stage()
    stage.launcher.missing.add(SEED)
    stage.run(SEED)
    assert stage.results == []
    stage.clock.advance(0)
    (result,) = stage.results
    assert result.outcome is Outcome.FAILED
    assert result.message == "pre_start `seed db` cannot be started: exec: No such file or directory"


def test_a_hook_that_an_app_needs_waits_for_means() -> None:
    """Within its timeout it is tried again and again; that it waits is told once."""
    stage = Stage()
    stage.launcher.lacking = True
    stage.run(MIGRATE)
    for _ in range(40):
        stage.clock.advance(0.1)
    assert stage.results == []
    assert [result.message for result in stage.waits] == [
        "pre_start `./migrate --all` cannot be started: fork; it is tried again"
    ]
    stage.launcher.lacking = False
    stage.clock.advance(4)
    stage.launcher.end()
    assert stage.outcomes == [Outcome.OK]


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_hook_for_which_there_are_no_means_at_all(*, cancelled: bool) -> None:
    """It fails when its time is over, or is not waited for any more."""
    stage = Stage()
    stage.launcher.lacking = True
    run = stage.run(MIGRATE)
    if cancelled:
        run.cancel()
        stage.clock.advance(0)
        assert stage.outcomes == [Outcome.CANCELLED]
    for _ in range(100):
        stage.clock.advance(0.1)
    assert stage.outcomes == [Outcome.CANCELLED if cancelled else Outcome.FAILED]
    assert stage.launcher.started == []


def test_a_stop_waits_for_no_means() -> None:
    """SIGTERM is what an app has to hear, with or without its hook."""
    stage = Stage()
    stage.launcher.lacking = True
    stage.run(MIGRATE, EVENT.but(point=HookPoint.PRE_STOP))
    stage.clock.advance(0)
    assert stage.outcomes == [Outcome.FAILED]


def test_a_hook_that_hangs_is_killed() -> None:
    """SIGTERM at the timeout, SIGKILL if that is not enough, and the result only when it is gone."""
    stage = Stage()
    stage.run(MIGRATE)
    stage.clock.advance(9.9)
    assert stage.launcher.signals == []
    stage.clock.advance(0.1)
    assert stage.launcher.signals == [(101, signal.SIGTERM)]
    stage.clock.advance(HOOK_KILL_AFTER)
    assert stage.launcher.signals == [(101, signal.SIGTERM), (101, signal.SIGKILL)]
    assert stage.results == []
    stage.launcher.end(ExitStatus(signal=9))
    stage.clock.advance(100)
    assert stage.results == [
        HookResult(EVENT, Outcome.TIMEOUT, "pre_start `./migrate --all` was killed after its timeout of 10 s")
    ]


def test_a_hook_that_obeys_leaves_nobody_behind() -> None:
    """When it ends by SIGTERM what is left of its group is killed, and no timer stays."""
    stage = Stage()
    stage.run(MIGRATE)
    stage.clock.advance(10)
    stage.launcher.end(OK)
    assert stage.launcher.signals == [(101, signal.SIGTERM), (101, signal.SIGKILL)]
    stage.clock.advance(100)
    assert len(stage.launcher.signals) == 2
    assert stage.outcomes == [Outcome.TIMEOUT]


def test_stop_wins() -> None:
    """A cancelled hook is killed, and the end is still told."""
    stage = Stage()
    run = stage.run(MIGRATE)
    run.cancel()
    assert stage.launcher.signals == [(101, signal.SIGTERM)]
    stage.launcher.end(ExitStatus(signal=15))
    stage.clock.advance(100)
    assert stage.outcomes == [Outcome.CANCELLED]
    run.cancel()
    assert stage.outcomes == [Outcome.CANCELLED]


def test_what_a_hook_is_told() -> None:
    """What is known is in the environment, what is not known is not, and leftovers of another pidone go."""
    event = HookEvent(
        point=HookPoint.ON_EXIT,
        app="api",
        namespace="default",
        instance=2,
        pid=77,
        signal=9,
        uptime=12.5,
        restarts=0,
        reason="out of memory",
    )
    env = event.environ({"PATH": "/bin", "PIDONE_HOOK": "old", "PIDONE_HOOK_EXIT_CODE": "1"})
    assert env == {
        "PATH": "/bin",
        "PIDONE_HOOK": "on_exit",
        "PIDONE_HOOK_APP": "api",
        "PIDONE_HOOK_NAMESPACE": "default",
        "PIDONE_HOOK_INSTANCE": "2",
        "PIDONE_HOOK_PID": "77",
        "PIDONE_HOOK_SIGNAL": "SIGKILL",
        "PIDONE_HOOK_UPTIME": "12.500",
        "PIDONE_HOOK_RESTARTS": "0",
        "PIDONE_HOOK_REASON": "out of memory",
    }


def test_which_hook_can_keep_an_app_down() -> None:
    """Only pre_start."""
    assert [point for point in HookPoint if point.is_required] == [HookPoint.PRE_START]


def test_commands_are_shown_as_written() -> None:
    """The shell around a command line is nobody's business."""
    assert (describe(MIGRATE), describe(SEED)) == ("./migrate --all", "seed db")


@given(st.lists(st.sampled_from(["ok", "fail", "wait", "cancel", "turn"]), max_size=20))
def test_any_history_ends_once(events: list[str]) -> None:
    """Whatever comes in whatever order."""
    stage = Stage()
    run = stage.run(MIGRATE)
    for event in events:
        if event in ("ok", "fail") and stage.launcher.exits:
            stage.launcher.end(OK if event == "ok" else ExitStatus(code=1))
        elif event == "cancel":
            run.cancel()
        else:
            stage.clock.advance(11 if event == "wait" else 0)
        assert len(stage.launcher.exits) <= 1
        assert len(stage.results) == int(run.is_over) <= 1
    while stage.launcher.exits:
        stage.launcher.end()
    stage.clock.advance(100)
    assert len(stage.results) == 1


class RealLauncher:
    """The seam put on top of `init/`, as production does."""

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper

    def launch(
        self,
        hook: Hook,
        event: HookEvent,
        env: Mapping[str, str],
        on_exit: Callable[[ExitStatus], None],
    ) -> int:
        pid = spawn(SpawnPlan(argv=hook.command, env=env))
        self._reaper.watch(pid, on_exit)
        return pid

    def kill(self, pid: int, signal_number: int) -> None:
        try:
            os.killpg(pid, signal_number)
        except ProcessLookupError:
            return


def test_real_processes(tmp_path: Path) -> None:
    """A command knows what it was told; that it ignores SIGTERM, with a child, does not save it."""
    reaper, clock = Reaper(), FakeClock()
    results: list[HookResult] = []
    log = tmp_path / "log"
    told = '"$PIDONE_HOOK $PIDONE_HOOK_APP $PIDONE_HOOK_INSTANCE"'
    hook = Hook(command=("/bin/sh", "-c", f"trap '' TERM; sleep 600 & echo {told} >> {log}; wait"), timeout=5)
    env = {"PATH": os.environ["PATH"]}
    HookRun(hook, EVENT, env, launcher=RealLauncher(reaper), clock=clock, done=results.append)
    harness.eventually(lambda: log.exists() and log.read_text() == "pre_start api 0\n", "its start")
    assert len(harness.descendants(os.getpid())) == 2
    clock.advance(5 + HOOK_KILL_AFTER)
    harness.eventually(lambda: reaper.reap() or results, "its end")
    (result,) = results
    assert result.outcome is Outcome.TIMEOUT
    harness.eventually(lambda: reaper.reap() or not harness.descendants(os.getpid()), "the orphan's end")


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EMFILE, ""), ImportError()], ids=repr)
def test_words_for_which_there_are_no_means(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that is to stop waits for the end of its hook, which has to be told without them."""

    def refuse(_words: object) -> Never:
        raise error

    monkeypatch.setattr("pidone.masked_args.mask_args", refuse)
    stage = Stage()
    stage.launcher.missing.add(SEED)
    stage.run(SEED)
    stage.clock.advance(0)
    (result,) = stage.results
    assert result.message == "pre_start `...` cannot be started: exec: No such file or directory"


def test_a_hook_without_memory_is_told() -> None:
    """Whatever keeps it from being started: nobody waits for what is not there."""
    stage = Stage()
    stage.launcher.error = MemoryError()
    stage.run(SEED, EVENT.but(point=HookPoint.PRE_STOP))
    stage.clock.advance(0)
    (result,) = stage.results
    assert result.message == "pre_stop `seed db` cannot be started: MemoryError"
