"""Who of an app is asked to stop, by each way of ending an incarnation."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from harness import PIDONE, alive, eventually, pidone
from writing import ecosystem

BEHIND_A_SHELL = """
trap 'echo shell heard TERM; wait; exit 0' TERM
(trap 'sleep 0.2; echo app heard TERM; exit 0' TERM; echo up
 while :; do sleep 0.02; done) &
echo child $!
while :; do wait; done
"""


def _command(socket: Path, *words: str) -> None:
    env = {**os.environ, "PIDONE_SOCKET": str(socket)}
    subprocess.run([PIDONE, *words], env=env, check=True, capture_output=True, timeout=60)


def _app(**keys: object) -> dict[str, object]:
    return {
        "name": "a",
        "script": "/bin/bash",
        "args": ["-c", BEHIND_A_SHELL],
        "kill_timeout": "10s",
        "ready": "log:up",
        **keys,
    }


@pytest.mark.parametrize(
    "words", [("restart", "a"), ("reload", "a"), ("scale", "a", "1"), ("stop", "a")], ids=" ".join
)
def test_the_tree_is_asked_at_once(words: tuple[str, ...], tmp_path: Path) -> None:
    """Whatever ends an incarnation: descendants hear the stop signal, and once."""
    file = ecosystem(tmp_path, _app(kill_mode="tree", instances=2, kill_signal="SIGTERM", exec_mode="fork"))
    with pidone(file, env={"PIDONE_SOCKET": str(tmp_path / "s")}) as run:
        eventually(lambda: len(run.find(event="instance.online")) == 2, "both online")
        _command(tmp_path / "s", *words)
        eventually(lambda: run.find(message="app heard TERM"), "the app's handler")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
        heard = [record["message"] for record in run.records if "heard" in str(record.get("message"))]
        assert heard.count("shell heard TERM") == heard.count("app heard TERM") >= 2
        assert not run.find(event="instance.kill")


def test_descendants_live_on(tmp_path: Path) -> None:
    """`kill_mode = "process"`: over a restart, and not over the end of the container."""
    lines = (
        "setsid sleep 1009 >/dev/null 2>&1 & echo child $!; trap 'exit 0' TERM; while :; do sleep 0.02; done"
    )
    app = {"name": "a", "script": "/bin/bash", "args": ["-c", lines], "kill_mode": "process"}
    with pidone(ecosystem(tmp_path, app), env={"PIDONE_SOCKET": str(tmp_path / "s")}) as run:
        child = int(run.expect_line("child ").rstrip('"}').split()[-1])
        run.expect(event="instance.online")
        _command(tmp_path / "s", "restart", "a")
        eventually(lambda: len(run.find(event="instance.start")) == 2, "the second life")
        assert alive(child)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    assert not alive(child)
