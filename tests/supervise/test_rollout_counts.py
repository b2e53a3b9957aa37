"""Scaling, alone and while instances are replaced: the last word wins, and who grows stays ready."""

import pytest
from supervise.rollouts import Outcome, Play

from pidone.ecosystem.spec import ExecMode


def test_scaling_down_during_a_reload() -> None:
    """Slots that are gone are not replaced, and a successor that is on its way to one is stopped."""
    play = Play(3)
    play.reload(slots=frozenset({2}))
    play.app.scale(2)
    play.after(0)
    assert {p.who.index for p in play.alive() if p.signals} == {2}
    for process in [p for p in play.alive() if p.signals]:
        process.exit(0)
    assert play.outcomes == [Outcome(0)]
    assert play.stage.broker.retired == [("app", 2)]
    assert sorted(p.who.index for p in play.alive()) == [0, 1]


def test_an_app_that_grows_stays_ready() -> None:
    """Who serves goes on to while others start; one that fails counts like any other."""
    play = Play(2)
    play.app.scale(4)
    play.after(0)
    assert (play.serving(), play.app.is_ready) == (2, True)
    play.newest.report.ready("ipc")
    assert (play.serving(), play.app.is_ready) == (3, True)
    next(p for p in play.alive() if p.who.index == 2).exit(1)
    assert not play.app.is_ready


def test_an_app_that_serves_nobody_is_not_ready_because_it_grows() -> None:
    """Neither one whose first instances start nor one that had none."""
    play = Play(2)
    play.alive()[0].exit(1)
    play.app.scale(3)
    play.after(0)
    play.newest.report.ready("ipc")
    assert not play.app.is_ready
    play.app.scale(0)
    play.after(0)
    play.app.scale(1)
    play.after(0)
    assert not play.app.is_ready


def test_a_new_instance_may_leave_before_it_is_ready() -> None:
    """Scaled up and down at once; a later one of the same number counts like the first."""
    play = Play(1)
    play.app.scale(2)
    play.after(0)
    play.app.scale(1)
    play.after(0)
    play.app.scale(2)
    play.after(0)
    assert play.app.is_ready
    play.app.stop()
    play.after(0)
    play.app.start()
    play.after(0)
    assert not play.app.is_ready


def test_leaving_instances_delay_the_end() -> None:
    """An app is down only when what was replaced is gone as well."""
    play = Play(1)
    play.reload()
    play.newest.report.ready("ipc")
    old = next(p for p in play.alive() if p.signals)
    play.app.stop()
    play.after(0)
    play.newest.exit(0)
    assert not play.app.is_down
    old.exit(0)
    assert play.app.is_down


@pytest.mark.parametrize("mode", [ExecMode.CLUSTER, ExecMode.FORK])
def test_scaling_up_during_a_reload(mode: ExecMode) -> None:
    """What comes while others are replaced ends up as new as they are."""
    play = Play(1, exec_mode=mode)
    changed = play.spec.but(args=("new",))
    play.reload(spec=changed)
    play.app.scale(2)
    play.after(0)
    for _ in range(20):
        for process in play.alive():
            if process.signals:
                process.exit(0)
            elif not process.was_online:
                process.report.ready("ipc")
    assert play.outcomes == [Outcome(2)]
    assert [p.who for p in play.alive()] == [i.who for i in play.app.instances.values()]
    assert [i.incarnation for i in play.app.instances.values()] == [2, 2]
    assert play.serving() == 2


def test_a_count_comes_with_its_reload() -> None:
    """Another number of instances in the file counts when the reload has succeeded."""
    play = Play(1)
    play.reload(spec=play.spec.but(args=("new",)), count=2)
    assert len(play.app.instances) == 1
    play.newest.report.ready("ipc")
    next(p for p in play.alive() if p.signals).exit(0)
    assert len(play.app.instances) == 2


def test_scaling_during_a_reload_has_the_last_word() -> None:
    """Somebody scales while a reload with another number is under way: the later wish counts."""
    play = Play(1)
    play.reload(spec=play.spec.but(args=("new",)), count=2)
    play.app.scale(3)
    play.after(0)
    for _ in range(20):
        for process in play.alive():
            if process.signals:
                process.exit(0)
            elif not process.was_online:
                process.report.ready("ipc")
    assert play.outcomes == [Outcome(3)]
    assert len(play.app.instances) == 3


def test_a_failed_reload_changes_no_count() -> None:
    """The file is taken as a whole or not at all."""
    play = Play(2)
    play.reload(spec=play.spec.but(args=("new",)), count=1)
    play.newest.exit(1)
    assert len(play.app.instances) == 2
    play.reload()
    assert len(play.app.instances) == 2
