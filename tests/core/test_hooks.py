"""Hooks from outside: when they run, what they are told, what their failure means."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from harness import Running, alive, pidone
from writing import FOREVER, ecosystem, shell

POINTS = ("pre_start", "post_start", "pre_stop", "post_stop", "on_exit", "on_give_up")
TELL = "echo $PIDONE_HOOK app=$PIDONE_HOOK_APP code=$PIDONE_HOOK_EXIT_CODE signal=$PIDONE_HOOK_SIGNAL"


def hooked(name: str, script: str, *points: str, **keys: Any) -> dict[str, Any]:
    """An app whose hooks tell what they were told."""
    return shell(name, script, hooks=dict.fromkeys(points or POINTS, TELL), **keys)


def told(run: Running) -> list[str]:
    """What hooks and apps printed, in order."""
    return [r["message"] for r in run.records if r.get("stream") == "stdout"]


def test_the_whole_life_of_an_app(tmp_path: Path) -> None:
    """pre_start comes before the process, pre_stop before its signal, post_stop after its end."""
    script = "trap 'echo stopped; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    with pidone(ecosystem(tmp_path, hooked("a", script, ready="log:up"))) as run:
        run.expect_line("post_start")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert told(run) == [
            "pre_start app=a code= signal=",
            "up",
            "post_start app=a code= signal=",
            "pre_stop app=a code= signal=",
            "stopped",
            "post_stop app=a code=0 signal=",
        ]
        assert [r.get("hook") for r in run.records if r.get("stream") == "stdout"] == [
            *("pre_start", None, "post_start", "pre_stop", None, "post_stop")
        ]


def test_ends_that_nobody_asked_for(tmp_path: Path) -> None:
    """Each is told with code or signal; giving up is told once, and waited for before the container ends."""
    app = hooked("a", "kill -SEGV $$", "on_exit", "on_give_up", max_restarts=2, min_uptime="60s")
    app["hooks"]["on_give_up"] = "sleep 0.5; " + TELL
    with pidone(ecosystem(tmp_path, app)) as run:
        assert run.wait() == 75
        end = "app=a code= signal=SIGSEGV"
        # The second on_exit runs beside on_give_up.
        assert sorted(told(run)) == [f"on_exit {end}", f"on_exit {end}", f"on_give_up {end}"]


def test_a_hook_of_the_last_end_has_its_own_time(tmp_path: Path) -> None:
    """However short a stop of the apps would be: what it does may be what the container was started for."""
    hook = {"command": ["/bin/sh", "-c", "sleep 3; echo told"], "timeout": "60s"}
    app = shell("a", "echo work", hooks={"on_exit": hook}, autorestart=False, kill_timeout="100ms")
    with pidone(ecosystem(tmp_path, app)) as run:
        assert run.wait() == 0
        assert "told" in told(run)
        assert not run.find(event="runtime.deadline")


def test_a_signal_limits_a_hook_of_the_last_end(tmp_path: Path) -> None:
    """Whoever sends it kills everybody after the time that a stop takes."""
    hook = {"command": ["/bin/sleep", "1000"], "timeout": "1h"}
    app = shell("a", "echo work", hooks={"on_exit": hook}, autorestart=False, kill_timeout="100ms")
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect(event="runtime.stop", reason="completed")
        run.signal(signal.SIGTERM)
        assert run.wait() == 124


def test_a_failing_pre_start_calls_off_a_replacement(tmp_path: Path) -> None:
    """The old instance serves on, so nobody is told that the app was given up."""
    started, mended = tmp_path / "started", tmp_path / "mended"
    pre_start = f"test ! -e {started} || test -e {mended}"
    hooks = {"pre_start": pre_start, "on_give_up": "echo gave up", "pre_stop": "echo stopping"}
    keys: dict[str, Any] = {
        "listen": ["127.0.0.1:0"],
        "ready": "log:up",
        "listen_timeout": "1s",
        "max_age": "1.2s",
        "namespace": "n",
    }
    script = f"touch {started}; echo up; {FOREVER}"
    with pidone(ecosystem(tmp_path, shell("a", script, hooks=hooks, **keys))) as run:
        run.expect(event="instance.online")
        run.expect(event="app.reload_failed", reason="max_age")
        assert run.find(event="hook.failed", namespace="n", hook="pre_start")
        assert told(run) == ["up"]
        mended.touch()
        run.expect(event="app.reloaded", reason="max_age")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert "gave up" not in told(run)


def test_a_failing_pre_start_keeps_the_app_down(tmp_path: Path) -> None:
    """The app is errored with the hook as its reason; others run; alone, it ends the container."""
    app = shell("a", FOREVER, hooks={"pre_start": "test -d /nowhere"})
    with pidone(ecosystem(tmp_path, app, shell("b", "echo up; " + FOREVER))) as run:
        run.expect_line("up")
        reason = "pre_start `test -d /nowhere` exited with code 1"
        assert run.expect(event="instance.errored", app="a")["message"] == reason
        assert not run.find(event="instance.start", app="a")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    with pidone(ecosystem(tmp_path, app)) as run:
        assert run.wait() == 75
        assert reason in run.records[-1]["message"]


@pytest.mark.parametrize("command", ["/nowhere/tool", ["no-such-tool"]])
def test_a_hook_that_cannot_be_run(tmp_path: Path, command: object) -> None:
    """It is a failure like any other, with the reason."""
    with pidone(ecosystem(tmp_path, shell("a", FOREVER, hooks={"pre_start": command}))) as run:
        assert run.wait() == 75
        assert "cannot be started" in run.find(event="hook.failed")[0]["message"]


def test_a_hook_has_a_timeout(tmp_path: Path) -> None:
    """It is killed with all it started, and blocks nobody meanwhile."""
    slow = {"command": "sleep 1000 & sleep 1000", "timeout": "0.5s"}
    file = ecosystem(
        tmp_path, shell("a", FOREVER, hooks={"pre_start": slow}), shell("b", "echo up; exec sleep 1000")
    )
    with pidone(file) as run:
        run.expect_line("up")
        assert "timeout of 0.5 s" in run.expect(event="hook.failed")["message"]
        assert run.expect(event="instance.errored")["app"] == "a"
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_no_hook_outlives_the_runtime(tmp_path: Path) -> None:
    """One that ignores SIGTERM is killed, with all it started, before the runtime ends at its deadline."""
    stays = {"command": "trap '' TERM; echo hook $$; while :; do sleep 0.02; done", "timeout": "60s"}
    app = shell("a", "echo up; exec sleep 1000", hooks={"post_start": stays})
    with pidone(ecosystem(tmp_path, app, runtime={"shutdown_timeout": "500ms"})) as run:
        pid = int(json.loads(run.expect_line('"hook '))["message"].split()[1])
        run.signal(signal.SIGTERM)
        assert run.wait() == 124
        assert not alive(pid)


def test_a_stop_does_not_wait_for_a_pre_start(tmp_path: Path) -> None:
    """Stop wins: the hook is ended, and the app is never started."""
    waits = {"command": "echo waiting; exec sleep 1000", "timeout": "60s"}  # longer than we wait
    app = shell("a", "echo started", hooks={"pre_start": waits})
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect_line("waiting")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert "started" not in told(run)


def test_a_second_signal_does_not_wait_for_a_pre_stop(tmp_path: Path) -> None:
    """Neither the hook nor the app gets any more time."""
    app = shell("a", "echo up; " + FOREVER, hooks={"pre_stop": "echo leaving; exec sleep 1000"})
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect_line("up")
        run.signal(signal.SIGTERM)
        run.expect_line("leaving")
        run.signal(signal.SIGINT)
        assert run.wait() == 130


def test_hooks_of_the_whole(tmp_path: Path) -> None:
    """Before the first app, when all are ready, before the first one stops, after the last one: once each."""
    hooks = dict.fromkeys(POINTS, "echo whole $PIDONE_HOOK")
    up = "trap 'echo stopped; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    apps = [shell(name, up, ready="log:up") for name in "ab"]
    with pidone(ecosystem(tmp_path, *apps, runtime={"hooks": hooks})) as run:
        run.expect_line("whole post_start")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        assert told(run) == [
            "whole pre_start",
            "up",
            "up",
            "whole post_start",
            "whole pre_stop",
            "stopped",
            "stopped",
            "whole post_stop",
        ]


def test_a_failing_pre_start_of_the_whole(tmp_path: Path) -> None:
    """Nothing is started."""
    with pidone(ecosystem(tmp_path, shell("a", "echo up"), runtime={"hooks": {"pre_start": "false"}})) as run:
        assert run.wait() == 75
        assert "pre_start `false` exited with code 1" in run.records[-1]["message"]
        assert not run.find(event="instance.start")


def test_the_whole_hears_of_every_app_that_gives_up(tmp_path: Path) -> None:
    """One place for an alert."""
    with pidone(
        ecosystem(tmp_path, shell("a", "exit 4", max_restarts=1), runtime={"hooks": {"on_give_up": TELL}})
    ) as run:
        assert run.wait() == 75
        assert told(run) == ["on_give_up app=a code=4 signal="]


def test_hooks_have_the_apps_environment(tmp_path: Path) -> None:
    """Variables, folder and user are those of the app."""
    folder = tmp_path / "here"
    folder.mkdir()
    hook = "echo $GREETING $(pwd) $NODE_APP_INSTANCE"
    app = shell(
        "a", "echo up; " + FOREVER, hooks={"pre_start": hook}, env={"GREETING": "hello"}, cwd=str(folder)
    )
    with pidone(ecosystem(tmp_path, app)) as run:
        run.expect_line(f"hello {folder} 0")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
