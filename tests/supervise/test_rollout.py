"""Reloads of one app, replayed on a hand-turned clock."""

import signal

import pytest
from supervise.rollouts import Outcome, Play

from pidone.ecosystem.spec import ExecMode
from pidone.supervise.instances.states import State


def test_each_slot_is_started_before_it_is_stopped() -> None:
    """At no time does a slot have no online instance; the old one is stopped when the new one is ready."""
    play = Play(3)
    play.reload()
    for index in range(3):
        assert play.newest.who.index == index
        assert play.newest.who.incarnation == 2
        assert play.told_to_stop() == []
        assert len(play.alive()) == 4
        play.newest.report.ready("ipc")
        assert play.serving() == 3
        assert play.told_to_stop() == [(index, 1)]
        old = next(p for p in play.alive() if p.who.index == index and p.who.incarnation == 1)
        old.exit(0)
    assert play.outcomes == [Outcome(3)]
    assert [p.who.incarnation for p in play.alive()] == [2, 2, 2]


def test_code_that_does_not_start_takes_nothing_down() -> None:
    """The new one crashes: the reload is called off, the old ones were never touched."""
    play = Play(3)
    play.reload()
    play.newest.exit(1)
    assert "did not get ready" in play.outcomes[0].failure
    assert (play.serving(), play.told_to_stop(), len(play.alive())) == (3, [], 3)
    assert play.stage.log.named("app.reload_failed")


def test_code_that_never_gets_ready_takes_nothing_down() -> None:
    """After reload_timeout a successor has failed, although a first start would count as online."""
    play = Play(2, listen_timeout=3.0, reload_timeout=9.0)
    play.reload()
    play.after(8.9)
    assert play.outcomes == [], "waiting costs nothing while the old ones serve"
    play.after(0.2)
    assert "not ready within 9 s (reload_timeout)" in play.outcomes[0].failure
    play.newest.exit(0)
    assert (play.serving(), len(play.alive())) == (2, 2)


def test_a_program_that_never_says_that_it_is_ready() -> None:
    """A worker that listens to nothing counts as online after listen_timeout, in a reload as before."""
    play = Play(1, listen_timeout=3.0, reload_timeout=3.0, says_ready=False)
    play.after(3.0)
    assert play.serving() == 1
    play.reload()
    play.after(3.1)
    assert play.told_to_stop() == [(0, 1)]
    next(p for p in play.alive() if p.signals).exit(0)
    assert play.outcomes == [Outcome(1)]
    play.newest.report.ready("ipc")  # late, but it does: from now on that is expected
    play.reload()
    play.after(3.1)
    assert "not ready within 3 s" in play.outcomes[1].failure


def test_a_failure_halfway_keeps_what_is_replaced() -> None:
    """Slot 0 is new, slot 1 fails: 0 stays new, 1 and 2 stay old."""
    play = Play(3)
    play.reload()
    play.newest.report.ready("ipc")
    next(p for p in play.alive() if p.signals).exit(0)
    play.newest.exit(1)
    assert play.outcomes[0].replaced == 1
    assert sorted((p.who.index, p.who.incarnation) for p in play.alive()) == [(0, 2), (1, 1), (2, 1)]


@pytest.mark.parametrize("surge", [1, 2, 3])
def test_max_surge_bounds_the_extra_processes(surge: int) -> None:
    """Never more than max_surge processes above the wanted number."""
    play = Play(4, max_surge=surge)
    play.reload()
    most = 0
    while not play.outcomes:
        most = max(most, len(play.alive()))
        starting = [p for p in play.alive() if p.who.incarnation == 2 and not p.was_online]
        if starting:
            starting[0].report.ready("ipc")
        else:
            next(p for p in play.alive() if p.signals).exit(0)
    assert most == 4 + surge
    assert play.outcomes == [Outcome(4)]


def test_a_newcomer_serves_beside_its_predecessor_for_a_while() -> None:
    """The old process leaves `settle_time` after the new one is ready, and the next slot comes after that."""
    play = Play(2, settle_time=0.5)
    play.reload()
    play.newest.report.ready("ipc")
    play.after(0.49)
    assert (play.told_to_stop(), len(play.alive())) == ([], 3)
    play.after(0.02)
    assert play.told_to_stop() == [(0, 1)]
    play.alive()[0].exit(0)
    assert play.newest.who.index == 1


