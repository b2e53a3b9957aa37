"""Scheduled jobs and restarts from outside; when something is due is tested in supervise/."""

import signal
from pathlib import Path
from typing import Any

import harness
import pytest
from harness import pidone
from writing import FOREVER, ecosystem, shell

EACH_SECOND = "* * * * * *"
NEVER_SOON = "0 0 1 1 *"


def test_a_job_runs_when_it_is_due(tmp_path: Path) -> None:
    """Not with the others, again and again, and its end ends nothing."""
    with pidone(ecosystem(tmp_path, shell("job", "echo ran", schedule=EACH_SECOND))) as run:
        run.expect(event="instance.exit", code=0, count=2)
        kinds = [r.get("event") for r in run.records]
        assert kinds.index("app.scheduled") < kinds.index("app.due") < kinds.index("instance.start")
        assert harness.alive(run.pid)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_failed_run_waits_for_its_next_time(tmp_path: Path) -> None:
    """It is neither restarted nor given up."""
    with pidone(ecosystem(tmp_path, shell("job", "exit 3", schedule=EACH_SECOND))) as run:
        run.expect(event="instance.exit", code=3, count=2)
        assert len(run.find(event="instance.start")) <= len(run.find(event="app.due"))
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_job_that_waits_keeps_the_container(tmp_path: Path) -> None:
    """When everything else has completed, something is still to come."""
    file = ecosystem(
        tmp_path,
        shell("job", "true", schedule=NEVER_SOON),
        shell("once", "echo done", autorestart=False),
    )
    with pidone(file) as run:
        run.expect(event="instance.exit", app="once")
        run.expect(event="app.scheduled", app="job")
        assert not run.find(event="runtime.stop")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_overlap_skip(tmp_path: Path) -> None:
    """A run that is due while the last one goes on is left out."""
    gate = tmp_path / "gate"
    job = shell("job", f"until test -e {gate}; do sleep 0.05; done", schedule=EACH_SECOND)
    with pidone(ecosystem(tmp_path, job)) as run:
        run.expect(event="app.skipped")
        gate.touch()
        run.expect(event="instance.start", count=2)
        events = [r.get("event") for r in run.records]
        assert events[: events.index("app.skipped")].count("instance.start") == 1
        first_end = run.find(event="instance.exit")[0]
        assert first_end["code"] == 0
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_overlap_queue(tmp_path: Path) -> None:
    """It waits, and starts as soon as the last one has ended."""
    with pidone(ecosystem(tmp_path, shell("job", "sleep 1.5", schedule=EACH_SECOND, overlap="queue"))) as run:
        run.expect(event="app.due", step="wait")
        run.expect(event="instance.start", count=2)
        events = [r["event"] for r in run.records if r.get("event") in ("instance.start", "instance.exit")]
        assert events[:3] == ["instance.start", "instance.exit", "instance.start"]
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_overlap_replace(tmp_path: Path) -> None:
    """The last one is stopped for it."""
    job = shell("job", "exec sleep 1000", schedule=EACH_SECOND, overlap="replace")
    with pidone(ecosystem(tmp_path, job)) as run:
        run.expect(event="instance.start", count=2)
        assert run.find(event="instance.exit")[0]["signal"] == "SIGTERM"
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_cron_restart_replaces(tmp_path: Path) -> None:
    """At its times, and not at others."""
    app = shell("a", "echo up; " + FOREVER, cron_restart="*/2 * * * * *", ready="log:up")
    with pidone(ecosystem(tmp_path, app, shell("b", "echo up; " + FOREVER))) as run:
        run.expect(event="app.reloaded", reason="cron_restart", app="a")
        assert len(run.find(event="instance.start", app="b")) == 1
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("echo ran", {"autorestart": False}),
        ("echo ran; exit 3", {"autorestart": False}),
        ("echo ran", {"stop_exit_codes": [0]}),
        ("echo ran; exit 3", {"stop_exit_codes": [3]}),
    ],
)
def test_cron_restart_starts_what_has_ended(command: str, keys: dict[str, Any], tmp_path: Path) -> None:
    """PM2's way to schedule: `autorestart: false` or `stop_exit_codes`; a failed run is not the last one."""
    app = shell("a", command, cron_restart=EACH_SECOND, **keys)
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect(message="ran", count=2)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_stop_ends_the_schedule(tmp_path: Path) -> None:
    """An app that the file does not name any more is not run again."""
    witness = shell("witness", "echo tick", schedule=EACH_SECOND)
    file = ecosystem(tmp_path, witness, shell("job", "echo ran", schedule=EACH_SECOND))
    with pidone(file) as run:
        run.expect(message="ran")
        ecosystem(tmp_path, witness)
        run.signal(signal.SIGHUP)
        run.expect(event="config.reload", removed=["job"])
        runs = len(run.find(event="instance.start", app="job"))
        run.expect(message="tick", count=len(run.find(message="tick")) + 2)  # the job's times pass as well
        assert len(run.find(event="instance.start", app="job")) == runs
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_dependents_do_not_wait_for_a_scheduled_job(tmp_path: Path) -> None:
    """It is ready as soon as it waits for its time."""
    file = ecosystem(
        tmp_path,
        shell("web", "echo up; " + FOREVER, depends_on=["job"]),
        shell("job", "true", schedule=NEVER_SOON),
    )
    with pidone(file) as run:
        run.expect_line("up")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_nonsense_is_refused(tmp_path: Path) -> None:
    """A time that does not exist ends the start, with the line."""
    with pidone(ecosystem(tmp_path, shell("job", "true", schedule="99 99 * * *"))) as run:
        assert run.wait() == 78
        assert run.err is not None
        assert "99 99 * * *" in run.err.text()


def test_max_age(tmp_path: Path) -> None:
    """Each life ends when its time is up, and another one begins."""
    app = shell("a", "echo up; " + FOREVER, max_age="0.5s", listen_timeout="0.4s", ready="log:up")
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect(event="app.reloaded", reason="max_age", count=2)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
