"""Times that are a program's own: one that gets no processor is not late for that."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from clusters.site import UNHURRIED, Site, get
from clusters.starving import busy, feed, starves

CPU = min(os.sched_getaffinity(0))
SERVER = """
import os
if os.environ["STARVE"]:
    print("now", flush=True)
    exec(os.environ["STARVE"])
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"%d" % os.getpid())
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""
TIMES: dict[str, Any] = {"listen_timeout": "2s", "reload_timeout": "2s"}
LONGER_S = 4
"""Than any of these, and than any patience that a successor would have by the clock."""


def server(port: int, *, starve: str = "", **keys: Any) -> dict[str, Any]:
    """It tells when it listens."""
    app = {"name": "web", "script": sys.executable, "interpreter": "none", "args": ["-c", SERVER]}
    env = {"PORT": str(port), "STARVE": starve}
    return {**app, **UNHURRIED, **TIMES, "exec_mode": "cluster", "instances": 1, "env": env, **keys}


def test_a_reload_is_not_called_off(tmp_path: Path, port: int) -> None:
    """A successor that waits for a processor longer than `reload_timeout` still has its time."""
    site = Site(tmp_path, server(port))
    with busy(CPU), site.run:
        site.start()
        site.change(env={"STARVE": starves(CPU)})
        site.run.expect(message="now")
        time.sleep(LONGER_S)
        assert site.count("app.reload_failed") == 0
        feed(site.pids()[-1])
        site.run.expect(event="app.reloaded")
        assert int(get(port)) == site.pids()[-1]
        assert site.stop() == 0


@pytest.mark.parametrize("policy", ["online", "fail"])
def test_a_start_is_not_late(tmp_path: Path, port: int, policy: str) -> None:
    """Nor is it taken as online, or as failed, before it had its time."""
    site = Site(tmp_path, server(port, starve=starves(CPU), on_ready_timeout=policy))
    with busy(CPU), site.run:
        site.run.expect(message="now")
        time.sleep(LONGER_S)
        assert site.count("instance.online") == site.count("instance.exit") == 0
        feed(site.pids()[-1])
        assert site.run.expect(event="instance.online")["by"] == "listening"
        assert site.count("instance.not_ready") == 0
        assert site.stop() == 0


def test_one_that_sleeps_is_late(tmp_path: Path, port: int) -> None:
    """Whoever wants no processor, or is held (SIGSTOP), has all of the time, however busy the machine is."""
    site = Site(tmp_path, server(port))
    with site.run:
        site.start()
        site.change(env={"STARVE": "import os; os.kill(os.getpid(), 19)"})
        assert "not ready within 2 s" in site.run.expect(event="instance.not_ready")["message"]
        site.run.expect(event="app.reload_failed")
        assert get(port)
        assert site.stop() == 0
