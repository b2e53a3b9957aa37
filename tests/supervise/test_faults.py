"""What raises although nobody expected it: told, and it costs no other app anything."""

import signal
from collections.abc import Callable

import pytest
from stage import spec
from supervise.playing import Play, needs

from pidone.supervise import supervisor as module
from pidone.supervise.plan import Plan


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep at the end looks at this process's real descendants, which are not part of the play."""
    monkeypatch.setattr(module, "our_descendants", list)


def test_a_fault_while_apps_run_concerns_one_app_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go on, and the one is looked at again."""
    play = Play(spec("a"), spec("b"))
    play.after(2)
    faulty = play.supervisor.apps["default", "a"]
    real, calls = faulty.reconcile, []

    def once(now: float, is_time_up: Callable[[], bool]) -> Plan:
        calls.append(now)
        if len(calls) == 1:
            raise KeyError("nobody thought of this")
        return real(now, is_time_up)

    monkeypatch.setattr(faulty, "reconcile", once)
    for app in play.supervisor.apps.values():
        app.restart()
    play.after(0)
    (told,) = play.stage.log.named("runtime.error")
    assert "KeyError" in told["message"]
    assert "RUNNING" in told["state"]
    assert [p.who.app for p in play.stage.launcher.launched if p.signals] == ["b"]
    play.after(1.1)
    assert [p.who.app for p in play.stage.launcher.launched if p.signals] == ["a", "b"]


def test_the_same_fault_is_told_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """With how often it came since; and it makes no loop of its own."""
    play = Play(spec("a"))

    def always(_now: float, _is_time_up: Callable[[], bool]) -> Plan:
        raise KeyError("again")

    monkeypatch.setattr(play.supervisor.apps["default", "a"], "reconcile", always)
    play.after(50)
    assert len(play.stage.log.named("runtime.error")) == 1
    play.after(20)
    assert "times since" in play.stage.log.named("runtime.error")[1]["message"]


def test_a_fault_while_everything_stops_takes_the_end_from_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody is signalled at once, killed at the deadline, and the code is 70."""
    play = Play(spec("a", kill_timeout=2.0), spec("b", kill_timeout=2.0), spec("c", depends_on=needs("b")))
    play.after(3)

    def fail(_now: float, _is_time_up: Callable[[], bool]) -> Plan:
        raise RuntimeError("in the middle of the stop")

    monkeypatch.setattr(play.supervisor.apps["default", "c"], "reconcile", fail)
    play.supervisor.stop_by_signal(signal.SIGTERM)
    play.after(0)
    assert all(signal.SIGTERM in p.signals for p in play.stage.launcher.launched)
    assert not any(p.killed for p in play.stage.launcher.launched)
    play.exit("a")
    play.exit("b")
    play.after(60)
    assert play.stage.launcher.of("c").killed
    assert play.code == 70


def test_a_fault_of_one_app_at_the_kill_is_not_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is killed, whatever happens at another one."""
    play = Play(spec("a"), spec("b"))

    def fail() -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(play.supervisor.apps["default", "a"], "kill", fail)
    play.supervisor.stop_by_signal(signal.SIGTERM)
    play.supervisor.stop_by_signal(signal.SIGTERM)
    assert play.stage.launcher.of("b").killed
    play.after(10)
    assert play.code == 70