@pytest.mark.parametrize("end", ["exit", "unhealthy"])
def test_a_newcomer_that_does_not_stay_takes_nothing_down(end: str) -> None:
    """One that is ready, but ends or fails its probe before it has settled, calls the reload off."""
    play = Play(3, settle_time=0.5)
    play.reload()
    newcomer = play.newest
    newcomer.report.ready("ipc")
    play.after(0.4)
    if end == "exit":
        newcomer.exit(1)
    else:
        newcomer.report.failed("sick")
        newcomer.exit(0)
    assert "instance 0 did not stay" in play.outcomes[0].failure
    play.after(10)
    assert (play.serving(), play.told_to_stop(), len(play.alive())) == (3, [], 3)


def test_nobody_to_settle_beside() -> None:
    """Where the old process is down, the new one takes over at once."""
    play = Play(1, settle_time=0.5, restart_delay=60.0)
    play.alive()[0].exit(1)
    play.reload()
    play.newest.report.ready("ipc")
    assert play.outcomes == [Outcome(1)]
    assert play.app.instances[0].pid == play.newest.pid


def test_a_later_stop_wins() -> None:
    """A stop in the middle of a reload stops old and new alike, and nothing starts after it."""
    play = Play(3)
    play.reload()
    play.app.stop()
    play.after(0)
    assert "overrules" in play.outcomes[0].failure
    assert all(p.signals == [signal.SIGTERM] for p in play.alive())
    for process in play.alive():
        process.exit(0)
    play.after(100)
    assert (play.alive(), play.app.is_down, len(play.stage.launcher.launched)) == ([], True, 4)


def test_one_operation_at_a_time() -> None:
    """A second reload waits for the first, and then does its work."""
    play = Play(1)
    play.reload()
    play.reload()
    assert len(play.alive()) == 2
    play.newest.report.ready("ipc")
    next(p for p in play.alive() if p.signals).exit(0)
    assert len(play.outcomes) == 1
    assert play.newest.who.incarnation == 3


def test_a_new_spec_becomes_the_apps_only_when_it_worked() -> None:
    """SIGHUP with a changed command: the old command stays until the new one is ready everywhere."""
    play = Play(1)
    changed = play.spec.but(args=("new",))
    play.reload(spec=changed)
    play.newest.exit(1)
    assert play.app.spec == play.spec
    play.reload(spec=changed)
    play.newest.report.ready("ipc")
    next(p for p in play.alive() if p.signals).exit(0)
    assert play.app.spec == changed
    assert play.app.instances[0].app == changed, "on_ready_timeout of later lives is the app's own again"


def test_an_app_that_cannot_overlap_restarts_one_by_one() -> None:
    """A fork-mode program binds its own port: each slot stops, starts, and is back before the next one."""
    play = Play(2, exec_mode=ExecMode.FORK)
    play.reload()
    assert play.told_to_stop() == [(0, 1)]
    next(p for p in play.alive() if p.signals).exit(0)
    assert (play.newest.who.index, play.newest.who.incarnation) == (0, 2)
    assert play.told_to_stop() == []
    play.newest.report.ready("ipc")
    assert play.told_to_stop() == [(1, 1)]
    next(p for p in play.alive() if p.signals).exit(0)
    play.newest.report.ready("ipc")
    assert play.outcomes == [Outcome(2)]


def test_one_by_one_stops_at_the_first_that_does_not_come_back() -> None:
    """Broken code takes one slot down, not all."""
    play = Play(2, exec_mode=ExecMode.FORK, max_restarts=2)
    play.reload()
    next(p for p in play.alive() if p.signals).exit(0)
    play.newest.exit(1)
    play.newest.exit(1)
    assert play.app.instances[0].state is State.ERRORED
    assert play.outcomes[0].failure
    assert play.app.instances[1].state is State.ONLINE


def test_an_unhealthy_instance_is_replaced_without_a_gap() -> None:
    """In a cluster the successor comes first."""
    play = Play(2)
    play.alive()[0].report.failed("3 probes failed")
    assert (play.serving(), play.told_to_stop(), len(play.alive())) == (2, [], 3)
    play.newest.report.ready("ipc")
    assert play.told_to_stop() == [(0, 1)]


def test_an_unhealthy_instance_whose_successor_fails_is_restarted() -> None:
    """There is nothing better left."""
    play = Play(1)
    play.alive()[0].report.failed("3 probes failed")
    play.newest.exit(1)
    assert play.told_to_stop() == [(0, 1)]


