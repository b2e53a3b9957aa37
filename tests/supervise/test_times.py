"""The clockwork beside everything else that may happen in the same turn of the loop."""

from datetime import UTC, datetime, timedelta

import pytest
from stage import Stage, Turns, spec

from pidone.supervise.app import App
from pidone.supervise.times.alarms import Times

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize("key", ["schedule", "cron_restart"])
@pytest.mark.parametrize("is_stopped", [False, True], ids=["wanted", "stopped"])
def test_what_was_stopped_a_moment_ago_is_not_started(key: str, *, is_stopped: bool) -> None:
    """A stop and the alarm in one turn of the loop: the clockwork hears of the stop after it has rung."""
    stage = Stage()
    app = App(spec(autorestart=False, **{key: "* * * * *"}), 1, stage.world, Turns(stage.clock))
    times = Times(
        clock=stage.clock,
        log=stage.log,
        environ={"TZ": "UTC"},
        wall_clock=lambda: NOON + timedelta(seconds=stage.clock.time()),
    )
    app.start()
    stage.clock.advance(1)
    stage.launcher.last.exit(0)
    times.sync(app)
    if is_stopped:
        app.stop()
    stage.clock.advance(61)
    assert app.wanted.is_on is not is_stopped
    assert len(stage.launcher.launched) == (1 if is_stopped else 2)
