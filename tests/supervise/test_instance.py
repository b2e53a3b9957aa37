"""Event histories of one instance, replayed on a hand-turned clock."""

import errno
import os
import signal
from typing import Any

import pytest
from stage import FakeProcess, NoDelegate, Stage, spec

from pidone.demand import Demand
from pidone.ecosystem.spec import OnReadyTimeout, Readiness
from pidone.init.reaper import ExitStatus
from pidone.supervise.instances.instance import TABLE, Instance
from pidone.supervise.instances.states import Event, State


class Recorder:
    """An observer that remembers the states it saw."""

    def __init__(self) -> None:
        self.states: list[State] = []

    def instance_changed(self, instance: Instance, before: State) -> None:
        self.states.append(instance.state)

    def instance_unhealthy(self, instance: Instance) -> bool:
        return False

    def instance_message(self, instance: Instance, value: object) -> None: ...

    def instance_cut(self, instance: Instance, connections: int) -> None: ...


class Starving(NoDelegate):
    """Everything is killed for memory."""

    def explain(self, instance: object, status: ExitStatus) -> str:
        return "killed for memory"


class Play:
    """One instance on a stage."""

    def __init__(self, **keys: Any) -> None:
        self.stage = Stage()
        self.recorder = Recorder()
        self.instance = Instance(spec(**keys), 0, self.stage.world, self.recorder)

    @property
    def process(self) -> FakeProcess:
        return self.stage.launcher.last

    @property
    def starts(self) -> int:
        """How many processes were started so far."""
        return len(self.stage.launcher.launched)

    @property
    def state(self) -> State:
        return self.instance.state

    def is_in(self, state: State) -> bool:
        return self.instance.state is state

    def start(self) -> None:
        self.instance.handle(Event.START)

    def stop(self) -> None:
        self.instance.handle(Event.STOP)

    def after(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)


def test_without_readiness_report_it_is_online_after_ready_delay() -> None:
    """An app that reports nothing counts as online once it has lived `ready_delay`."""
    play = Play(ready_delay=1.0)
    play.start()
    assert play.is_in(State.STARTING)
    play.after(0.99)
    assert play.is_in(State.STARTING)
    play.after(0.02)
    assert play.is_in(State.ONLINE)


def test_a_crash_restarts_at_once_with_pm2_defaults() -> None:
    """No delay is configured, so the next incarnation starts in the same turn as the exit."""
    play = Play()
    play.start()
    play.after(5)
    play.process.exit(1)
    assert (play.starts, play.state, play.instance.incarnation) == (2, State.STARTING, 2)


def test_sixteen_unstable_ends_in_a_row_give_up() -> None:
    """PM2's default: the sixteenth end before `min_uptime` is the last."""
    play = Play()
    play.start()
    for _ in range(16):
        assert play.is_in(State.STARTING)
        play.process.exit(1)
    assert play.is_in(State.ERRORED)
    assert play.starts == 16


def test_restart_delay_does_not_make_max_restarts_unreachable() -> None:
    """PM2 stops counting after min_uptime * max_restarts; with a long delay it would restart for ever."""
    play = Play(max_restarts=3, restart_delay=60.0)
    play.start()
    for _ in range(3):
        play.process.exit(1)
        play.after(60)
    assert play.is_in(State.ERRORED)
    assert play.starts == 3


def test_a_stable_life_forgives_unstable_ends() -> None:
    """Only unstable ends in a row count."""
    play = Play(max_restarts=3)
    play.start()
    for _ in range(10):
        play.process.exit(1)
        play.process.exit(1)
        play.after(1.5)
        play.process.exit(1)
    assert not play.state.is_final


def test_zero_max_restarts_means_none() -> None:
    """PM2 takes 0 for unset; here it means that the first unstable end is the last."""
    play = Play(max_restarts=0)
    play.start()
    play.process.exit(1)
    assert play.is_in(State.ERRORED)


def test_exponential_backoff_follows_pm2s_series() -> None:
    """Each delay is 1.5 times the last, capped at max_restart_delay; jitter is centred here."""
    play = Play(exp_backoff_restart_delay=0.1, max_restarts=100, max_restart_delay=1.0)
    play.start()
    for _ in range(8):
        play.process.exit(1)
        play.after(2.0)
    delays = [event["delay_s"] for event in play.stage.log.named("instance.backoff")]
    assert delays == pytest.approx([0.1, 0.15, 0.225, 0.3375, 0.50625, 0.759, 1.0, 1.0], abs=0.001)


