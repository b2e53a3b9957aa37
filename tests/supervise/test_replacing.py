"""Wishes for replacements, one at a time."""

import pytest
from stage import Stage, spec

from pidone.ecosystem.spec import Listen
from pidone.supervise.app import App
from pidone.supervise.replacing import Replacements, Wish


class Deaf:
    def app_changed(self, app: App) -> None: ...


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def app(stage: Stage) -> App:
    app = App(spec(instances=2, listen=(Listen(name="web", port=80),)), 2, stage.world, Deaf())
    app.start()
    stage.clock.advance(1)
    return app


def reasons(stage: Stage) -> list[object]:
    return [event["reason"] for event in stage.log.named("app.reload")]


def test_one_at_a_time(stage: Stage, app: App) -> None:
    """The second waits until the first is through."""
    todo = Replacements()
    for index in (0, 1):
        todo.ask(app, Wish(who=app.instances[index].who, reason=f"r{index}"))
    assert reasons(stage) == ["r0"]
    stage.clock.advance(1)  # the successor is ready
    stage.launcher.launched[0].exit()
    todo.proceed(app)
    assert reasons(stage) == ["r0", "r1"]


def test_a_wish_for_what_has_gone_is_void(stage: Stage, app: App) -> None:
    """Somebody else replaced it meanwhile."""
    todo, who = Replacements(), app.instances[0].who
    stage.launcher.launched[0].exit(1)
    todo.ask(app, Wish(who=who, reason="late"))
    assert reasons(stage) == []


def test_the_same_wish_twice_is_one(stage: Stage, app: App) -> None:
    """And one for the whole app supersedes those for its instances, which hear of it."""
    todo, told = Replacements(), []
    todo.ask(app, Wish(reason="watch"))
    wish = Wish(who=app.instances[0].who, reason="max_age", on_failure=lambda: told.append("superseded"))
    todo.ask(app, wish)
    todo.ask(app, wish)
    todo.ask(app, Wish(reason="cron_restart"))
    assert reasons(stage) == ["watch"]
    assert told == ["superseded"]


def test_a_stopped_app_is_left_alone(stage: Stage, app: App) -> None:
    """Only a person starts it again."""
    todo = Replacements()
    app.stop()
    todo.ask(app, Wish(reason="cron_restart"))
    assert reasons(stage) == []


def test_without_room_the_old_one_stops_first(stage: Stage, app: App) -> None:
    """No successor beside it."""
    Replacements().ask(app, Wish(who=app.instances[0].who, reason="memory_guard", overlap=False))
    assert reasons(stage) == []
    assert len(stage.launcher.launched) == 2
    stage.launcher.launched[0].exit()
    assert len(stage.launcher.launched) == 3


def test_a_failed_replacement_is_told(stage: Stage, app: App) -> None:
    """So that it can be tried again."""
    told: list[str] = []
    Replacements().ask(
        app,
        Wish(who=app.instances[0].who, reason="max_memory_restart", on_failure=lambda: told.append("again")),
    )
    stage.launcher.last.exit(1)
    assert told == ["again"]
    assert app.instances[0].process is stage.launcher.launched[0]
