"""What is wanted of apps, by real processes: the last word counts, and nothing is left half done."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from control.operated import Operated, operated
from harness import PIDONE, eventually, free_port, spawned

SLEEPER = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"
STUBBORN = "trap '' TERM; echo up; while [ ! -e go ]; do sleep 0.05; done"


class Site(Operated):
    """A runtime whose file can be written anew."""

    folder: Path

    def write(self, *apps: dict[str, Any]) -> None:
        """Another version of the file, and SIGHUP."""
        read = len(self.run.find(event="config.reload"))
        write(self.folder, *apps)
        self.run.signal(signal.SIGHUP)
        self.run.expect(event="config.reload", count=read + 1)


def write(folder: Path, *apps: dict[str, Any]) -> None:
    (folder / "ecosystem.toml").write_text(tomli_w.dumps({"apps": list(apps)}))


def app(name: str, script: str = SLEEPER, **keys: Any) -> dict[str, Any]:
    """A shell that is ready when it says so, and waits for its end."""
    return {"name": name, "script": "/bin/sh", "args": ["-c", script], "ready": "log:up", **keys}


@contextlib.contextmanager
def site(folder: Path, *apps: dict[str, Any], ready: bool = True) -> Iterator[Site]:
    with operated(folder, tomli_w.dumps({"apps": list(apps)}), ready=ready) as it:
        found = Site(it.run, it.socket, it.port)
        object.__setattr__(found, "folder", folder)
        yield found


def ended(it: Site, code: int = 0) -> None:
    """SIGTERM; every process heard it, none was killed, nothing raised."""
    it.run.signal(signal.SIGTERM)
    assert it.run.wait() == code
    assert not it.run.find(event="instance.kill")
    assert not it.run.find(event="runtime.error")


def broken(name: str, port: int, *needs: str) -> dict[str, Any]:
    """A version that does not start, of an app whose old processes stay because they share a port."""
    return app(name, "exit 1", listen=[f"127.0.0.1:{port}"], depends_on=list(needs))


def test_a_stop_after_a_dependency_was_dropped_and_the_reload_failed(tmp_path: Path) -> None:
    """The old api names a db that is gone: nobody is in the way of anybody's end."""
    port = free_port()
    api = app("api", listen=[f"127.0.0.1:{port}"], depends_on=["db"])
    with site(tmp_path, app("db"), api) as it:
        it.write(broken("api", port))
        it.run.expect(event="app.reload_failed", app="api")
        it.run.expect(event="instance.exit", app="db")
        ended(it)


def test_a_stop_in_a_circle_of_two_generations(tmp_path: Path) -> None:
    """worker and api swap their depends_on, and api's reload fails."""
    port, other = free_port(), free_port()
    worker = app("worker", listen=[f"127.0.0.1:{other}"])
    api = app("api", listen=[f"127.0.0.1:{port}"], depends_on=["worker"])
    with site(tmp_path, worker, api) as it:
        it.write({**worker, "depends_on": ["api"]}, broken("api", port))
        it.run.expect(event="app.reload_failed", app="api")
        it.run.expect(event="app.reloaded", app="worker")
        ended(it)


@pytest.mark.parametrize("target", ["one:0", "0", "one"])
def test_the_last_running_instance_may_be_stopped(tmp_path: Path, target: str) -> None:
    """The runtime stays, says so, and starts it again on request."""
    with site(tmp_path, app("one")) as it:
        assert it.command("stop", target).returncode == 0
        assert it.states("one") == ["stopped"]
        assert it.app("one")["wanted"] is False
        assert it.command("start", target).returncode == 0
        assert it.states("one") == ["online"]
        ended(it)


def test_scaling_while_one_slot_is_replaced_and_a_file_waits(tmp_path: Path) -> None:
    """The slot goes, the replacement of it is over, and later reloads work."""
    port = free_port()
    api = app("api", listen=[f"127.0.0.1:{port}"], instances=3)
    with site(tmp_path, api) as it:
        it.ask("/api/apps/api:2/reload", "POST")
        it.write({**api, "env": {"VERSION": "2"}})
        assert it.ask("/api/apps/api/scale", "POST", {"instances": 1}).status == 200
        eventually(lambda: it.app("api")["settled"], "rest")
        assert it.states("api") == ["online"]
        assert it.command("reload", "api").returncode == 0
        ended(it)