def test_backoff_starts_again_after_thirty_good_seconds() -> None:
    """A life longer than 30 s ends a series of crashes."""
    play = Play(exp_backoff_restart_delay=0.1, max_restarts=100)
    play.start()
    for life in (0, 0, 31):
        play.after(life)
        play.process.exit(1)
        play.after(1.0)
    delays = [event["delay_s"] for event in play.stage.log.named("instance.backoff")]
    assert delays == pytest.approx([0.1, 0.15, 0.1])


def test_ends_for_want_of_memory_are_slower_and_slower() -> None:
    """At once it would be killed as before: after 0, 1, 2, 4, 8, 15 s; told once; forgiven in time."""
    play = Play()
    delegate = Starving()
    play.instance = Instance(spec(), 0, play.stage.world.but(delegate=delegate), play.recorder)
    play.start()
    for delay in (0, 1, 2, 4, 8, 15, 15):
        play.after(3)
        starts = play.starts
        play.process.exit(signal=9)
        assert play.starts == starts + (delay == 0)
        play.after(delay)
        assert play.starts == starts + 1
    (told,) = play.stage.log.named("instance.flapping")
    assert "killed for memory, as the one before" in told["message"]
    play.after(31)
    starts = play.starts
    play.process.exit(signal=9)
    assert play.starts == starts + 1


def test_the_reason_of_one_life_is_not_that_of_the_next() -> None:
    """Late once, crashed the next time: each exit is told with its own cause, and readiness is none."""
    play = Play(ready=Readiness(log="x"), listen_timeout=1.0, on_ready_timeout=OnReadyTimeout.FAIL)
    play.start()
    play.after(1.1)
    play.process.exit(signal=signal.SIGTERM)
    play.process.report.ready("log")
    play.process.exit(code=4)
    reasons = [told["reason"] for told in play.stage.log.named("instance.exit")]
    assert reasons == ["not ready within 1 s (listen_timeout)", "exit"]
    assert [told["by"] for told in play.stage.log.named("instance.online")] == ["log"]


def test_restart_window_limits_restarts_whatever_the_uptime() -> None:
    """At most max_restarts restarts within restart_window, stable lives included."""
    play = Play(max_restarts=2, restart_window=3600.0)
    play.start()
    for _ in range(2):
        play.after(600)
        play.process.exit(1)
        assert play.is_in(State.STARTING)
    play.after(600)
    play.process.exit(1)
    assert play.is_in(State.ERRORED)


def test_restart_window_slides() -> None:
    """Restarts older than the window no longer count."""
    play = Play(max_restarts=2, restart_window=3600.0)
    play.start()
    for _ in range(6):
        play.after(2000)
        play.process.exit(1)
    assert play.is_in(State.STARTING)


def test_stop_exit_code_stops() -> None:
    """An exit code in stop_exit_codes is not restarted."""
    play = Play(stop_exit_codes=(42,))
    play.start()
    play.process.exit(42)
    assert play.is_in(State.STOPPED)


def test_death_by_signal_is_not_exit_code_zero() -> None:
    """PM2 takes a SIGKILLed app for code 0 and leaves it down; here it restarts."""
    play = Play(stop_exit_codes=(0,))
    play.start()
    play.process.exit(signal=signal.SIGKILL)
    assert play.is_in(State.STARTING)


@pytest.mark.parametrize(("code", "state"), [(0, State.COMPLETED), (3, State.ERRORED)])
def test_a_job_completes_or_fails_by_its_code(code: int, state: State) -> None:
    """With autorestart off, success codes complete and others fail."""
    play = Play(autorestart=False)
    play.start()
    play.process.exit(code)
    assert play.is_in(state)


def test_a_job_killed_by_a_signal_failed() -> None:
    """A signal is never a success."""
    play = Play(autorestart=False)
    play.start()
    play.process.exit(signal=9)
    assert play.is_in(State.ERRORED)


