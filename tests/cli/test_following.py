"""`logs -f`: what comes, and how it ends."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from control.operated import SLEEPER, operated
from harness import DEADLINE_S, PIDONE, alive, descendants, eventually


@pytest.mark.parametrize(
    ("how", "code", "told"), [(signal.SIGTERM, 0, ""), (signal.SIGKILL, 69, "the runtime hung up")]
)
def test_logs_follow_to_the_end(tmp_path: Path, how: signal.Signals, code: int, told: str) -> None:
    """Whoever follows can tell an end in order from one that was not."""
    with (
        operated(tmp_path, SLEEPER) as it,
        subprocess.Popen(
            [PIDONE, "logs", "-f", "--socket", it.socket],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as follower,
    ):
        assert follower.stdout is not None
        assert follower.stderr is not None
        assert follower.stdout.readline()
        # What a runtime that is killed leaves is stopped by its guard; they are ours to bury.
        orphans = descendants(it.run.pid) if how is signal.SIGKILL else []
        it.run.signal(how)
        _, err = follower.communicate(timeout=DEADLINE_S)
        assert follower.returncode == code
        assert told in err
        it.run.wait()
        for pid in orphans:
            eventually(lambda pid=pid: not alive(pid), "its end")  # type: ignore[misc]
            os.waitpid(pid, 0)


def test_logs_follow(tmp_path: Path) -> None:
    """-f goes on with new lines until the runtime ends."""
    with (
        operated(
            tmp_path, '[[apps]]\nname = "cat"\nscript = "/bin/cat"\nstdin = "pipe"\nready_delay = 0'
        ) as it,
        subprocess.Popen(
            [PIDONE, "logs", "-f", "--app", "cat", "--socket", it.socket], stdout=subprocess.PIPE, text=True
        ) as follower,
    ):
        limit = threading.Timer(DEADLINE_S, follower.kill)
        try:
            assert follower.stdout is not None
            eventually(lambda: it.command("send", "cat", "zero").returncode == 0)
            limit.start()
            for word in ("one", "two"):  # events of the app are among its lines
                it.command("send", "cat", word)
                assert any(f'"{word}' in line for line in follower.stdout)
        finally:
            limit.cancel()
            follower.kill()