def test_a_crash_after_a_reload_is_a_crash_like_any_other() -> None:
    """Only until it is ready has a successor no second chance."""
    play = Play(2)
    play.reload()
    for _ in range(2):
        play.newest.report.ready("ipc")
        for process in play.alive():
            if process.signals:
                process.exit(0)
    assert play.outcomes == [Outcome(2)]
    play.newest.exit(1)
    play.after(30.0)
    assert len(play.alive()) == 2


def test_new_rules_of_restarting_hold_for_what_runs() -> None:
    """After a reload of the file that replaces nothing, or replaces one by one."""
    play = Play(1, exec_mode=ExecMode.FORK)
    play.reload(spec=play.spec.but(autorestart=False))
    play.newest.exit(0)
    play.newest.report.ready("ipc")
    assert play.outcomes == [Outcome(1)]
    play.newest.exit(1)
    play.after(30.0)
    assert play.app.instances[0].state is State.ERRORED


def test_a_failed_reload_gives_the_old_sockets_back() -> None:
    """Ports and balance are those of the spec that serves, not of the one that did not work."""
    play = Play(2)
    changed = play.spec.but(args=("new",))
    play.stage.broker.open(changed)  # as the supervisor does before
    play.reload(spec=changed)
    play.newest.exit(1)
    assert play.stage.broker.present["app"] == play.spec


def test_a_failed_reload_keeps_the_sockets_of_the_next() -> None:
    """When another change waits for the end of the one that failed, its ports are the ones to be open."""
    play = Play(1)
    newer = play.spec.but(args=("newer",))
    play.reload(spec=play.spec.but(args=("new",)))
    play.stage.broker.open(newer)
    play.reload(spec=newer)
    play.newest.exit(1)
    assert play.stage.broker.present["app"] == newer
    play.newest.report.ready("ipc")
    next(p for p in play.alive() if p.signals).exit(0)
    assert play.app.spec == newer


def test_unhealthy_instances_during_a_reload() -> None:
    """A probe that fails meanwhile displaces no change that waits; who is sick after it is replaced."""
    play = Play(3)
    first, second, third = play.alive()
    play.reload(slots=frozenset({0}))
    changed = play.spec.but(args=("new",))
    play.reload(spec=changed)
    for sick in (first, second, third):
        sick.report.failed("sick")
    for process in play.alive():
        if not process.was_online:
            process.report.ready("ipc")
    first.exit(0)
    play.newest.exit(1)
    assert play.app.spec == play.spec
    assert [outcome.replaced for outcome in play.outcomes] == [1, 0]
    for index in (1, 2):
        assert play.newest.who.index == index
        play.newest.report.ready("ipc")
        next(p for p in play.alive() if p.signals).exit(0)
    assert [(p.who.index, p.who.incarnation) for p in play.alive()] == [(0, 2), (1, 2), (2, 2)]


def test_a_restart_during_a_reload_is_one_to_the_new_spec() -> None:
    """Somebody does not want to wait: whatever starts from now on is what the file says, everywhere."""
    play = Play(2)
    changed = play.spec.but(args=("new",))
    play.reload(spec=changed)
    play.newest.report.ready("ipc")
    play.app.restart()
    play.after(0)
    assert [instance.app for instance in play.app.instances.values()] == [changed, changed]
    assert play.app.spec == changed


def test_a_reload_gives_another_chance_to_what_gave_up() -> None:
    """A slot that crashed too often with the old code is started with the new."""
    play = Play(2, max_restarts=1)
    play.alive()[0].report.ready("ipc")
    play.alive()[0].exit(1)
    play.newest.exit(1)
    assert play.app.instances[0].state is State.ERRORED
    play.reload(spec=play.spec.but(args=("repaired",)))
    play.newest.report.ready("ipc")
    assert play.serving() == 2


def test_who_is_ready_takes_over_before_a_failure_calls_the_rest_off() -> None:
    """Its predecessor is down, so that it is the only one of its slot; its sibling fails in the same turn."""
    play = Play(2, max_surge=2, restart_delay=60.0)
    play.alive()[1].exit(1)
    play.reload()
    sibling, successor = play.stage.launcher.launched[-2:]
    play.stage.launcher.turn = sibling.turn = lambda: None
    successor.report._report.ready("ipc")  # type: ignore[attr-defined] # without a turn of its own
    sibling.exit(1)
    play.after(0)
    assert play.outcomes[0].failure
    assert successor.main_alive
    assert not successor.signals
    assert play.serving() == 2