def test_stop_sends_kill_signal_then_kills_when_overdue() -> None:
    """Kill_timeout after the kill_signal comes SIGKILL."""
    play = Play(kill_signal=signal.SIGINT, kill_timeout=5.0)
    play.start()
    play.stop()
    assert play.process.signals == [signal.SIGINT]
    play.after(4.9)
    before = play.process.killed
    play.after(0.2)
    assert (before, play.process.killed) == (False, True)
    play.process.exit(signal=9)
    assert play.is_in(State.STOPPED)
    assert play.instance.life.was_killed


def test_stop_by_message_needs_a_channel() -> None:
    """shutdown_with_message sends "shutdown"; without an IPC channel the signal is sent instead."""
    play = Play(shutdown_with_message=True)
    play.stage.launcher.has_channel = True
    play.start()
    play.stop()
    assert (play.process.messages, play.process.signals) == (["shutdown"], [])
    mute = Play(shutdown_with_message=True)
    mute.start()
    mute.stop()
    assert mute.process.signals == [signal.SIGTERM]


def test_leftovers_are_awaited_before_the_next_life() -> None:
    """A crashed main process whose children live on is not restarted beside them."""
    play = Play()
    play.stage.launcher.leftovers = 2
    play.start()
    play.process.exit(1)
    assert (play.state, play.starts) == (State.STOPPING, 1)
    play.process.leftovers_end()
    assert (play.state, play.starts) == (State.STARTING, 2)


def test_leftovers_are_killed_after_kill_timeout() -> None:
    """What a main process leaves behind gets kill_timeout as well."""
    play = Play(kill_timeout=2.0)
    play.stage.launcher.leftovers = 1
    play.start()
    play.process.exit(1)
    play.after(2.1)
    assert play.process.killed


def test_stop_wins_over_a_restart_in_flight() -> None:
    """A stop that comes while a restart waits for the old life keeps the instance down."""
    play = Play()
    play.start()
    play.instance.handle(Event.RESTART)
    play.stop()
    play.process.exit(0)
    play.after(100)
    assert (play.state, play.starts) == (State.STOPPED, 1)


def test_stop_during_backoff_cancels_the_retry() -> None:
    """Nothing starts after a stop, whatever was scheduled."""
    play = Play(restart_delay=5.0)
    play.start()
    play.process.exit(1)
    assert play.is_in(State.BACKOFF)
    play.stop()
    play.after(100)
    assert (play.state, play.starts) == (State.STOPPED, 1)


def test_restart_begins_when_the_old_life_is_gone() -> None:
    """One instance never lives twice at once."""
    play = Play()
    play.start()
    play.after(2)
    play.instance.handle(Event.RESTART)
    assert play.starts == 1
    play.process.exit(0)
    assert (play.starts, play.instance.restarts) == (2, 1)


def test_events_of_an_old_incarnation_are_dropped() -> None:
    """A readiness report that comes late does not make the successor ready."""
    play = Play(ready=Readiness(ipc=True))
    play.start()
    first = play.process
    first.exit(1)
    first.report.ready("ipc")
    assert play.is_in(State.STARTING)
    play.process.report.ready("ipc")
    assert play.is_in(State.ONLINE)


def test_late_readiness_counts_as_online_like_pm2() -> None:
    """Without a report within listen_timeout the instance is taken as online, with a warning."""
    play = Play(ready=Readiness(ipc=True), listen_timeout=3.0)
    play.start()
    play.after(3.1)
    assert play.is_in(State.ONLINE)
    assert play.stage.log.named("instance.not_ready")


def test_late_readiness_fails_if_asked() -> None:
    """on_ready_timeout = "fail" ends the instance, and counts as an unstable end however long it took."""
    play = Play(ready=Readiness(ipc=True), listen_timeout=3.0, on_ready_timeout=OnReadyTimeout.FAIL)
    play.start()
    play.after(3.1)
    assert play.is_in(State.STOPPING)
    play.process.exit(0)
    assert (play.starts, play.instance.policy.unstable) == (2, 1)


def test_a_busy_machine_makes_nobody_late() -> None:
    """What a process has waited for a processor is given to it on top of `listen_timeout`."""
    play = Play(ready=Readiness(ipc=True), listen_timeout=3.0, on_ready_timeout=OnReadyTimeout.FAIL)
    play.start()
    play.process.lacked = 2.0
    play.after(4.9)
    assert play.is_in(State.STARTING)
    play.after(0.2)
    assert play.is_in(State.STOPPING)


