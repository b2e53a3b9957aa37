"""Order, endings and reloads of a whole ecosystem, on a hand-turned clock."""

import signal

import pytest
from stage import spec
from supervise.playing import Play, job, needs

from pidone.ecosystem.spec import Condition, Ecosystem, ExecMode, Readiness
from pidone.supervise import supervisor as module
from pidone.supervise.supervisor import Phase


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep at the end looks at this process's real descendants, which are not part of the play."""
    monkeypatch.setattr(module, "our_descendants", list)


def test_dependents_wait_for_readiness() -> None:
    """An app starts when what it depends on is ready, not before."""
    play = Play(spec("api", depends_on=needs("db")), spec("db"))
    assert play.running() == ["db"]
    play.after(1.0)
    assert play.running() == ["db", "api"]


def test_started_is_enough_where_asked() -> None:
    """Condition `started` does not wait for readiness."""
    play = Play(spec("api", depends_on=needs("db", Condition.STARTED)), spec("db"))
    assert play.running() == ["db", "api"]


def test_completed_waits_for_a_jobs_success() -> None:
    """A migration has to end well before the API starts."""
    play = Play(spec("api", depends_on=needs("migrate", Condition.COMPLETED)), job("migrate"))
    play.after(5)
    assert play.running() == ["migrate"]
    play.exit("migrate", 0)
    assert play.running() == ["api"]


def test_a_failed_dependency_ends_with_its_code() -> None:
    """When the migration fails nothing is left to run, and the container says why by its code."""
    play = Play(spec("api", depends_on=needs("migrate", Condition.COMPLETED)), job("migrate"))
    play.exit("migrate", 3)
    assert play.code == 3
    assert play.stage.log.named("app.blocked")[0]["app"] == "api"


def test_stop_goes_in_reverse_order() -> None:
    """What others depend on is stopped after them."""
    play = Play(spec("db"), spec("api", depends_on=needs("db")), spec("web", depends_on=needs("api")))
    play.after(3)
    play.supervisor.stop_by_signal(signal.SIGTERM)
    play.after(0)

    def told() -> list[str]:
        return [p.who.app for p in play.stage.launcher.launched if p.signals]

    assert told() == ["web"]
    play.exit("web")
    assert told() == ["api", "web"]
    play.exit("api")
    assert told() == ["db", "api", "web"]
    assert play.code is None
    play.exit("db")
    assert play.code == 0


def test_independent_apps_stop_together() -> None:
    """Without dependencies nobody waits for anybody."""
    play = Play(spec("a"), spec("b"), spec("c", instances=2))
    play.supervisor.stop_by_signal(signal.SIGTERM)
    play.after(0)
    assert all(p.signals == [signal.SIGTERM] for p in play.stage.launcher.launched)


def test_the_whole_stop_has_a_deadline() -> None:
    """At shutdown_timeout everything is killed, and the code says so."""
    play = Play(spec("a", kill_timeout=60.0), shutdown_timeout=5.0)
    play.supervisor.stop_by_signal(signal.SIGTERM)
    play.after(0)
    play.after(5.1)
    assert play.stage.launcher.of("a").killed
    play.exit("a", by=signal.SIGKILL)
    assert play.code == 124


def test_a_process_that_cannot_be_killed_does_not_hold_us() -> None:
    """Two seconds after the last SIGKILL we leave, whatever the kernel says."""
    play = Play(spec("a"), shutdown_timeout=5.0)
    play.supervisor.stop_by_signal(signal.SIGTERM)
    play.after(0)
    play.after(7.5)
    assert play.code == 124


def test_a_second_signal_kills() -> None:
    """A second SIGINT ends the waiting and shows in the code."""
    play = Play(spec("a"))
    play.supervisor.stop_by_signal(signal.SIGTERM)
    play.after(0)
    play.supervisor.stop_by_signal(signal.SIGINT)
    play.after(0)
    assert play.stage.launcher.of("a").killed
    play.exit("a", by=signal.SIGKILL)
    assert play.code == 130