def test_a_reload_while_it_stops_is_a_wish_to_run(tmp_path: Path) -> None:
    """It comes back, and it is wanted: limits, schedules and watches are on."""
    with site(tmp_path, app("api", STUBBORN)) as it:
        it.ask("/api/apps/api/stop", "POST")
        it.ask("/api/apps/api/reload", "POST")
        assert it.app("api")["wanted"] is True
        (tmp_path / "go").touch()
        it.run.expect(event="instance.start", count=2)
        (tmp_path / "go").unlink()
        eventually(lambda: it.states("api") == ["online"], "its return")
        assert it.app("api")["wanted"] is True


def test_a_stop_has_the_last_word_over_a_reload(tmp_path: Path) -> None:
    """The other way round: it stays stopped."""
    with site(tmp_path, app("api", STUBBORN)) as it:
        it.ask("/api/apps/api/reload", "POST")
        it.ask("/api/apps/api/stop", "POST")
        (tmp_path / "go").touch()
        eventually(lambda: it.app("api")["settled"], "its end")
        assert (it.states("api"), len(it.run.find(event="instance.start"))) == (["stopped"], 1)


def test_whoever_is_late_at_first_may_take_as_long_in_a_reload(tmp_path: Path) -> None:
    """It listens after listen_timeout: taken as online at first, and waited for later."""
    port = free_port()
    late = "sleep 0.6; echo up; trap 'exit 0' TERM; while :; do sleep 0.05; done"
    api = app("api", late, listen=[f"127.0.0.1:{port}"], listen_timeout="200ms")
    with site(tmp_path, api) as it:
        told = it.run.expect(event="instance.not_ready")
        assert "listen_timeout" in told["message"]
        it.run.expect(message="up")
        assert it.command("reload", "api").returncode == 0
        assert it.command("reload", "api").returncode == 0
        assert not it.run.find(event="app.reload_failed")


def test_a_replacement_that_never_gets_ready_names_the_key(tmp_path: Path) -> None:
    """So that whoever reads it knows what to change."""
    port = free_port()
    api = app("api", listen=[f"127.0.0.1:{port}"], listen_timeout="300ms", reload_timeout="300ms")
    with site(tmp_path, api) as it:
        it.write({**api, "args": ["-c", "sleep 100"]})
        failed = it.run.expect(event="app.reload_failed")
        assert "not ready within 0.3 s (reload_timeout)" in failed["message"]


def test_a_changed_file_does_not_start_what_somebody_has_stopped(tmp_path: Path) -> None:
    """And what it changes of an app that was started by hand goes on running."""
    by_hand = app("hand", autostart=False)
    with site(tmp_path, app("api"), app("other"), by_hand) as it:
        it.command("stop", "api")
        it.command("start", "hand")
        changed = {"env": {"VERSION": "2"}}
        it.write({**app("api"), **changed}, app("other"), {**by_hand, **changed})
        eventually(lambda: all(it.app(name)["settled"] for name in ("api", "hand")), "rest")
        assert (it.states("api"), it.states("hand")) == (["stopped"], ["online"])
        assert it.app("api")["wanted"] is False


def test_what_is_waited_for_can_be_seen(tmp_path: Path) -> None:
    """The wish, what is there, and what stands between them."""
    slow = app("db", "sleep 1000")
    with site(tmp_path, {**slow, "listen_timeout": "60s"}, app("api", depends_on=["db"]), ready=False) as it:
        api, db = it.app("api"), it.app("db")
        assert (api["wish"]["run"], api["waits_for"]) == ("waiting", "db to be ready")
        assert (db["wish"]["run"], db["waits_for"]) == ("on", "instance 0 to get ready")
        assert db["settled"] is False


def test_a_signal_during_a_stop_of_another_reason_is_the_first(tmp_path: Path) -> None:
    """An essential app has ended; the engine's SIGTERM while another one flushes takes nothing from that."""
    flush = "touch flushing; while [ ! -e go ]; do sleep 0.05; done; exit 0"
    flushes = f"trap '{flush}' TERM; echo up; while :; do sleep 0.05; done"
    ends = "echo up; while [ ! -e end ]; do sleep 0.05; done; exit 3"
    essential = app("main", ends, essential=True, autorestart=False)
    with site(tmp_path, essential, app("other", flushes)) as it:
        (tmp_path / "end").touch()
        eventually(lambda: os.path.exists(tmp_path / "flushing"), "the other one to flush")
        it.run.signal(signal.SIGTERM)
        it.run.expect(event="runtime.stop", count=2)
        assert not it.run.find(event="runtime.hurry")
        (tmp_path / "go").touch()
        assert it.run.wait() == 3
        assert not it.run.find(event="instance.kill")