def test_a_busy_machine_makes_nobody_ready() -> None:
    """The same for `ready_delay`; after `listen_timeout` it is online, as nobody hears of it anyway."""
    play = Play(ready_delay=1.0, listen_timeout=3.0)
    play.start()
    play.process.lacked = 1.0
    play.after(1.9)
    assert play.is_in(State.STARTING)
    play.process.lacked = 100.0
    play.after(0.2)
    assert play.is_in(State.STARTING)
    play.after(1.0)
    assert play.is_in(State.ONLINE)


def test_what_cannot_be_told_is_judged_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that the system refuses loses no deadline: without it an instance would be starting for ever."""

    def refuse(_process: FakeProcess) -> Demand:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(FakeProcess, "demand", refuse)
    play = Play(ready_delay=1.0)
    play.start()
    play.after(1.0)
    assert play.is_in(State.ONLINE)


def test_extended_timeout_gives_a_slow_start_more_time() -> None:
    """EXTEND_TIMEOUT_USEC moves the readiness deadline."""
    play = Play(ready=Readiness(notify=True), listen_timeout=3.0, on_ready_timeout=OnReadyTimeout.FAIL)
    play.start()
    play.after(2)
    play.process.report.extend(10)
    play.after(9)
    assert play.is_in(State.STARTING)
    play.process.report.ready("notify")
    assert play.is_in(State.ONLINE)


def test_draining_comes_before_the_signal() -> None:
    """A process that can be asked to take no more work gets its signal when it is drained."""
    play = Play(drain_timeout=10.0)
    play.stage.launcher.drains = True
    play.start()
    play.stop()
    assert (play.state, play.process.signals) == (State.DRAINING, [])
    play.process.report.drained()
    assert (play.state, play.process.signals) == (State.STOPPING, [signal.SIGTERM])


def test_draining_has_a_deadline() -> None:
    """Clients that never leave cannot hold up a stop."""
    play = Play(drain_timeout=10.0, kill_timeout=5.0)
    play.stage.launcher.drains = True
    play.start()
    play.stop()
    play.after(10.1)
    assert play.process.signals == [signal.SIGTERM]
    play.after(5.1)
    assert play.process.killed


def test_unhealthy_is_replaced_and_counted() -> None:
    """A failing health probe stops the process in order and restarts it by the policy."""
    play = Play()
    play.start()
    play.after(2)
    play.process.report.failed("3 probes failed")
    assert play.process.signals == [signal.SIGTERM]
    play.process.exit(0)
    assert play.starts == 2


def test_failed_exec_backs_off_and_gives_up() -> None:
    """A program that cannot be started is tried again like a crash, never in a busy loop."""
    play = Play(max_restarts=3)
    play.stage.launcher.fail = 99
    play.start()
    assert play.is_in(State.BACKOFF)
    play.after(10)
    assert play.is_in(State.ERRORED)
    assert play.instance.last_exit is not None
    assert play.instance.last_exit.code == 127


def test_a_start_after_a_rest_is_no_restart() -> None:
    """As PM2 counts: what was stopped, or had ended for good, begins again where it was."""
    play = Play(max_restarts=1)
    play.start()
    play.after(2)
    play.instance.handle(Event.RESTART)
    play.process.exit(0)
    for _ in range(2):
        play.after(2)
        play.stop()
        play.process.exit(0)
        assert play.is_in(State.STOPPED)
        play.start()
        assert (play.is_in(State.STARTING), play.instance.restarts) == (True, 1)
        assert not play.instance.is_on_its_first_way


def test_start_forgives() -> None:
    """A person who starts an errored instance gets a full set of restarts."""
    play = Play(max_restarts=2)
    play.start()
    play.process.exit(1)
    play.process.exit(1)
    assert play.is_in(State.ERRORED)
    play.start()
    play.process.exit(1)
    assert play.is_in(State.STARTING)


def test_every_state_is_in_the_table() -> None:
    """No state is without a row."""
    assert set(TABLE) == set(State)


@pytest.mark.parametrize("state", [s for s in State if s.has_process])
def test_a_live_process_can_always_be_ended(state: State) -> None:
    """Wherever there is a process, stop, kill and exit mean something."""
    assert {Event.STOP, Event.KILL, Event.EXIT} <= set(TABLE[state])