def test_an_app_killed_in_an_orderly_stop_shows_in_the_code() -> None:
    """Stop in order, but one app needed SIGKILL: 124."""
    play = Play(spec("a", kill_timeout=2.0))
    play.supervisor.stop_by_signal(signal.SIGTERM)
    play.after(0)
    play.after(2.1)
    play.exit("a", by=signal.SIGKILL)
    assert play.code == 124


def test_shutdown_delay_keeps_serving() -> None:
    """After SIGTERM apps are told only when shutdown_delay has passed."""
    play = Play(spec("a"), shutdown_delay=5.0)
    play.supervisor.stop_by_signal(signal.SIGTERM)
    play.after(0)
    assert not play.supervisor.is_ready
    play.after(4.9)
    assert play.stage.launcher.of("a").signals == []
    play.after(0.2)
    assert play.stage.launcher.of("a").signals == [signal.SIGTERM]


def test_all_jobs_completed_is_success() -> None:
    """Nothing is left to run and everything went well."""
    play = Play(job("a"), job("b"))
    play.exit("a")
    assert play.code is None
    play.exit("b")
    assert play.code == 0


def test_a_jobs_code_is_the_containers() -> None:
    """The code of the job that failed is passed on."""
    play = Play(job("a"), job("b"))
    play.exit("a", 7)
    play.exit("b", 0)
    assert play.code == 7


def test_a_jobs_signal_is_128_plus_n() -> None:
    """A job killed by SIGSEGV ends the container with 139."""
    play = Play(job("a"))
    play.exit("a", by=signal.SIGSEGV)
    assert play.code == 139


def test_a_crash_loop_has_its_own_code() -> None:
    """When the last app gave up the code is 75, whatever the app's own code was."""
    play = Play(spec("a", max_restarts=2))
    play.exit("a", 1)
    play.exit("a", 1)
    assert play.code == 75
    assert play.endings[0].app == "a"


def test_others_keep_running_when_one_gives_up() -> None:
    """An errored app does not take the others down."""
    play = Play(spec("a", max_restarts=1), spec("b"))
    play.exit("a", 1)
    assert (play.running(), play.code) == (["b"], None)


def test_an_essential_app_takes_the_container_with_it() -> None:
    """When it ends, the rest is stopped in order and its code is passed on."""
    play = Play(job("a", essential=True), spec("b"))
    play.exit("a", 5)
    assert play.stage.launcher.of("b").signals == [signal.SIGTERM]
    play.exit("b", 0)
    assert play.code == 5


def test_no_auto_exit_stays() -> None:
    """With auto_exit off the runtime waits for orders."""
    play = Play(job("a"), auto_exit=False)
    play.exit("a", 0)
    play.after(100)
    assert play.code is None


def test_backoff_is_not_the_end() -> None:
    """PM2 ends the container in the middle of a long restart_delay."""
    play = Play(spec("a", restart_delay=600.0))
    play.exit("a", 1)
    play.after(500)
    assert play.code is None
    play.after(101)
    assert play.running() == ["a"]


def test_autostart_false_is_not_started() -> None:
    """It can be started later, and does not count as missing."""
    play = Play(spec("a"), spec("b", autostart=False))
    play.after(2)
    assert play.running() == ["a"]
    assert play.supervisor.is_ready


def test_apply_touches_only_what_differs() -> None:
    """Unchanged apps keep their processes; others are stopped, replaced, added, scaled."""
    play = Play(spec("same"), spec("gone"), spec("changed"), spec("scaled", instances=2))
    play.after(2)
    before = {p.who: p for p in play.stage.launcher.alive()}
    new = Ecosystem(
        apps=(
            spec("same"),
            spec("changed", args=("x",)),
            spec("scaled", instances=3),
            spec("added"),
        )
    )
    play.supervisor.apply(new)
    play.after(0)
    play.after(0)
    told = [p.who.app for p in before.values() if p.signals]
    assert sorted(told) == ["changed", "gone"]
    play.exit("gone")
    play.exit("changed")
    assert sorted(play.running()) == ["added", "changed", "same", "scaled", "scaled", "scaled"]
    assert play.stage.broker.closed == ["gone"]
    assert play.stage.launcher.of("changed").who.incarnation == 2


