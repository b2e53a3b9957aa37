"""Wishes for replacements, from whatever source, carried out one at a time for each app."""

import pytest
from stage import Stage, Turns, spec

from pidone.ecosystem.spec import Listen
from pidone.supervise.app import App
from pidone.supervise.wanted import Replacement


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def app(stage: Stage) -> App:
    app = App(spec(instances=2, listen=(Listen(name="web", port=80),)), 2, stage.world, Turns(stage.clock))
    app.start()
    stage.clock.advance(1)
    return app


def reasons(stage: Stage) -> list[object]:
    return [event["reason"] for event in stage.log.named("app.reload")]


def test_one_at_a_time(stage: Stage, app: App) -> None:
    """The second waits until the first is through."""
    for index in (0, 1):
        app.replace(Replacement(who=app.instances[index].who, reason=f"r{index}"))
    stage.clock.advance()
    assert reasons(stage) == ["r0"]
    stage.clock.advance(1)  # the successor is ready
    stage.launcher.launched[0].exit()
    assert reasons(stage) == ["r0", "r1"]


def test_a_wish_for_what_has_gone_is_void(stage: Stage, app: App) -> None:
    """Somebody else replaced it meanwhile."""
    who = app.instances[0].who
    stage.launcher.launched[0].exit(1)
    app.replace(Replacement(who=who, reason="late"))
    stage.clock.advance()
    assert reasons(stage) == []
    assert not app.wanted.is_due(who)


def test_the_same_wish_twice_is_one(stage: Stage, app: App) -> None:
    """And one for the whole app supersedes those for its instances."""
    one = Replacement(who=app.instances[0].who, reason="max_age")
    app.replace(Replacement(who=app.instances[1].who, reason="first"))
    app.replace(one)
    app.replace(one)
    assert [wish.reason for wish in app.wanted.queue] == ["first", "max_age"]
    app.replace(Replacement(reason="cron_restart"))
    app.replace(one)
    assert [wish.reason for wish in app.wanted.queue] == ["cron_restart"]


def test_a_newer_replacement_of_the_whole_brings_what_the_older_was_to_bring(app: App) -> None:
    """A changed file waits for its turn when the clock wants a restart: neither is lost."""
    changed = app.spec.but(args=("new",))
    app.replace(Replacement(reason="config", spec=changed, count=3))
    app.replace(Replacement(reason="cron_restart"))
    (wish,) = app.wanted.queue
    assert (wish.reason, wish.spec, wish.count) == ("cron_restart", changed, 3)


def test_a_stopped_app_is_left_alone(stage: Stage, app: App) -> None:
    """Only a person starts it again."""
    app.stop()
    app.replace(Replacement(reason="cron_restart"))
    stage.clock.advance()
    assert reasons(stage) == []


def test_without_room_the_old_one_stops_first(stage: Stage, app: App) -> None:
    """No successor beside it."""
    who = app.instances[0].who
    app.replace(Replacement(who=who, reason="memory_guard", overlap=False))
    stage.clock.advance()
    assert reasons(stage) == []
    assert len(stage.launcher.launched) == 2
    assert app.wanted.is_due(who)
    stage.launcher.launched[0].exit()
    assert len(stage.launcher.launched) == 3


def test_a_failed_replacement_can_be_seen(stage: Stage, app: App) -> None:
    """So that it can be tried again."""
    who = app.instances[0].who
    app.replace(Replacement(who=who, reason="max_memory_restart"))
    stage.clock.advance()
    assert app.wanted.is_due(who)
    stage.launcher.last.exit(1)
    assert not app.wanted.is_due(who)
    assert app.instances[0].process is stage.launcher.launched[0]
