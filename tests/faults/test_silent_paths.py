"""Paths on a file system that does not answer any more, to which process 1 itself would have to go."""

import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from faults.beside_silent import SLEEPING, Beside
from harness import PIDONE, Running, children, eventually

from pidone.init.exitcodes import ExitCode

pytestmark = pytest.mark.usefixtures("root")

OTHER = {"name": "other", **SLEEPING}
SECOND = {"name": "second", **SLEEPING, "autostart": False}


def goes_on(it: Beside, run: Running) -> None:
    """Commands are answered, and another app is started."""
    for words in (["ls"], ["start", "second"], ["describe", "remote"], ["stop", "second"]):
        it.command(*words)
    run.expect(event="instance.start", app="second")


def ends_in_order(it: Beside, run: Running) -> None:
    assert it.stop() == ExitCode.OK
    assert "SIGTERM" in run.find(event="instance.exit", app="other")[0]["message"]
    assert not run.find(event="runtime.error")


def test_a_socket_there_is_no_start_held(tmp_path: Path) -> None:
    """The others begin; it fails by itself, with the reason."""
    it = Beside(tmp_path)
    it.flag.touch()
    remote = {"name": "remote", **SLEEPING, "listen": [f"unix:{it.point}/s"]}
    with it.started([remote, OTHER, SECOND]) as run:
        run.expect(event="instance.online", app="other")
        run.expect(event="control.listening")
        told = run.expect(event="instance.spawn_failed", app="remote")
        assert f"{it.point}/s: its file system does not answer" in told["message"]
        goes_on(it, run)
        ends_in_order(it, run)


def test_a_socket_there_holds_nobody_later(tmp_path: Path) -> None:
    """It is bound, given away, kept, put back while the file system answers; then its app goes without."""
    it = Beside(tmp_path)
    remote = {
        "name": "remote",
        **SLEEPING,
        "listen": [f"unix:{it.point}/s"],
        "share": "kernel",
        "uid": "nobody",
    }
    with it.started([remote, OTHER, SECOND]) as run:
        run.expect(event="control.listening")
        run.expect(event="instance.online", app="remote")
        there = Path(f"/proc/{it.runtime}/root{it.point}")
        assert sorted(path.name for path in there.iterdir()) == [".s.pidone", "program", "s"]
        assert stat.S_ISSOCK((there / "s").stat().st_mode)
        assert (there / "s").stat().st_uid != 0
        (there / "s").unlink()
        it.command("restart", "remote")
        eventually((there / "s").exists, "the file to be there again")
        it.fall_silent()
        os.kill(run.find(event="instance.start", app="remote")[-1]["pid"], signal.SIGKILL)
        told = run.expect(event="listen.failed", app="remote")
        assert "does not answer" in told["message"]
        run.expect(event="instance.start", app="remote", count=3)
        goes_on(it, run)
        ends_in_order(it, run)


def test_a_folder_of_a_hooks_path_holds_nobody(tmp_path: Path) -> None:
    """The command is found where it is, as long as all folders before that answer."""
    it = Beside(tmp_path)
    env = {"PATH": f"{it.point}:/usr/bin:/bin"}
    remote = {"name": "remote", **SLEEPING, "env": env, "hooks": {"pre_start": ["echo", "by the hook"]}}
    with it.started([remote, OTHER, SECOND]) as run:
        run.expect(event="control.listening")
        run.expect(event="instance.online", app="remote")
        run.expect(message="by the hook")
        it.fall_silent()
        os.kill(run.find(event="instance.start", app="remote")[-1]["pid"], signal.SIGKILL)
        run.expect(event="instance.exit", app="remote")
        goes_on(it, run)
        ends_in_order(it, run)