def test_restarts_are_counted_over_a_change_of_the_file() -> None:
    """The change is one for what ran until then, and none for what rested."""
    play = Play(spec("a"), spec("rests"))
    play.after(2)
    play.exit("a", 1)
    play.after(2)
    play.supervisor.apps["default", "rests"].stop()
    play.after(0)
    play.exit("rests")
    changed = [spec("a", args=("x",)), spec("rests", args=("x",))]
    play.supervisor.lay_over(changed, at_once=True)
    play.after(0)
    play.exit("a", 0)
    play.after(2)
    restarts = {key[1]: app.instances[0].restarts for key, app in play.supervisor.apps.items()}
    assert sorted(play.running()) == ["a", "rests"]
    assert restarts == {"a": 2, "rests": 0}


def test_scaling_down_removes_the_newest() -> None:
    """The highest indexes leave, so that no hole appears."""
    play = Play(spec("a", instances=4))
    play.supervisor.apply(Ecosystem(apps=(spec("a", instances=2),)))
    play.after(0)
    left = [p.who.index for p in play.stage.launcher.launched if not p.signals]
    assert left == [0, 1]


def test_a_dropped_app_does_not_end_the_container_while_others_run() -> None:
    """A reload that removes an app waits for its end and forgets it."""
    play = Play(spec("a"), spec("b"))
    play.supervisor.apply(Ecosystem(apps=(spec("a"),)))
    play.after(0)
    play.exit("b")
    assert (play.code, list(play.supervisor.apps)) == (None, [("default", "a")])


def test_a_stop_during_reload_wins() -> None:
    """A changed app that is being replaced when SIGTERM comes is not started again."""
    play = Play(spec("a"))
    play.supervisor.apply(Ecosystem(apps=(spec("a", args=("x",)),)))
    play.after(0)
    play.supervisor.stop_by_signal(signal.SIGTERM)
    play.after(0)
    play.exit("a")
    assert (play.code, play.supervisor.phase) == (0, Phase.DONE)
    assert len(play.stage.launcher.launched) == 1


def test_a_file_that_changes_back_during_a_replacement() -> None:
    """What the last reading said counts, whether the app has become what the one before said or not."""
    first, second = spec("a"), spec("a", args=("x",))
    play = Play(first)
    play.supervisor.apply(Ecosystem(apps=(second,)))
    play.after(0)
    play.supervisor.apply(Ecosystem(apps=(first,)))
    play.after(0)
    play.exit("a")
    assert play.supervisor.apps["default", "a"].spec == first
    assert play.running() == ["a"]


def test_a_file_that_drops_an_app_during_its_replacement() -> None:
    """It does not come back."""
    play = Play(spec("a"), spec("b"))
    play.supervisor.apply(Ecosystem(apps=(spec("a", args=("x",)), spec("b"))))
    play.after(0)
    play.supervisor.apply(Ecosystem(apps=(spec("b"),)))
    play.after(0)
    play.exit("a")
    assert play.running() == ["b"]
    assert play.stage.broker.closed == ["a"]


def test_a_file_that_changes_back_during_a_rolling_reload() -> None:
    """The reload that is under way is finished, and followed by one back to what the file says."""
    first, second = (
        spec("a", exec_mode=ExecMode.CLUSTER, ready=Readiness(ipc=True), args=args) for args in ((), ("x",))
    )
    play = Play(first)
    play.stage.launcher.last.report.ready("ipc")
    for wish in (second, second, first):  # the same again asks for nothing new
        play.supervisor.apply(Ecosystem(apps=(wish,)))
        play.after(0)
    for _ in range(2):
        play.stage.launcher.last.report.ready("ipc")
        next(p for p in play.stage.launcher.alive() if p.signals).exit(0)
    assert play.supervisor.apps["default", "a"].spec == first
    assert len(play.stage.launcher.launched) == 3


