"""Programs in fork mode that share nothing: ready when they listen at PORT, not after a second by guess."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from clusters.site import UNHURRIED, Site, get, running
from clusters.starving import busy, feed, starves
from harness import free_port

SERVER = """
import os, sys, time
exec(sys.argv[1])
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""
COMPUTES = "end = time.monotonic() + 2\nwhile time.monotonic() < end: pass"
WAITS = "time.sleep(1000)"
FORKS = "pid = os.fork()\nif pid: os.waitpid(pid, 0)"


def forked(port: int, before: str, **keys: Any) -> dict[str, Any]:
    """A server that does something before it listens."""
    app = {"name": "web", "script": sys.executable, "interpreter": "none", "args": ["-c", SERVER, before]}
    return {**app, **UNHURRIED, "instances": 1, "env": {"PORT": str(port)}, **keys}


@pytest.mark.parametrize("before", ["", FORKS], ids=["itself", "a child"])
def test_ready_when_it_listens(tmp_path: Path, port: int, before: str) -> None:
    """However long that takes beside the guess, which is an hour here."""
    with running(tmp_path, forked(port, before, ready_delay="1h")) as site:
        assert site.run.expect(event="instance.online")["by"] == "listening"
        assert get(port) == "hello"


def test_each_at_its_own_port(tmp_path: Path) -> None:
    """`increment_var` says where."""
    keys = {"ready_delay": "1h", "instances": 2, "increment_var": "PORT"}
    with running(tmp_path, forked(free_port(row=2), "", **keys)) as site:
        assert {record["by"] for record in site.run.find(event="instance.online")} == {"listening"}


def test_one_that_computes_gets_time(tmp_path: Path, port: int) -> None:
    """It is not online before it can answer, though the guess would have said so long ago."""
    with running(tmp_path, forked(port, COMPUTES, ready_delay="300ms")) as site:
        assert site.run.expect(event="instance.online")["by"] == "listening"
        assert get(port) == "hello"


def test_one_that_gets_no_processor_is_not_idle(tmp_path: Path, port: int) -> None:
    """A program that others keep from starting looks idle, and is not online for that."""
    cpu = min(os.sched_getaffinity(0))
    site = Site(tmp_path, forked(port, f"print('now', flush=True){starves(cpu)}", ready_delay="500ms"))
    with busy(cpu), site.run:
        site.run.expect(message="now")
        time.sleep(2)  # many times what the guess would take
        feed(site.pids()[-1])
        assert site.run.expect(event="instance.online")["by"] == "listening"
        assert site.stop() == 0


def test_one_that_waits_is_taken_as_a_worker(tmp_path: Path, port: int) -> None:
    """Many have a PORT and serve nothing: after the guess they are online, as ever, and nobody is warned."""
    with running(tmp_path, forked(port, WAITS, ready_delay="300ms")) as site:
        assert "by" not in site.run.expect(event="instance.online")
        assert not site.run.find(level="warning")


def test_somebody_elses_port_says_nothing(tmp_path: Path, port: int) -> None:
    """Another app listens there."""
    other = forked(port, WAITS, name="worker", ready_delay="1s")
    with running(tmp_path, forked(port, "", ready_delay="1h"), other) as site:
        assert "by" not in site.run.expect(event="instance.online", app="worker")