def test_two_actions_at_once_get_their_own_answers(tmp_path: Path) -> None:
    """The slow one is not given the fast one's."""
    code = """
import json, os, socket, threading, time
channel = socket.socket(fileno=int(os.environ["NODE_CHANNEL_FD"]))
say = lambda value: channel.sendall(json.dumps(value).encode() + b"\\n")
say("ready")
def answer(name):
    while name == "slow" and not os.path.exists("go"):
        time.sleep(0.02)
    say({"type": "axm:reply", "data": {"return": name, "action_name": name}})
for line in channel.makefile():
    threading.Thread(target=answer, args=(json.loads(line),)).start()
"""
    (tmp_path / "actor.py").write_text(code)
    actor = {
        "name": "a",
        "script": "actor.py",
        "interpreter": "python3",
        "wait_ready": True,
        "cwd": str(tmp_path),
    }
    with site(tmp_path, actor) as it:
        words = [("trigger", "a", name) for name in ("slow", "fast")]
        slow = subprocess.Popen(
            [PIDONE, *words[0]],
            env={**os.environ, "PIDONE_SOCKET": it.socket},
            stdout=subprocess.PIPE,
            text=True,
        )
        began = time.monotonic()
        assert "fast" in it.command(*words[1]).stdout
        assert time.monotonic() - began < 10.0, "it waited for the time to run out"
        (tmp_path / "go").touch()
        assert "slow" in slow.communicate(timeout=30)[0]


def test_whoever_ends_is_not_waited_for(tmp_path: Path) -> None:
    """An action that a restart overtakes is over with the process that was asked."""
    code = """
import os, socket, time
channel = socket.socket(fileno=int(os.environ["NODE_CHANNEL_FD"]))
channel.sendall(b'"ready"\\n')
while channel.recv(1000):
    open("asked", "w").close()
"""
    (tmp_path / "mute.py").write_text(code)
    keys = {"interpreter": "python3", "wait_ready": True, "cwd": str(tmp_path)}
    with site(tmp_path, {"name": "a", "script": "mute.py", **keys}) as it:
        environ = {**os.environ, "PIDONE_SOCKET": it.socket}
        words = [PIDONE, "trigger", "a", "look"]
        with spawned(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as asked:
            eventually((tmp_path / "asked").exists, "the question")
            assert it.ask("/api/apps/a/restart", "POST").status == 200
            assert b"it ended before it answered" in asked.communicate(timeout=60)[0]


def test_scaling_by_the_name_of_an_instance_scales_its_app(tmp_path: Path) -> None:
    """Also where that very instance goes."""
    with site(tmp_path, app("node", instances=2)) as it:
        assert it.command("scale", "node:1", "1").returncode == 0
        assert it.states("node") == ["online"]
        assert not it.run.find(event="runtime.error")


def test_a_limit_that_was_given_up_holds_after_a_restart(tmp_path: Path) -> None:
    """Whoever asks for another life gets one with its limit, and the same reason at its end."""
    hold = "import time\nkept = bytearray(b'x') * (60 << 20)\nprint('up', flush=True)\ntime.sleep(1000)\n"
    (tmp_path / "hold.py").write_text(hold)
    limits = {"max_memory_restart": "30M", "memory_interval": "0.1s", "ready": "log:up"}
    greedy = {"name": "greedy", "script": "hold.py", "interpreter": "python3", "cwd": str(tmp_path), **limits}
    with site(tmp_path, greedy, app("other"), ready=False) as it:
        it.run.expect(event="instance.errored", app="greedy")
        # The command would wait for a moment in which it is online, and may come too late for that.
        assert it.ask("/api/apps/greedy/restart", "POST").status < 300
        told = it.run.expect(event="instance.errored", app="greedy", count=2)
        assert "max_memory_restart of 30 MiB" in told["message"]