def test_signals_are_forwarded_to_every_main_process() -> None:
    """SIGUSR1 reaches each instance of each app."""
    play = Play(spec("a", instances=2), spec("b"))
    play.supervisor.forward(signal.SIGUSR1)
    assert [p.signals for p in play.stage.launcher.launched] == [[signal.SIGUSR1]] * 3


def test_a_slot_that_was_stopped_before_its_app_began_stays_stopped() -> None:
    """The others start when what they wait for is ready."""
    play = Play(spec("api", instances=2, depends_on=needs("db")), spec("db"))
    play.supervisor.apps["default", "api"].stop(slots=[0])
    play.after(1.0)
    assert [(p.who.app, p.who.index) for p in play.stage.launcher.alive()] == [("db", 0), ("api", 1)]


def test_the_file_that_is_applied_gives_the_order_of_the_stop() -> None:
    """Also for an app that has not become what it says: the reload to that has failed."""
    shared = spec("api", exec_mode=ExecMode.CLUSTER)
    play = Play(spec("db"), shared)
    play.after(2)
    changed = shared.but(args=("x",), depends_on=needs("db"))
    play.supervisor.apply(Ecosystem(apps=(spec("db"), changed)))
    play.after(0)
    play.exit("api", 1)
    assert play.stage.log.named("app.reload_failed")
    play.supervisor.stop_by_signal(signal.SIGTERM)
    play.after(0)
    assert [p.who.app for p in play.stage.launcher.launched if p.signals] == ["api"]


def test_the_count_of_a_file_that_was_read_again_since_is_not_carried_out() -> None:
    """A rollout to two instances is under way when the file says three again: nobody leaves in between."""
    three = spec("a", exec_mode=ExecMode.CLUSTER, ready=Readiness(ipc=True), instances=3)
    play = Play(three)
    for process in play.stage.launcher.alive():
        process.report.ready("ipc")
    for wish in (three.but(args=("x",), instances=2), three):
        play.supervisor.apply(Ecosystem(apps=(wish,)))
        play.after(0)
    for _ in range(6):
        play.stage.launcher.last.report.ready("ipc")
        for old in [p for p in play.stage.launcher.alive() if p.signals]:
            old.exit(0)
        assert len({p.who.index for p in play.stage.launcher.alive()}) == 3
    assert play.supervisor.apps["default", "a"].spec == three


def test_an_app_whose_last_slot_somebody_stopped_is_at_rest() -> None:
    """The file makes it smaller, down to that slot: the runtime stays for who will start it again."""
    play = Play(spec("a", instances=2))
    play.after(2)
    play.supervisor.apps["default", "a"].stop(slots=[0])
    play.supervisor.apply(Ecosystem(apps=(spec("a", args=("x",)),)))
    play.after(0)
    for process in play.stage.launcher.alive():
        process.exit(0)
    play.after(5)
    assert (play.running(), play.code) == ([], None)


def test_whoever_was_not_asked_yet_is_asked_when_the_time_is_up() -> None:
    """One that asks for ever more time takes the word from nobody: those it needs hear TERM before KILL."""
    play = Play(spec("db"), spec("api", depends_on=needs("db")), shutdown_timeout=5.0)
    play.after(3)
    play.supervisor.stop_by_signal(signal.SIGTERM)
    play.after(5.1)
    api, db = play.stage.launcher.of("api"), play.stage.launcher.of("db")
    assert (api.killed, db.killed, db.signals) == (True, False, [signal.SIGTERM])
    play.after(1.0)
    assert db.killed


def test_a_schedule_does_not_start_what_somebody_stopped() -> None:
    """Only the instance that has ended by itself is started again."""
    play = Play(spec("a", instances=2, autorestart=False), spec("b"))
    app = play.supervisor.apps["default", "a"]
    app.stop(slots=[1])
    play.after(0)
    for process in play.stage.launcher.alive("a"):
        process.exit(0)
    app.resume("cron_restart")
    play.after(0)
    assert [process.who.index for process in play.stage.launcher.alive("a")] == [0]
