"""Apps that come up each time, and do not stay."""

import os
import subprocess
from pathlib import Path

from cli.screen import read_until
from control.operated import operated
from harness import DEADLINE_S, PIDONE, eventually

FLAPS = """
[[apps]]
name = "web"
script = "/bin/sh"
args = ["-c", "sleep 0.2; exit 3"]
min_uptime = "100ms"
ready_delay = 0
restart_delay = 0

[[apps]]
name = "job"
script = "/bin/true"
schedule = "0 3 1 1 *"
"""


def test_an_app_that_fails_again_and_again_after_min_uptime_is_called_so(tmp_path: Path) -> None:
    """Once in a series, with the keys that help; `ls` and `describe` have it as the reason."""
    with operated(tmp_path, FLAPS, ready=False) as it:
        record = it.run.expect(event="instance.flapping")
        assert record["app"] == "web"
        assert "failed 5 times in" in record["message"]
        assert "max_restarts does not count these" in record["message"]
        assert "restart_window" in record["message"]
        ends = len(it.run.find(event="instance.exit", app="web"))
        it.run.expect(event="instance.exit", app="web", count=ends + 4)
        assert len(it.run.find(event="instance.flapping")) == 1
        assert "failed 5 times" in it.app("web")["instances"][0]["flapping"]
        assert "failed 5 times" in it.command("describe", "web").stdout
        ours, theirs = os.openpty()
        with open(ours, "rb", buffering=0), open(theirs, "wb", buffering=0) as terminal:
            environ = {**os.environ, "PIDONE_SOCKET": it.socket, "COLUMNS": "200"}
            subprocess.run([PIDONE, "ls"], stdout=terminal, env=environ, timeout=DEADLINE_S, check=True)
            read_until(ours, b"failed 5 times")


def test_a_job_that_waits_for_its_time_is_waiting(tmp_path: Path) -> None:
    """It is not stopped: nobody has stopped it, and it will run."""
    with operated(tmp_path, FLAPS, ready=False) as it:
        eventually(lambda: it.states("job") == ["waiting"], "the job to wait")
        assert "waiting" in next(line for line in it.command("ls").stdout.splitlines() if "job" in line)
        assert it.command("stop", "job").returncode == 0
        assert it.states("job") == ["stopped"]
