"""What the ledger makes of events, as real instances tell them."""

import signal

import pytest
from stage import FakeProcess, Stage, Turns, spec

from pidone.ecosystem.spec import AppSpec, ExecMode, OnReadyTimeout, Readiness
from pidone.supervise.app import App
from pidone.supervise.ledger import PLANNED, Ledger
from pidone.supervise.wanted import Replacement

KEY = ("default", "app")


class Play:
    """An app whose events a ledger counts; `count` instances are online."""

    def __init__(self, spec: AppSpec, count: int = 1) -> None:
        self.stage = Stage()
        self.ledger = Ledger(self.stage.log, self.stage.clock.time)
        self.app = App(spec, count, self.stage.world.but(log=self.ledger), Turns(self.stage.clock))
        self.app.start()
        self.settle()

    def settle(self) -> None:
        """Let new processes get ready, and those that were told to stop do so."""
        for _ in range(60):
            for process in self.stage.launcher.alive():
                if process.signals:
                    process.exit(0)
                else:
                    process.report.ready("ipc")
            self.stage.clock.advance(1.0)

    @property
    def process(self) -> FakeProcess:
        return self.stage.launcher.last

    @property
    def restarts(self) -> dict[str, int]:
        """By reason."""
        assert all(key == KEY for key, _ in self.ledger.restarts)
        return {reason: count for (_, reason), count in self.ledger.restarts.items()}


FORK = spec(ready=Readiness(ipc=True))
CLUSTER = FORK.but(exec_mode=ExecMode.CLUSTER)
BOTH = pytest.mark.parametrize("app", [FORK, CLUSTER], ids=["one by one", "overlapping"])


def test_a_first_start_is_no_restart() -> None:
    """Nor is that of an instance that was added."""
    play = Play(FORK, 2)
    play.app.scale(4)
    play.settle()
    assert play.restarts == {}


@pytest.mark.parametrize(("end", "reason"), [({"code": 1}, "exit"), ({"signal": signal.SIGSEGV}, "signal")])
def test_a_crash_is_told_by_how_it_ended(end: dict[str, int], reason: str) -> None:
    """Also when a reload came before it."""
    play = Play(CLUSTER)
    play.app.reload()
    play.stage.clock.advance()
    play.settle()
    play.process.exit(**end)
    play.settle()
    assert play.restarts == {"request": 1, reason: 1}


def test_a_person_asks() -> None:
    """For a restart, or for a start after a stop, a completion or a crash that was for good."""
    play = Play(FORK.but(autorestart=False))
    play.app.restart()
    play.settle()
    play.app.stop()
    play.settle()
    for code in (0, 1):
        play.app.start()
        play.settle()
        play.process.exit(code)
    play.app.start()
    play.settle()
    assert play.restarts == {"request": 4}


@BOTH
@pytest.mark.parametrize("reason", ["config", "max_age", "cron_restart", "watch"])
def test_a_replacement_counts_as_what_it_was_for(app: AppSpec, reason: str) -> None:
    """Every instance of it, whichever way it is done."""
    play = Play(app, 2)
    play.app.replace(Replacement(reason=reason))
    play.settle()
    assert play.restarts == {reason: 2}


@BOTH
@pytest.mark.parametrize("reason", ["max_memory_restart", "memory_guard"])
@pytest.mark.parametrize("overlap", [True, False])
def test_too_much_memory(app: AppSpec, reason: str, *, overlap: bool) -> None:
    """With room for two processes and without, for its own limit and the container's."""
    play = Play(app)
    play.app.replace(Replacement(who=play.app.instances[0].who, reason=reason, overlap=overlap))
    play.settle()
    assert play.restarts == {"memory": 1}


@BOTH
def test_a_health_check_gives_up(app: AppSpec) -> None:
    """The sentence that tells why is no label."""
    play = Play(app)
    play.process.report.failed("3 probes in a row failed: HTTP 500")
    play.settle()
    assert play.restarts == {"unhealthy": 1}


def test_late_readiness_is_a_reason_only_where_it_ends_the_process() -> None:
    """A process that is taken as online although it is late, and crashes later, has crashed."""
    for policy, reason in ((OnReadyTimeout.FAIL, "not_ready"), (OnReadyTimeout.ONLINE, "exit")):
        play = Play(FORK.but(on_ready_timeout=policy, listen_timeout=3.0))
        play.process.exit(1)  # its successor is late
        play.stage.clock.advance(15.0)
        if policy is OnReadyTimeout.ONLINE:
            play.process.exit(1)
        play.settle()
        assert play.restarts[reason] == (2 if reason == "exit" else 1), policy


def test_what_cannot_be_executed() -> None:
    """Counted when it could be again."""
    play = Play(FORK)
    play.stage.launcher.fail = 2
    play.process.exit(1)
    play.settle()
    assert play.restarts == {"spawn_failed": 1}


def test_a_timetable() -> None:
    """Runs of a job are no restarts."""
    play = Play(FORK.but(autorestart=False))
    play.process.exit(0)
    play.app.start("schedule")
    play.settle()
    assert play.restarts == {}


def test_only_trouble_is_alarming() -> None:
    """Planned restarts do not count."""
    play = Play(FORK)
    for reason in PLANNED:
        play.app.replace(Replacement(reason=reason))
        play.settle()
    assert play.ledger.unplanned_restarts(KEY) == 0
    play.process.exit(1)
    play.settle()
    assert play.ledger.unplanned_restarts(KEY) == 1


def test_namespaces_do_not_mix() -> None:
    """Two apps of one name are counted apart."""
    play = Play(FORK.but(namespace="other"))
    play.process.exit(1)
    play.settle()
    assert play.ledger.restarts == {(("other", "app"), "exit"): 1}
    assert play.ledger.exits == {(("other", "app"), "1", ""): 1}
    assert list(play.ledger.ready) == [("other", "app")]


def test_reloads_are_timed_from_first_to_last() -> None:
    """Those that were called off do not count."""
    play = Play(CLUSTER, 2)
    for lasts in (3.0, 4.0):
        play.app.reload()
        for _ in range(2):
            play.stage.clock.advance(lasts / 2)
            play.process.report.ready("ipc")
            for process in play.stage.launcher.alive():
                if process.signals:
                    process.exit(0)
    durations = play.ledger.reloads[KEY]
    assert (sum(durations.counts), durations.total) == (2, 7.0)
    play.app.reload()
    play.stage.clock.advance()
    play.process.exit(1)
    play.settle()
    assert sum(durations.counts) == 2