@pytest.mark.parametrize("keys", ["words of Node", "rights", "preload"])
def test_looking_at_a_program_there_holds_nobody(tmp_path: Path, keys: str) -> None:
    """What it is is known from the reading of the file, or asked by a child."""
    it = Beside(tmp_path)
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\nexec sleep 1000\n")
    node.chmod(0o755)
    python: dict[str, Any] = {"script": sys.executable, "interpreter": "none"}
    given: dict[str, dict[str, Any]] = {
        "words of Node": {"script": str(node), "args": [str(it.point / "app.js")], "exec_mode": "cluster"},
        "rights": {"script": str(it.point / "program"), "args": "", "exec_mode": "cluster"},
        "preload": {**python, "args": [str(it.point / "app.py")], "preload": "json"},
    }
    remote = {"name": "remote", **SLEEPING, "autostart": False, **given[keys]}
    with it.started([remote, OTHER, SECOND]) as run:
        run.expect(event="control.listening")
        it.fall_silent()
        it.command("start", "remote")
        goes_on(it, run)
        os.kill(it.runtime, signal.SIGTERM)
        # Before its exec it hears no signal but SIGKILL, and who had to be killed is told by the code.
        assert run.wait() in (ExitCode.OK, ExitCode.DEADLINE)
        assert "SIGTERM" in run.find(event="instance.exit", app="other")[0]["message"]
        assert not run.find(event="runtime.error")


def test_a_last_message_there_holds_no_end(tmp_path: Path) -> None:
    """It is left out."""
    it = Beside(tmp_path)
    it.env["PIDONE_TERMINATION_LOG"] = str(it.point / "program")
    with it.started([{**OTHER, "essential": True, "autorestart": False}]) as run:
        run.expect(event="instance.online")
        pid = run.find(event="instance.start")[0]["pid"]
        it.fall_silent()
        os.kill(pid, signal.SIGKILL)
        assert run.wait() == 128 + signal.SIGKILL


def test_a_reading_that_hangs_there_holds_nobody(tmp_path: Path) -> None:
    """SIGHUP while the program of an app does not answer: what runs goes on, and is stopped in order."""
    it = Beside(tmp_path)
    remote = {"name": "remote", **SLEEPING, "script": str(it.point / "program"), "args": ""}
    with it.started([remote, OTHER, SECOND]) as run:
        run.expect(event="control.listening")
        before = set(children(it.runtime))
        it.fall_silent()
        os.kill(it.runtime, signal.SIGHUP)
        eventually(lambda: set(children(it.runtime)) - before, "the reader")
        goes_on(it, run)
        ends_in_order(it, run)


@pytest.mark.parametrize("words", [["{}.toml"], ["start", "{}.json"], ["{}.yaml", "--no-auto-exit"]])
def test_an_ecosystem_there_can_be_given_up(tmp_path: Path, words: list[str]) -> None:
    """Process 1 does not look what its words mean: the reading does, beside which it hears SIGTERM."""
    it = Beside(tmp_path, pid1=True)
    with it.started([OTHER]):
        pass  # or it is skipped
    it.fall_silent()
    command = [word.format(it.point / "ecosystem") for word in words]
    with Running([*it.server, "unshare", "--fork", "--pid", "--mount-proc", PIDONE, *command]) as it.run:
        eventually(lambda: children(it.runtime), "the reader to begin")
        os.kill(it.runtime, signal.SIGTERM)
        assert it.run.wait() == ExitCode.OK


def test_a_control_socket_there_is_done_without(tmp_path: Path) -> None:
    """As where no folder can be written."""
    it = Beside(tmp_path)
    it.env["PIDONE_SOCKET"] = str(it.point / "control")
    it.flag.touch()
    with it.started([OTHER]) as run:
        assert "does not answer" in run.expect(event="control.error")["message"]
        run.expect(event="instance.online")
        ends_in_order(it, run)


def test_a_control_socket_there_holds_no_end(tmp_path: Path) -> None:
    """It stays where it is; the next runtime replaces it."""
    it = Beside(tmp_path)
    it.env["PIDONE_SOCKET"] = str(it.point / "control")
    with it.started([OTHER]) as run:
        run.expect(event="control.listening")
        run.expect(event="instance.online")
        it.fall_silent()
        ends_in_order(it, run)


def test_a_token_there_ends_the_start(tmp_path: Path, port: int) -> None:
    """With the reason, as where it cannot be read: what it would let in is not known."""
    it = Beside(tmp_path)
    it.flag.touch()
    admin = {"admin": f"127.0.0.1:{port}", "admin_token_file": str(it.point / "program")}
    with it.started([OTHER], runtime=admin) as run:
        assert run.wait() == ExitCode.CONFIG
        assert run.err is not None
        assert "does not answer" in run.err.text()
